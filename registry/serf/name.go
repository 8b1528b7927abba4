package serf

import (
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	hserf "github.com/hashicorp/serf/serf"
)

// nameGuard notices another member under our own name. Serf shows it what every other member says
// about the cluster before merging it. It is safe for concurrent use, and calls nothing of Serf,
// because Serf calls it with locks held.
type nameGuard struct {
	node   string
	memory time.Duration // how long a sighting counts: a few exchanges of the whole state
	log    *slog.Logger
	own    atomic.Pointer[string] // our own address; nil until known

	mu    sync.Mutex
	other string    // address of the other one
	seen  time.Time // last time that somebody told of it
}

var _ hserf.MergeDelegate = (*nameGuard)(nil)

// NotifyMerge never refuses: the others must be seen whatever happens to us.
func (g *nameGuard) NotifyMerge(members []*hserf.Member) error {
	own := g.own.Load()
	for _, m := range members {
		if own == nil || m.Name != g.node || m.Status == hserf.StatusLeft {
			continue
		}
		if addr := memberAddr(*m); addr != *own {
			g.note(addr, time.Now())
		}
	}
	return nil
}

func (g *nameGuard) note(addr string, now time.Time) {
	g.mu.Lock()
	fresh := g.other != addr || now.Sub(g.seen) > g.memory
	g.other, g.seen = addr, now
	g.mu.Unlock()
	if fresh {
		g.log.Error("node name is used twice; rename one of the two", "node", g.node, "own", *g.own.Load(), "other", addr)
	}
}

func (g *nameGuard) problem(now time.Time) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.other == "" || now.Sub(g.seen) > g.memory {
		return nil
	}
	return fmt.Errorf("node name %s is used at %s too, so others may not see this host; rename one of the two", g.node, g.other)
}
