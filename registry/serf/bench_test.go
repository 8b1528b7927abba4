package serf_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
	hserf "github.com/hashicorp/serf/serf"

	"glia"
	"glia/internal/figures"
	"glia/registry/registrytest"
	"glia/registry/serf"
)

const (
	peers = 64 // members of each cluster
	turns = 12 // measurements of each cluster
)

// peer is one member of a cluster that is measured: ours, or plain Serf.
type peer interface {
	set(b *testing.B, generation uint64)
	generation(ctx context.Context, host string) uint64 // as this member sees that one; 0 when it is not alive
	changes(ctx context.Context) <-chan struct{}
	addr() string
	crash() error
}

// ours is a member of this package.
type ours struct {
	*serf.Agent
	name string
}

func startOurs(b *testing.B, name, join string) peer {
	first := registrytest.Announcement(name, 1)
	o := serf.Options{Node: name, Bind: "127.0.0.1:0", First: &first}
	if join != "" {
		o.Join = []string{join}
	}
	a, err := serf.Start(o)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = a.Abort() })
	return ours{a, name}
}

func (p ours) set(b *testing.B, generation uint64) {
	if err := p.Announce(b.Context(), registrytest.Announcement(p.name, generation)); err != nil {
		b.Fatal(err)
	}
}

func (p ours) generation(ctx context.Context, host string) uint64 {
	all, _ := p.Members(ctx) // an error means that it sees nobody yet
	for _, m := range all {
		if m.Announcement.Host == host && m.Status == glia.MemberAlive {
			return m.Announcement.Generation
		}
	}
	return 0
}

func (p ours) changes(ctx context.Context) <-chan struct{} { return p.Changes(ctx) }
func (p ours) addr() string                                { return p.Addr() }
func (p ours) crash() error                                { return p.Abort() }

// plain is a member that Serf's own library makes, with a tag.
type plain struct {
	*hserf.Serf
	events chan hserf.Event
	own    string

	mu   sync.Mutex
	told map[chan struct{}]struct{}
}

func startPlain(b *testing.B, name, join string) peer {
	c := hserf.DefaultConfig()
	c.MemberlistConfig = memberlist.DefaultLANConfig()
	c.MemberlistConfig.BindAddr, c.MemberlistConfig.BindPort = "127.0.0.1", 0
	c.NodeName, c.Tags = name, map[string]string{"gen": "1"}
	c.LogOutput, c.MemberlistConfig.LogOutput = io.Discard, io.Discard
	p := &plain{events: make(chan hserf.Event, 1024), told: map[chan struct{}]struct{}{}}
	c.EventCh = p.events
	var err error
	if p.Serf, err = hserf.Create(c); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = p.Shutdown() })
	m := p.LocalMember()
	p.own = net.JoinHostPort(m.Addr.String(), strconv.Itoa(int(m.Port)))
	go func() {
		for {
			select {
			case <-p.events:
				p.mu.Lock()
				for ch := range p.told {
					select {
					case ch <- struct{}{}:
					default:
					}
				}
				p.mu.Unlock()
			case <-p.ShutdownCh():
				return
			}
		}
	}()
	if join != "" {
		for began := time.Now(); ; {
			_, err := p.Join([]string{join}, true)
			if err == nil {
				break
			}
			if time.Since(began) > registrytest.Patience {
				b.Fatal(err)
			}
		}
	}
	return p
}

func (p *plain) set(b *testing.B, generation uint64) {
	if err := p.SetTags(map[string]string{"gen": strconv.FormatUint(generation, 10)}); err != nil {
		b.Fatal(err)
	}
}

func (p *plain) generation(_ context.Context, host string) uint64 {
	for _, m := range p.Members() {
		if m.Name == host && m.Status == hserf.StatusAlive {
			g, _ := strconv.ParseUint(m.Tags["gen"], 10, 64)
			return g
		}
	}
	return 0
}

func (p *plain) changes(ctx context.Context) <-chan struct{} {
	ch := make(chan struct{}, 1)
	ch <- struct{}{}
	p.mu.Lock()
	p.told[ch] = struct{}{}
	p.mu.Unlock()
	context.AfterFunc(ctx, func() { p.mu.Lock(); delete(p.told, ch); p.mu.Unlock() })
	return ch
}

func (p *plain) addr() string { return p.own }
func (p *plain) crash() error { return p.Shutdown() }

// gang is a cluster of which each member sees all.
func gang(b *testing.B, start func(b *testing.B, name, join string) peer) []peer {
	var all []peer
	join := ""
	for i := range peers {
		all = append(all, start(b, fmt.Sprintf("node-%d", i), join))
		join = all[0].addr()
	}
	for i := range all {
		seen(b, all, fmt.Sprintf("node-%d", i), 1)
	}
	return all
}

// seen waits until each of these sees the generation of the host, where 0 is its death.
func seen(b *testing.B, by []peer, host string, generation uint64) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), 4*registrytest.Patience)
	defer cancel()
	var all sync.WaitGroup
	for _, p := range by {
		all.Go(func() {
			changes := p.changes(ctx)
			for p.generation(ctx, host) != generation {
				select {
				case <-changes:
				case <-ctx.Done():
					b.Errorf("generation %d of %s is not seen", generation, host)
					return
				}
			}
		})
	}
	all.Wait()
}

// BenchmarkAgent_AgainstSerf has two clusters of 64 members with the timings of a LAN, ours and one of plain Serf, which take
// turns: from a change of a tag until all have seen it, and from the death of a member until all have.
func BenchmarkAgent_AgainstSerf(b *testing.B) {
	clusters := [][]peer{gang(b, startOurs), gang(b, startPlain)}
	var change, death [2][]float64
	for b.Loop() {
		for turn := range turns {
			for i, c := range clusters {
				from := turn * peers / turns / 2
				began := time.Now()
				c[from].set(b, uint64(turn)+2)
				seen(b, c, fmt.Sprintf("node-%d", from), uint64(turn)+2)
				change[i] = append(change[i], time.Since(began).Seconds())
			}
		}
		for turn := range turns / 2 {
			var both sync.WaitGroup
			for i, c := range clusters {
				both.Go(func() { // this takes long, and nothing of the processor
					at := len(c) - 1 - turn
					began := time.Now()
					if err := c[at].crash(); err != nil {
						b.Error(err)
					}
					seen(b, c[:at], fmt.Sprintf("node-%d", at), 0)
					death[i] = append(death[i], time.Since(began).Seconds())
				})
			}
			both.Wait()
		}
	}
	report := func(what string, times [2][]float64) {
		for i := range times {
			slices.Sort(times[i])
		}
		mine, theirs := times[0][len(times[0])/2], times[1][len(times[1])/2]
		b.ReportMetric(mine*1000, "ms/"+what)
		b.ReportMetric(mine/theirs, what+"-ratio")
		b.ReportMetric(1.05, what+"-ratio"+figures.AtMost)
	}
	report("change", change)
	report("death", death)
	b.ReportMetric(0, "ns/op")
}
