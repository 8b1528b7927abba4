package nerve_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"glia/nerve"
	"glia/registry/memory"
)

// Every tick announces; the registry is written when something has changed, and not for an hour in which nothing does.
func TestNerve_WritesNothingInAnHourWithoutChange(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b, r := newBench("A", "B", "C"), new(memory.Registry)
		b.errors["B"] = 1
		o := b.options(dir)
		o.Announcer = r
		n, err := nerve.New(o)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- n.Run(ctx) }()
		time.Sleep(10 * time.Minute) // until the verdicts stand
		synctest.Wait()
		before, probed := r.Writes(), 0
		b.do(func() { probed = b.probes["A"] })
		time.Sleep(time.Hour)
		synctest.Wait()
		if after := r.Writes(); before == 0 || after != before {
			t.Errorf("%d writes became %d", before, after)
		}
		b.do(func() {
			if n := b.probes["A"] - probed; n < 300 {
				t.Errorf("the disk was probed %d times in the hour", n)
			}
			b.errors["A"] = 1
		})
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if r.Writes() == before {
			t.Error("a change was not written")
		}
		cancel()
		<-done
	})
}
