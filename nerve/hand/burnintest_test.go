package hand_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"glia/nerve/disk/selftest"
	"glia/nerve/hand"
)

// talker is a disk that tells about itself: a count that grows with each look, and a self-test that a former
// nerve has begun and that has ended with a result.
type talker struct {
	value, grows uint64
	looks        int
	broken       error
}

func (d *talker) Look() (selftest.Report, error) {
	d.looks++
	r := selftest.Report{Counts: []selftest.Count{{Name: "reallocated sectors", Value: d.value}}}
	d.value += d.grows
	return r, d.broken
}
func (d *talker) Start() error { return errors.New("not offered") }
func (d *talker) Close() error { return nil }

func TestHand_BurnInComparesWhatTheDiskTells(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		disk *talker
		open error
		says string
		bad  bool
	}{
		"a good disk":         {&talker{value: 2}, nil, "no sector was given up (reallocated sectors 2)", false},
		"sectors are lost":    {&talker{value: 2, grows: 1}, nil, "burn-in: the disk gave up sectors: reallocated sectors grew from 2 to", true},
		"it tells nothing":    {nil, selftest.ErrNone, "no self-test: it tells nothing about itself", false},
		"it can not be asked": {&talker{broken: os.ErrPermission}, nil, "can not be asked about itself: permission denied", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			l.attach("NEW", 2, 64*mib)
			blank := l.hash("NEW")
			opts := l.options(&recorder{})
			opts.SelfTest = func(string) (selftest.Device, error) { return tc.disk, tc.open }
			r := finish(t, l.hand(opts), order(burnIn, "NEW", 2))
			if tc.bad {
				wantNo(t, r, failed, tc.says)
			} else {
				wantDone(t, r)
				if !strings.Contains(r.Output, tc.says) || !strings.Contains(r.Output, "4 MiB in 4 places") {
					t.Errorf("output %q", r.Output)
				}
			}
			if l.hash("NEW") != blank {
				t.Error("the disk is not zero again")
			}
		})
	}
}

// What a disk lost before a crash of the nerve counts against it after the crash.
func TestHand_BurnInRemembersTheCountsOverACrash(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.attach("NEW", 2, 64*mib)
	d := &talker{value: 2}
	opts := l.options(&recorder{})
	opts.SelfTest = func(string) (selftest.Device, error) { return d, nil }
	o := order(burnIn, "NEW", 2)
	wantDone(t, finish(t, l.hand(opts), o))
	opts.StateDir = crashed(t, opts.StateDir)
	journal := filepath.Join(opts.StateDir, "journal")
	whole, err := os.ReadFile(journal)
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(whole), "\n")
	if err := os.WriteFile(journal, []byte(first+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d.value = 9
	wantNo(t, finish(t, l.hand(opts), o), failed, "reallocated sectors grew from 2 to 9")
}

// A test that the nerve can not wait for any more does not count, and the order may be sent again.
func TestHand_BurnInIsInterruptedDuringTheSelfTest(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.attach("NEW", 2, 64*mib)
	blank := l.hash("NEW")
	opts := l.options(&recorder{})
	asked := make(chan struct{}, 10)
	opts.SelfTest = func(string) (selftest.Device, error) { return &endless{asked}, nil }
	h, err := hand.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	o := order(burnIn, "NEW", 2)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Execute(ctx, o); err != nil {
		t.Fatal(err)
	}
	<-asked // before the burn-in
	<-asked // and in it
	if err := h.Close(ctx); err != nil {
		t.Fatal(err)
	}
	j, err := os.ReadFile(filepath.Join(opts.StateDir, "journal"))
	if err != nil || !strings.Contains(string(j), `"reason":"interrupted: nerve stops"`) {
		t.Errorf("journal %s, %v", j, err)
	}
	opts.SelfTest = func(string) (selftest.Device, error) { return &talker{value: 0}, nil }
	wantDone(t, finish(t, l.hand(opts), o))
	if l.hash("NEW") != blank {
		t.Error("the disk is not zero again")
	}
}

// endless is a disk whose self-test never ends.
type endless struct{ asked chan struct{} }

func (e *endless) Look() (selftest.Report, error) {
	e.asked <- struct{}{}
	return selftest.Report{Offers: true, Running: true}, nil
}
func (e *endless) Start() error { return nil }
func (e *endless) Close() error { return nil }
