package hand_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"glia"
	gliav1 "glia/api/glia/v1"
	"glia/nerve/hand"
)

func epoch(n uint64) func(*gliav1.Order) { return func(o *gliav1.Order) { o.Epoch = n } }

// Invariant 5: an older epoch is refused for every verb, also after a restart.
func TestHand_RefusesADeposedRepairer(t *testing.T) {
	t.Parallel()
	l := fakeLab(t)
	l.add("OLD", 1, "loop999", 32*mib)
	rec := &recorder{}
	opts := l.options(rec)
	opts.DrainHook = []string{"drain"}
	h := l.hand(opts)
	wantDone(t, finish(t, h, order(drain, "OLD", 1, epoch(8))))
	check := func(h *hand.Hand) {
		t.Helper()
		for _, verb := range []gliav1.Verb{drain, unmount, inspect, format, mount, rejoin} {
			for _, dry := range []bool{false, true} {
				_, err := h.Execute(t.Context(), order(verb, "OLD", 1, epoch(7), on("/data/x"), func(o *gliav1.Order) { o.DryRun = dry }))
				if !errors.Is(err, glia.ErrStaleEpoch) || !strings.Contains(err.Error(), "order of epoch 7") || !strings.Contains(err.Error(), ": 8;") {
					t.Errorf("%s dry=%t: got %v", verb, dry, err)
				}
			}
		}
	}
	check(h)
	stop(t, h)
	check(l.hand(opts))
	if calls := rec.Calls(); len(calls) != 1 {
		t.Errorf("ran %q", calls)
	}
}

// A repairer that is deposed while the hand still checks its order is stopped before the act, and the
// new one's order with the same key is carried out.
func TestHand_StopsAnActThatHasNotBegun(t *testing.T) {
	t.Parallel()
	l := fakeLab(t)
	l.add("OLD", 1, "loop999", 32*mib)
	l.add("B", 2, "loop998", 32*mib)
	rec := &recorder{}
	opts := l.options(rec)
	opts.DrainHook = []string{"drain"}
	looking, goOn := make(chan struct{}), make(chan struct{})
	opts.Inventory = func(context.Context) ([]glia.Disk, error) {
		select {
		case looking <- struct{}{}:
			<-goOn
		case <-goOn:
		}
		return l.inventory(), nil
	}
	h := l.hand(opts)
	o := order(drain, "OLD", 1, epoch(5))
	first := make(chan error)
	go func() {
		_, err := outcome(h, o)
		first <- err
	}()
	<-looking
	second := make(chan *gliav1.ExecuteResponse)
	go func() {
		newer := order(drain, "OLD", 1, epoch(6))
		newer.Key = o.Key
		r, err := outcome(h, newer)
		if err != nil {
			t.Error(err)
		}
		second <- r
	}()
	for { // until epoch 6 is known
		_, err := h.Execute(t.Context(), order(drain, "OLD", 1, epoch(5), func(o *gliav1.Order) { o.Key = "case-1/x" }))
		if errors.Is(err, glia.ErrStaleEpoch) {
			break
		}
	}
	close(goOn)
	if err := <-first; !errors.Is(err, glia.ErrStaleEpoch) {
		t.Errorf("the deposed repairer got %v", err)
	}
	wantDone(t, <-second)
	if calls := rec.Calls(); len(calls) != 1 {
		t.Errorf("ran %q", calls)
	}
	if j, _ := os.ReadFile(filepath.Join(l.dir, "state", "journal")); strings.Contains(string(j), `"epoch":5`) {
		t.Errorf("epoch 5 acted:\n%s", j)
	}
}

