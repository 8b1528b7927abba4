package uevent_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"glia/nerve/disk/uevent"
)

func TestGatherer_MakesOneBatchOfABurst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := uevent.NewGatherer()
		ctx, cancel := context.WithCancel(t.Context())
		began := time.Now()
		type told struct {
			after time.Duration
			uevent.Batch
		}
		var all []told
		done := make(chan struct{})
		go func() {
			defer close(done)
			g.Run(ctx, func(b uevent.Batch) { all = append(all, told{time.Since(began), b}) })
		}()
		// A shelf comes back: 36 disks within the time of one batch, each told three times.
		for i := range 36 {
			for range 3 {
				g.Add(fmt.Sprintf("sd%02d", i), false)
			}
			time.Sleep(uevent.Gather / 40)
		}
		time.Sleep(time.Second)
		g.Add("", true)
		time.Sleep(time.Hour)
		cancel()
		<-done
		if len(all) != 2 || len(all[0].Names) != 36 || all[0].Lost || !slices.IsSorted(all[0].Names) {
			t.Fatalf("%+v", all)
		}
		if all[0].after != uevent.Gather {
			t.Errorf("told after %s", all[0].after)
		}
		if !all[1].Lost || len(all[1].Names) != 0 {
			t.Errorf("after a loss %+v is told", all[1])
		}
	})
}
