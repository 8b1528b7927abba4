package hand_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"glia"
	gliav1 "glia/api/glia/v1"
)

// enclosure makes a fake sysfs with two shelves, and returns it and the light of enc0 slot 2.
func enclosure(t *testing.T) (sys, light string) {
	t.Helper()
	sys = t.TempDir()
	for file, content := range map[string]string{
		"6:0:0:0/id": "enc0\n", "6:0:0:0/Slot 02/slot": "2\n", "6:0:0:0/Slot 02/locate": "0\n",
		"6:0:0:0/Slot 03/slot": "3\n", "6:0:0:0/Slot 03/locate": "0\n",
		"7:0:0:0/id": "0x0\n", "7:0:0:0/Bay B/slot": "\n", "7:0:0:0/Bay B/locate": "0\n",
	} {
		path := filepath.Join(sys, "class", "enclosure", file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return sys, filepath.Join(sys, "class/enclosure/6:0:0:0/Slot 02/locate")
}

const (
	locate = gliav1.Verb_VERB_LOCATE
	done   = gliav1.OrderState_ORDER_STATE_DONE
)

func switched(on bool) func(*gliav1.Order) { return func(o *gliav1.Order) { o.On = on } }

// The light is found by its place, so that it can be switched off when the disk is gone.
func TestHand_LocateByEnclosure(t *testing.T) {
	t.Parallel()
	l := fakeLab(t)
	l.add("OLD", 2, "sdz", 64*mib)
	sys, light := enclosure(t)
	opts := l.options(&recorder{})
	opts.Sys = sys
	h := l.hand(opts)
	is := func(want string) {
		t.Helper()
		all, _ := filepath.Glob(filepath.Join(sys, "class/enclosure/*/*/locate"))
		for _, f := range all {
			b, _ := os.ReadFile(f)
			if got := strings.TrimSpace(string(b)); f == light && got != want || f != light && got != "0" {
				t.Errorf("%s is %s", f, got)
			}
		}
	}
	r := finish(t, h, order(locate, "OLD", 2, switched(true)))
	wantDone(t, r)
	if r.Output != "the locate light of enc0 slot 2 is on" || !slices.Equal(r.Commands, []string{"echo 1 > " + light}) {
		t.Errorf("%q, %q", r.Output, r.Commands)
	}
	is("1")
	l.pull("OLD")
	wantDone(t, finish(t, h, order(locate, "OLD", 2, switched(false))))
	is("0")
	// One key is one direction.
	o := order(locate, "OLD", 2, switched(true))
	wantDone(t, finish(t, h, o))
	o.On = false
	wantNo(t, finish(t, h, o), refused, "a new act needs a new key")
	is("1")
}

func TestHand_LocateOfAShelfWithoutAName(t *testing.T) {
	t.Parallel()
	l := fakeLab(t)
	opts := l.options(&recorder{})
	opts.Sys, _ = enclosure(t)
	o := order(locate, "OLD", 2, switched(true), func(o *gliav1.Order) {
		o.Place = glia.Location{Enclosure: "7:0:0:0", Slot: "Bay B"}.Place()
	})
	wantDone(t, finish(t, l.hand(opts), o))
	if b, _ := os.ReadFile(filepath.Join(opts.Sys, "class/enclosure/7:0:0:0/Bay B/locate")); string(b) != "1" {
		t.Errorf("the light is %q", b)
	}
}

func TestHand_LocateByCommandOrNotAtAll(t *testing.T) {
	t.Parallel()
	tool := filepath.Join(t.TempDir(), "ledctl")
	if err := os.WriteFile(tool, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		command []string
		there   []string // serials in the slot
		on      bool
		ran     []string
		state   gliav1.OrderState
		says    string
	}{
		"on":               {[]string{tool, "-x"}, []string{"OLD"}, true, []string{tool + " -x locate=/dev/sdz"}, done, "is on"},
		"off":              {[]string{tool}, []string{"NEW"}, false, []string{tool + " locate_off=/dev/sdz"}, done, "is off"},
		"on, another disk": {[]string{tool}, []string{"NEW"}, true, nil, refused, "in enc0 slot 3 is NEW, not OLD"},
		"off, no disk":     {[]string{tool}, nil, false, nil, done, "no locate light known for enc0 slot 3"},
		"two disks":        {[]string{tool}, []string{"OLD", "NEW"}, true, nil, done, "there are 2"},
		"not installed":    {[]string{tool + "-not"}, []string{"OLD"}, true, nil, done, "is not installed"},
		"not configured":   {nil, []string{"OLD"}, true, nil, done, "no locate_command is configured"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := fakeLab(t)
			for _, s := range tc.there {
				l.add(s, 3, "sdz", 64*mib)
			}
			rec := &recorder{}
			opts := l.options(rec)
			opts.Sys, opts.LocateCommand = t.TempDir(), tc.command
			r := finish(t, l.hand(opts), order(locate, "OLD", 3, switched(tc.on)))
			if r.State != tc.state || !strings.Contains(r.Output+r.Reason, tc.says) || !slices.Equal(rec.Calls(), tc.ran) {
				t.Errorf("%s %q %q, ran %q", r.State, r.Output, r.Reason, rec.Calls())
			}
		})
	}
}