func TestNew_RefusesAStateItDoesNotUnderstand(t *testing.T) {
	t.Parallel()
	const good = `{"at":"2026-01-02T03:04:05Z","event":"begun","key":"k","epoch":5,"case":"c","verb":"drain","serial":"S","place":"p"}` + "\n"
	end := strings.Replace(good, "begun", "done", 1)
	for _, c := range []struct {
		name, epoch, journal, says string
	}{
		{"nothing", "", "", ""},
		{"good", "5\n", good + end, ""},
		{"good, repeated after a crash", "5\n", good + good + strings.Replace(end, "done", "failed", 1) + good + end, ""},
		{"torn", "5\n", good + end[:40], ""},
		{"torn first line", "5\n", "{", ""},
		{"zeros of a torn write", "5\n", good + strings.Repeat("\x00", 100), ""},
		{"epoch cut", "5", good, "is not an epoch"},
		{"epoch of words", "five\n", "", "is not an epoch"},
		{"epoch zero", "0\n", "", "is not an epoch"},
		{"epoch lost", "", good, "says 0, but the journal has an act of epoch 5"},
		{"epoch from a backup", "4\n", good, "says 4, but the journal has an act of epoch 5"},
		{"garbage in the middle", "5\n", good + "garbage\n" + end, "journal line 2 is not an entry"},
		{"garbage at the end, with a newline", "5\n", good + "garbage\n", "journal line 2 is not an entry"},
		{"two entries glued", "5\n", strings.TrimSpace(good) + end, "journal line 1 has something after its entry"},
		{"empty line", "5\n", "\n" + good, "journal line 1 is not an entry"},
		{"unknown field", "5\n", strings.Replace(good, `"key"`, `"kee"`, 1), "line 1 is not an entry"},
		{"no key", "5\n", strings.Replace(good, `"k"`, `""`, 1), "line 1 lacks key"},
		{"unknown event", "5\n", strings.Replace(good, "begun", "began", 1), `line 1 has the event "began"`},
		{"end without begin", "5\n", end, "line 1 ends k, which was not begun"},
		{"two ends", "5\n", good + end + end, "line 3 ends k"},
		{"begun after done", "5\n", good + end + good, "line 3 begins k again"},
		{"another act under the key", "5\n", good + strings.Replace(end, `"S"`, `"T"`, 1), "line 2 is about another act"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := fakeLab(t)
			dir := l.mkdir("state")
			if c.epoch != "" {
				os.WriteFile(filepath.Join(dir, "epoch"), []byte(c.epoch), 0o600)
			}
			os.WriteFile(filepath.Join(dir, "journal"), []byte(c.journal), 0o600)
			h, err := hand.New(l.options(&recorder{}))
			if err == nil {
				stop(t, h)
			}
			if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Fatalf("got %v, want %q", err, c.says)
			}
			after, _ := os.ReadFile(filepath.Join(dir, "journal"))
			if err != nil && string(after) != c.journal {
				t.Errorf("the journal was changed to %q", after)
			}
			if err == nil && !strings.HasPrefix(c.journal, string(after)) {
				t.Errorf("the journal was changed to %q", after)
			}
		})
	}
}

func TestNew_OneHandADirectory(t *testing.T) {
	t.Parallel()
	l := fakeLab(t)
	h := l.hand(l.options(&recorder{}))
	if _, err := hand.New(l.options(&recorder{})); err == nil || !strings.Contains(err.Error(), "used by another nerve") {
		t.Errorf("got %v", err)
	}
	stop(t, h)
	l.hand(l.options(&recorder{}))
}

// Whatever the journal holds, New takes it or says why not; what it takes, it takes again.
func FuzzNew_Journal(f *testing.F) {
	const line = `{"at":"2026-01-02T03:04:05Z","event":"begun","key":"k","epoch":5,"case":"c","verb":"drain","serial":"S","place":"p"}` + "\n"
	for _, s := range []string{"", "\n", line, line + strings.Replace(line, "begun", "done", 1), line + line[:20], "null\n", "{}\n", `{"at":1}` + "\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, journal []byte) {
		l := fakeLab(t)
		dir := l.mkdir("state")
		os.WriteFile(filepath.Join(dir, "epoch"), []byte("18446744073709551615\n"), 0o600)
		os.WriteFile(filepath.Join(dir, "journal"), journal, 0o600)
		h, err := hand.New(l.options(&recorder{}))
		if err != nil {
			return
		}
		stop(t, h)
		h, err = hand.New(l.options(&recorder{}))
		if err != nil {
			t.Fatalf("taken once, then: %v", err)
		}
		stop(t, h)
	})
}
