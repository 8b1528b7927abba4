package synapse_test

import (
	"context"
	"fmt"
	"testing"

	"glia"
	"glia/registry/memory"
	"glia/synapse"
)

// fleetOf announces n hosts of which every hundredth has a bad disk.
func fleetOf(tb testing.TB, n int) (*memory.Registry, *fakes) {
	tb.Helper()
	r, f := new(memory.Registry), newFakes()
	for i := range n {
		host, state := fmt.Sprintf("node-%04d", i), glia.StateHealthy
		if i%100 == 0 {
			state = glia.StateFailing
		}
		if err := r.Announce(context.Background(), f.set(host, 1, disk(host, "a", state))); err != nil {
			tb.Fatal(err)
		}
	}
	return r, f
}

func TestFleet_TwoThousandHosts(t *testing.T) {
	t.Parallel()
	r, nerves := fleetOf(t, 2000)
	f := run(t, synapse.Options{Watcher: r, Nerves: nerves.client})
	details := func(v glia.FleetView) (n int) {
		for _, h := range v.Hosts {
			if len(h.Disks) > 0 {
				n++
			}
		}
		return n
	}
	await(t, f, "twenty details", func(v glia.FleetView) bool { return len(v.Hosts) == 2000 && details(v) == 20 })
	nerves.mu.Lock()
	defer nerves.mu.Unlock()
	if n := len(nerves.asked); n != 20 {
		t.Errorf("%d hosts were asked, want the 20 bad ones", n)
	}
}

// BenchmarkFleet_Change measures from a change in a registry of 2,000 hosts to the view that shows it.
// It includes the 100 ms that two views are kept apart, which the processor is idle for.
func BenchmarkFleet_Change(b *testing.B) {
	r, nerves := fleetOf(b, 2000)
	f := synapse.New(synapse.Options{Watcher: r, Nerves: nerves.client})
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan struct{})
	go func() { f.Run(ctx); close(done) }()
	defer func() { cancel(); <-done }()
	changes := f.Changes(ctx)
	for g := uint64(2); b.Loop(); g++ {
		if err := r.Announce(ctx, glia.Announcement{Host: "node-0001", Generation: g, Worst: glia.StateHealthy}); err != nil {
			b.Fatal(err)
		}
		for of(f.View(), "node-0001").Member.Announcement.Generation != g {
			<-changes
		}
	}
}
