package nerve_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"glia"
	"glia/nerve"
	"glia/nerve/disk/uevent"
)

// rechecked counts how its inventory is read.
type rechecked struct {
	*bench
	whole, again int
}

func (r *rechecked) ScanAll(ctx context.Context) ([]glia.Disk, map[string]string, error) {
	r.do(func() { r.whole++ })
	found, err := r.Scan(ctx)
	return found, nil, err
}

func (r *rechecked) Recheck(ctx context.Context) ([]glia.Disk, map[string]string, error) {
	r.do(func() { r.again++ })
	found, err := r.Scan(ctx)
	return found, nil, err
}

func TestNerve_ReadsTheWholeInventoryOnlyWhenItMustAndEveryOtherMinute(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		deaf         bool // the kernel can not be heard
		tell         int  // events
		whole, again int  // in ten minutes, at least
	}{
		"nothing is told":             {false, 0, 5, 100},
		"the kernel tells of disks":   {false, 20, 20, 90},
		"the kernel can not be heard": {true, 0, 119, 0},
	} {
		dir := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			b, k := &rechecked{bench: newBench("A")}, kernel{make(chan uevent.Batch)}
			o := b.options(dir)
			o.Inventory, o.Events, o.Interval = b, k, time.Minute
			if tc.deaf {
				o.Events = deaf{}
			}
			n, err := nerve.New(o)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- n.Run(ctx) }()
			for range tc.tell {
				time.Sleep(10 * time.Minute / time.Duration(tc.tell))
				k.batches <- uevent.Batch{Names: []string{"sd1"}}
			}
			if tc.tell == 0 {
				time.Sleep(10 * time.Minute)
			}
			synctest.Wait()
			cancel()
			<-done
			if most := tc.whole + 6; b.whole < tc.whole || b.whole > most || b.again < tc.again {
				t.Errorf("%s: %d whole scans, want %d to %d; %d rechecks, want %d at least", name, b.whole, tc.whole, most, b.again, tc.again)
			}
		})
	}
}
