package repairer_test

import (
	"sync"
	"testing"

	"connectrpc.com/connect"

	gliav1 "glia/api/glia/v1"
	"glia/repairer"
)

// Those who watch one case share what is read of it, and each is told of every event once, in order.
func TestService_ManyWatchersMissNothing(t *testing.T) {
	t.Parallel()
	const watchers = 30
	w := newWorld(t, nil)
	api := w.serve()
	w.fail("node-1", "2")
	c := w.phase("N1S2", repairer.PhaseAwaitingReplacement)
	seen := make([][]uint64, watchers)
	var all, first sync.WaitGroup
	for i := range watchers {
		first.Add(1)
		all.Go(func() {
			begun := sync.OnceFunc(first.Done)
			defer begun()
			stream, err := api.WatchCase(t.Context(), connect.NewRequest(&gliav1.WatchCaseRequest{Id: c.ID}))
			if err != nil {
				t.Error(err)
				return
			}
			for stream.Receive() {
				for _, e := range stream.Msg().GetEvents() {
					seen[i] = append(seen[i], e.GetSeq())
				}
				begun()
			}
			if err := stream.Err(); err != nil {
				t.Error(err)
			}
		})
	}
	first.Wait()
	w.swap("node-1", "2", blank("NEW1"))
	w.phase("N1S2", repairer.PhaseClosed)
	all.Wait()
	events, err := w.store.Events(t.Context(), c.ID, 0)
	if err != nil {
		t.Fatal(err)
	}
	for i, got := range seen {
		if len(got) != len(events) {
			t.Errorf("watcher %d was told of %d events, the log has %d", i, len(got), len(events))
			continue
		}
		for n, e := range events {
			if got[n] != e.Seq {
				t.Errorf("watcher %d was told of event %d where %d was", i, got[n], e.Seq)
				break
			}
		}
	}
}
