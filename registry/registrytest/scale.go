package registrytest

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"glia"
	"glia/internal/figures"
	"glia/registry"
)

// The figures of the scale benchmark.
const (
	scaleHosts   = 1000
	scaleRate    = 100 // changes a second
	scaleChanges = 1000
	scalePace    = 100 * time.Millisecond // between two readings of one consumer, as in a synapse

	// Targets: one read a change, and what each reading of the whole asks once; MB of a watcher.
	scaleRequests = 1.2
	scaleMemory   = 50
)

// Scale has a thousand hosts announce a hundred changes a second in all, and one consumer that reads as a synapse
// does. It reports how long a change takes until the consumer has it, how many requests the consumer makes for
// one, and its memory. It fails when an announcement is lost. Requests tells how many the consumer has made; nil
// counts its readings.
func Scale(b *testing.B, host func() registry.Announcer, watcher func() registry.Watcher, requests func() int) {
	b.Helper()
	hosts := make([]registry.Announcer, scaleHosts)
	var g errgroup.Group
	g.SetLimit(32)
	for i := range hosts {
		g.Go(func() error {
			hosts[i] = host()
			return hosts[i].Announce(b.Context(), Announcement(fmt.Sprintf("node-%04d", i), 1))
		})
	}
	if err := g.Wait(); err != nil {
		b.Fatal(err)
	}
	before := heap()
	c := consume(b, watcher())
	for c.newest() < 1 {
		c.wait(b)
	}
	memory := heap() - before
	readings := func() int { c.mu.Lock(); defer c.mu.Unlock(); return c.readings }
	if requests == nil {
		requests = readings
	}
	asked := requests()
	for b.Loop() {
		tick := time.NewTicker(time.Second / scaleRate)
		generation := c.newest() + 1
		for i := range scaleChanges {
			<-tick.C
			name := fmt.Sprintf("node-%04d", i%scaleHosts)
			c.mu.Lock()
			c.announced[name] = time.Now()
			c.mu.Unlock()
			g.Go(func() error {
				return hosts[i%scaleHosts].Announce(b.Context(), Announcement(name, generation))
			})
		}
		tick.Stop()
		if err := g.Wait(); err != nil {
			b.Fatal(err)
		}
		for c.newest() < generation {
			c.wait(b)
		}
	}
	made := requests() - asked
	c.mu.Lock()
	defer c.mu.Unlock()
	slices.Sort(c.took)
	b.ReportMetric(float64(c.took[len(c.took)/2].Milliseconds()), "ms/median")
	b.ReportMetric(float64(c.took[len(c.took)*99/100].Milliseconds()), "ms/p99")
	b.ReportMetric(float64(made)/float64(len(c.took)), "requests/change")
	b.ReportMetric(scaleRequests, "requests/change"+figures.AtMost)
	b.ReportMetric(float64(memory)/(1<<20), "MB/watcher")
	b.ReportMetric(scaleMemory, "MB/watcher"+figures.AtMost)
	b.ReportMetric(0, "ns/op")
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc) //nolint:gosec // far below 2^63
}

// consumer reads after each signal, not more often than scalePace.
type consumer struct {
	mu        sync.Mutex
	seen      map[string]uint64 // generation by host
	announced map[string]time.Time
	took      []time.Duration
	readings  int
	read      chan struct{}
}

func consume(b *testing.B, w registry.Watcher) *consumer {
	c := &consumer{seen: map[string]uint64{}, announced: map[string]time.Time{}, read: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan struct{})
	b.Cleanup(func() { cancel(); <-done })
	go func() {
		defer close(done)
		for changes := w.Changes(ctx); ; {
			select {
			case <-ctx.Done():
				return
			case <-changes:
			}
			if m, err := w.Members(ctx); err == nil {
				c.take(m)
			} else if ctx.Err() == nil {
				b.Error(err)
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(scalePace):
			}
		}
	}()
	return c
}

func (c *consumer) take(members []glia.Member) {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.readings++
	for _, m := range members {
		host, generation := m.Announcement.Host, m.Announcement.Generation
		if c.seen[host] == generation || m.Status != glia.MemberAlive {
			continue
		}
		c.seen[host] = generation
		if at, ok := c.announced[host]; ok {
			c.took = append(c.took, now.Sub(at))
		}
	}
	select {
	case c.read <- struct{}{}:
	default:
	}
}

// newest is the generation that every host has at least; 0 before all are seen.
func (c *consumer) newest() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.seen) < scaleHosts {
		return 0
	}
	least := ^uint64(0)
	for _, g := range c.seen {
		least = min(least, g)
	}
	return least
}

func (c *consumer) wait(b *testing.B) {
	b.Helper()
	select {
	case <-c.read:
	case <-time.After(Patience):
		b.Fatal("announcements are lost")
	}
}
