package hand_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	gliav1 "glia/api/glia/v1"
	"glia/nerve/hand"
)

// crashed is a state directory as a crash leaves it.
func crashed(t *testing.T, from string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "state")
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}

// Invariant 6, wherever a crash cuts the journal: the act is done in the end, and not once more after
// its outcome is on the medium.
func TestHand_CrashWhileTheJournalIsWritten(t *testing.T) {
	t.Parallel()
	l := fakeLab(t)
	l.add("OLD", 1, "loop999", 32*mib)
	opts := l.options(&recorder{})
	opts.DrainHook = []string{"drain", "a b"}
	h := l.hand(opts)
	o := order(drain, "OLD", 1)
	wantDone(t, finish(t, h, o))
	whole, err := os.ReadFile(filepath.Join(opts.StateDir, "journal"))
	if err != nil {
		t.Fatal(err)
	}
	border := bytes.IndexByte(whole, '\n')
	cuts := []int{0, 1, border - 1, border, border + 1, border + 2, len(whole) - 2, len(whole) - 1, len(whole)}
	for n := 13; n < len(whole); n += 37 {
		cuts = append(cuts, n)
	}
	for _, n := range cuts {
		dir := crashed(t, opts.StateDir)
		if err := os.WriteFile(filepath.Join(dir, "journal"), whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		rec := &recorder{}
		opts := opts
		opts.StateDir, opts.System = dir, rec
		h, err := hand.New(opts)
		if err != nil {
			t.Fatalf("cut at byte %d: %v", n, err)
		}
		for range 2 {
			wantDone(t, finish(t, h, o))
		}
		stop(t, h)
		want := 1
		if n == len(whole) {
			want = 0
		}
		if calls := rec.Calls(); len(calls) != want {
			t.Fatalf("cut at byte %d: ran %q, want %d", n, calls, want)
		}
	}
}

// Every act is on the medium before it happens (invariant 11), with what it will do.
func TestHand_RecordsBeforeItActs(t *testing.T) {
	t.Parallel()
	l := fakeLab(t)
	l.add("OLD", 1, "loop999", 32*mib)
	rec := &recorder{}
	opts := l.options(rec)
	opts.DrainHook = []string{"drain", "a b"}
	journal := func() string {
		b, _ := os.ReadFile(filepath.Join(opts.StateDir, "journal"))
		return string(b)
	}
	rec.before = func(string) {
		if j := journal(); strings.Count(j, "\n") != 1 || !strings.Contains(j, `"event":"begun"`) || !strings.Contains(j, "drain 'a b'") {
			t.Errorf("before the act the journal is %q", j)
		}
		if e, _ := os.ReadFile(filepath.Join(opts.StateDir, "epoch")); string(e) != "5\n" {
			t.Errorf("before the act the epoch is %q", e)
		}
	}
	rec.run = func(context.Context, []string, []string) (string, error) {
		return "what it printed", fmt.Errorf("exit status 3")
	}
	wantNo(t, finish(t, l.hand(opts), order(drain, "OLD", 1)), failed, "drain hook: exit status 3")
	if j := journal(); !strings.Contains(j, `"event":"failed"`) || !strings.Contains(j, "what it printed") || !strings.Contains(j, "exit status 3") {
		t.Errorf("after the act the journal is %q", j)
	}
}

// A crash during format, at each point: our own half-made filesystem is made again, anybody else's
// is not touched.
func TestHand_CrashDuringFormat(t *testing.T) {
	t.Parallel()
	sizes := map[string]int64{"ext4": 32 * mib, "xfs": 320 * mib}
	for _, c := range []struct {
		name   string
		made   bool // mkfs had run when the crash came
		damage func(l *lab, dev string)
		says   string // empty: the format goes on
		force  bool
	}{
		{"before mkfs wrote", false, func(l *lab, dev string) {}, "", false},
		{"half made, no superblock yet", false, func(l *lab, dev string) { l.write(dev, 70000, "inode tables") }, "", true},
		{"made, not recorded", true, func(l *lab, dev string) {}, "", true},
		{"made, superblock damaged", true, func(l *lab, dev string) { l.write(dev, 1024+0x100, "x"); l.write(dev, 200, "x") }, "", true},
		{"another ext4 since", false, func(l *lab, dev string) { l.sh("mkfs.ext4", "-q", "-U", oldUUID, "/dev/"+dev) }, oldUUID, false},
		{"another type with our UUID", false, func(l *lab, dev string) { l.sh("mkfs.ext2", "-q", "-U", newUUID, "/dev/"+dev) }, "it carries ext2", false},
		{"made, and LVM since", true, func(l *lab, dev string) { l.write(dev, 512, "LABELONE") }, "it carries lvm2-pv", false},
		{"made, and MD at the end since", true, func(l *lab, dev string) { l.write(dev, -8192, "\xfc\x4e\x2b\xa9") }, "it carries md", false},
		{"made, and mounted since", true, func(l *lab, dev string) { l.sh("mount", "/dev/"+dev, l.mkdir("m")) }, "is mounted on", false},
	} {
		for fsType, size := range sizes {
			t.Run(fsType+" "+c.name, func(t *testing.T) {
				t.Parallel()
				l := newLab(t)
				l.alone(fsType)
				dev := l.attach("NEW", 2, size)
				var left string
				rec := &recorder{}
				rec.run = func(ctx context.Context, argv, env []string) (string, error) {
					if c.made {
						hand.Linux().Run(ctx, argv, env)
					}
					left = crashed(t, filepath.Join(l.dir, "state"))
					return "", fmt.Errorf("crash")
				}
				o := order(format, "NEW", 2, filesystem(&gliav1.Filesystem{Type: fsType, Uuid: newUUID, Label: "d"}))
				opts := l.options(rec)
				wantNo(t, finish(t, l.hand(opts), o), failed, "crash")

				c.damage(l, dev)
				before := l.hash("NEW")
				rec = &recorder{to: hand.Linux()}
				opts.System, opts.StateDir = rec, left
				h := l.hand(opts)
				r := finish(t, h, o)
				if c.says != "" {
					wantNo(t, r, refused, c.says)
					if l.hash("NEW") != before && c.name != "made, and mounted since" {
						t.Error("the disk was changed")
					}
					if calls := rec.Calls(); len(calls) > 0 {
						t.Errorf("ran %q", calls)
					}
					return
				}
				wantDone(t, r)
				force := map[string]string{"ext4": " -F ", "xfs": " -f "}[fsType]
				if got := strings.Contains(strings.Join(rec.Calls(), ";"), force); got != c.force {
					t.Errorf("ran %q, want force %t", rec.Calls(), c.force)
				}
				wantDone(t, finish(t, h, o))
				if calls := rec.Calls(); len(calls) != 1 {
					t.Errorf("ran %q", calls)
				}
				// The same disk under another key has no such privilege.
				wantNo(t, finish(t, h, order(format, "NEW", 2, filesystem(o.Filesystem))), refused, "not blank")
			})
		}
	}
}

func TestNew_DropsWhatEndedLongAgo(t *testing.T) {
	t.Parallel()
	l := fakeLab(t)
	l.add("OLD", 1, "loop999", 32*mib)
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	rec := &recorder{}
	opts := l.options(rec)
	opts.DrainHook = []string{"drain"}
	opts.Now = func() time.Time { return now }
	path := filepath.Join(opts.StateDir, "journal")

	h := l.hand(opts)
	first, second := order(drain, "OLD", 1), order(drain, "OLD", 1)
	wantDone(t, finish(t, h, first))
	now = now.Add(2 * 24 * time.Hour)
	wantDone(t, finish(t, h, second))
	stop(t, h)

	now = now.Add(89 * 24 * time.Hour)
	h = l.hand(opts)
	j, _ := os.ReadFile(path)
	if strings.Contains(string(j), `"`+first.Key+`"`) || strings.Count(string(j), `"`+second.Key+`"`) != 2 {
		t.Errorf("the journal is %s", j)
	}
	wantDone(t, finish(t, h, second))
	if calls := rec.Calls(); len(calls) != 2 {
		t.Errorf("ran %q", calls)
	}
	wantDone(t, finish(t, h, first))
	stop(t, h)

	// An act that a crash cut short is kept however old it is.
	data, _ := os.ReadFile(path)
	lines := strings.SplitAfter(string(data), "\n")
	os.WriteFile(path, []byte(strings.Join(lines[:len(lines)-2], "")), 0o600)
	now = now.Add(1000 * 24 * time.Hour)
	l.hand(opts)
	if j, _ := os.ReadFile(path); strings.Count(string(j), "\n") != 1 || !strings.Contains(string(j), `"`+first.Key+`"`) {
		t.Errorf("the journal is %s", j)
	}
}

// Without an audit log there are no acts; once there is room again, there are.
func TestHand_DoesNotActWhenTheJournalIsFull(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.add("A", 1, "loop999", mib)
	rec := &recorder{}
	opts := l.options(rec)
	opts.DrainHook = []string{"drain"}
	dir := l.mkdir("state")
	l.sh("mount", "-t", "tmpfs", "-o", "size=64k", "none", dir)
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	h := l.hand(opts)
	wantDone(t, finish(t, h, order(drain, "A", 1)))

	fill := filepath.Join(dir, "fill")
	if err := os.WriteFile(fill, make([]byte, 1<<20), 0o600); !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	o := order(drain, "A", 1, func(o *gliav1.Order) { o.Filesystem.Options = strings.Repeat("x", 8192) })
	wantNo(t, finish(t, h, o), refused, "the act can not be recorded", "no space left")
	if _, err := h.Execute(t.Context(), order(drain, "A", 1, epoch(6))); !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), "remember epoch 6") {
		t.Errorf("an epoch that can not be remembered gives %v", err)
	}
	if calls := rec.Calls(); len(calls) != 1 {
		t.Errorf("ran %q", calls)
	}
	os.Remove(fill)
	wantDone(t, finish(t, h, order(drain, "A", 1))) // shorter than the line that did not fit
	stop(t, h)
	h = l.hand(opts)
	wantDone(t, finish(t, h, o))
	stop(t, h)
	wantDone(t, finish(t, l.hand(opts), o))
}
