package uevent

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Gather is how long events are gathered from the first one on. A shelf that comes back brings hundreds
// within milliseconds, and the kernel sends the event of a disk that goes before the disk has left sysfs.
// It also bounds the looks that a device can cause that never rests: five a second.
const Gather = 200 * time.Millisecond

// Batch is what was told within Gather.
type Batch struct {
	Names []string // kernel names of the disks that events were about; sorted, each once
	Lost  bool     // the kernel had to drop events: any disk may have come or gone
}

// gatherer makes batches of events. Its memory is bounded by the names that devices can have. It is safe
// for concurrent use.
type gatherer struct {
	mu    sync.Mutex
	names map[string]bool
	lost  bool
	first chan struct{} // has a value from the first event of a batch on
}

func newGatherer() *gatherer {
	return &gatherer{names: map[string]bool{}, first: make(chan struct{}, 1)}
}

func (g *gatherer) add(name string, lost bool) {
	g.mu.Lock()
	if name != "" {
		g.names[name] = true
	}
	g.lost = g.lost || lost
	g.mu.Unlock()
	select {
	case g.first <- struct{}{}:
	default:
	}
}

// run tells each batch, one after another, until ctx ends.
func (g *gatherer) run(ctx context.Context, tell func(Batch)) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.first:
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(Gather):
		}
		g.mu.Lock()
		b := Batch{Lost: g.lost}
		for name := range g.names {
			b.Names = append(b.Names, name)
		}
		g.names, g.lost = map[string]bool{}, false
		// What came since the first event is in this batch.
		select {
		case <-g.first:
		default:
		}
		g.mu.Unlock()
		slices.Sort(b.Names)
		tell(b)
	}
}
