package nerve_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"glia"
	"glia/nerve"
	"glia/nerve/disk/uevent"
)

// kernel tells the nerve what the test wants told.
type kernel struct{ batches chan uevent.Batch }

func (k kernel) Run(ctx context.Context, tell func(uevent.Batch)) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case b := <-k.batches:
			tell(b)
		}
	}
}

func (b *bench) runWith(t *testing.T, dir string, e nerve.Events, log *slog.Logger) (*nerve.Nerve, func()) {
	t.Helper()
	o := b.options(dir)
	o.Events, o.Interval = e, time.Minute
	if log != nil {
		o.Log = log
	}
	n, err := nerve.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	time.Sleep(time.Second)
	return n, func() { cancel(); <-done }
}

func TestNerve_AnnouncesADiskThatTheKernelToldOfWithinASecond(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		before *uevent.Batch // told long before the pull
		batch  *uevent.Batch // told with the pull
		back   time.Duration // when the disk is there again; 0 is never
		least  time.Duration // until the disk is announced as missing
		most   time.Duration // 0 is never
	}{
		{"pulled", nil, &uevent.Batch{Names: []string{"sd2"}}, 0, 500 * time.Millisecond, time.Second},
		{"pulled, and the kernel had to drop the event", nil, &uevent.Batch{Lost: true}, 0, 5 * time.Second, 6 * time.Second},
		{"pulled, and nothing is told", nil, nil, 0, 5 * time.Second, 11 * time.Second},
		{"another disk is told of", nil, &uevent.Batch{Names: []string{"sd9"}}, 0, 5 * time.Second, 6 * time.Second},
		{"told of a minute ago", &uevent.Batch{Names: []string{"sd2"}}, nil, 0, 5 * time.Second, 11 * time.Second},
		{"back at once", nil, &uevent.Batch{Names: []string{"sd2"}}, 300 * time.Millisecond, 0, 0},
		{"a reset of the link", nil, nil, 3 * time.Second, 0, 0},
	} {
		dir := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			b, k := newBench("A", "B"), kernel{make(chan uevent.Batch)}
			n, stop := b.runWith(t, dir, k, nil)
			defer stop()
			if tc.before != nil {
				k.batches <- *tc.before
			}
			time.Sleep(time.Minute)
			slot := b.disks["B"]
			b.do(func() { delete(b.disks, "B") })
			pulled := time.Now()
			if tc.batch != nil {
				k.batches <- *tc.batch
			}
			var missing time.Duration
			for time.Since(pulled) < 15*time.Second {
				time.Sleep(50 * time.Millisecond)
				if tc.back > 0 && time.Since(pulled) >= tc.back {
					b.do(func() { b.disks["B"] = slot })
				}
				b.do(func() {
					if last := b.said[len(b.said)-1]; missing == 0 && last.Worst == glia.StateMissing {
						missing = time.Since(pulled)
					}
				})
			}
			if missing < tc.least || missing > tc.most || tc.back > 0 && state(n, "B") != glia.StateHealthy {
				t.Errorf("%s: announced as missing after %s, want %s to %s; it is %s now", tc.name, missing, tc.least, tc.most, state(n, "B"))
			}
		})
	}
}

func TestNerve_ANewDiskIsProbedAsSoonAsTheKernelTells(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b, k := newBench("A"), kernel{make(chan uevent.Batch)}
		n, stop := b.runWith(t, dir, k, nil)
		defer stop()
		b.do(func() { b.disks["NEW"] = "7" })
		k.batches <- uevent.Batch{Names: []string{"sd7"}}
		synctest.Wait()
		if s := state(n, "NEW"); s != glia.StateHealthy {
			t.Errorf("the new disk is %s", s)
		}
		b.do(func() {
			if last := b.said[len(b.said)-1]; last.DiskCount != 2 {
				t.Errorf("%d disks are announced", last.DiskCount)
			}
		})
	})
}

type deaf struct{}

func (deaf) Run(context.Context, func(uevent.Batch)) error { return errors.New("no such socket") }

func TestNerve_WithoutEventsTheScansNotice(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := newBench("A", "B")
		var mu sync.Mutex
		var text strings.Builder
		n, stop := b.runWith(t, dir, deaf{}, slog.New(slog.NewTextHandler(locked{&mu, &text}, nil)))
		defer stop()
		b.do(func() { delete(b.disks, "B") })
		time.Sleep(11 * time.Second)
		if s := state(n, "B"); s != glia.StateMissing {
			t.Errorf("B is %s", s)
		}
		mu.Lock()
		defer mu.Unlock()
		if !strings.Contains(text.String(), "no such socket") {
			t.Errorf("nothing says that no events come: %s", text.String())
		}
	})
}

type locked struct {
	mu *sync.Mutex
	w  *strings.Builder
}

func (l locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}
