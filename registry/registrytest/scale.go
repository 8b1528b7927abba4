package registrytest

import (
	"context"
	"fmt"
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
// one, and the peak memory of a process that does nothing else than watching. It fails when an announcement is lost.
// Requests tells how many the consumer has made; nil counts its readings. The arguments are those of AnnouncerMain.
func Scale(b *testing.B, host func() registry.Announcer, watcher func() registry.Watcher, requests func() int, args ...string) {
	b.Helper()
	hosts := make([]registry.Announcer, scaleHosts)
	var g errgroup.Group
	g.SetLimit(32)
	for i := range hosts {
		hosts[i] = host()
		first := Announcement(fmt.Sprintf("node-%04d", i), 1)
		if i == 0 { // the server may have just begun
			for began := time.Now(); hosts[i].Announce(b.Context(), first) != nil && time.Since(began) < Patience; {
				time.Sleep(scalePace)
			}
		}
		g.Go(func() error { return hosts[i].Announce(b.Context(), first) })
	}
	if err := g.Wait(); err != nil {
		b.Fatal(err)
	}
	other := &alone{startWatcher(b, args), map[string]uint64{}}
	other.await(b, 1)
	c := consume(b, watcher())
	for c.newest() < 1 {
		c.wait(b)
	}
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
	other.await(b, c.newest())
	c.mu.Lock()
	defer c.mu.Unlock()
	slices.Sort(c.took)
	b.ReportMetric(float64(c.took[len(c.took)/2].Milliseconds()), "ms/median")
	b.ReportMetric(float64(c.took[len(c.took)*99/100].Milliseconds()), "ms/p99")
	b.ReportMetric(float64(made)/float64(len(c.took)), "requests/change")
	b.ReportMetric(scaleRequests, "requests/change"+figures.AtMost)
	b.ReportMetric(other.peak(b), "MB/watcher")
	b.ReportMetric(scaleMemory, "MB/watcher"+figures.AtMost)
	b.ReportMetric(0, "ns/op")
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
	return least(c.seen)
}

func (c *consumer) wait(b *testing.B) {
	b.Helper()
	select {
	case <-c.read:
	case <-time.After(Patience):
		b.Fatal("announcements are lost")
	}
}
