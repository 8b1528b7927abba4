package serf_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
	hserf "github.com/hashicorp/serf/serf"

	"glia"
	"glia/internal/figures"
	"glia/registry"
	"glia/registry/registrytest"
	"glia/registry/serf"
)

const (
	peers = 64 // members of each cluster
	turns = 30 // changes that are measured in each cluster
	kills = 6  // and deaths
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
	name  string
	mark  registry.Mark
	alive map[string]uint64 // generation by host
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
	return &ours{Agent: a, name: name, alive: map[string]uint64{}}
}

func (p *ours) set(b *testing.B, generation uint64) {
	if err := p.Announce(b.Context(), registrytest.Announcement(p.name, generation)); err != nil {
		b.Fatal(err)
	}
}

// generation takes over what has changed, as a synapse does.
func (p *ours) generation(ctx context.Context, host string) uint64 {
	d, err := p.Since(ctx, p.mark)
	if err != nil {
		return 0 // it sees nobody yet
	}
	p.mark = d.Mark
	for _, h := range d.Hosts {
		delete(p.alive, h.Name)
		for _, m := range h.Members {
			if m.Status == glia.MemberAlive {
				p.alive[h.Name] = m.Announcement.Generation
			}
		}
	}
	return p.alive[host]
}

func (p *ours) changes(ctx context.Context) <-chan struct{} { return p.Changes(ctx) }
func (p *ours) addr() string                                { return p.Addr() }
func (p *ours) crash() error                                { return p.Abort() }

// plain is a member that Serf's own library makes, with the same tags.
type plain struct {
	*hserf.Serf
	name   string
	events chan hserf.Event
	own    string

	mu   sync.Mutex
	told map[chan struct{}]struct{}
}

func startPlain(b *testing.B, name, join string) peer {
	c := hserf.DefaultConfig()
	c.MemberlistConfig = memberlist.DefaultLANConfig()
	c.MemberlistConfig.BindAddr, c.MemberlistConfig.BindPort = "127.0.0.1", 0
	c.NodeName, c.Tags = name, digest(b, name, 1)
	c.LogOutput, c.MemberlistConfig.LogOutput = io.Discard, io.Discard
	p := &plain{name: name, events: make(chan hserf.Event, 1024), told: map[chan struct{}]struct{}{}}
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
	if err := p.SetTags(digest(b, p.name, generation)); err != nil {
		b.Fatal(err)
	}
}

// digest is what both clusters announce of a host.
func digest(b *testing.B, name string, generation uint64) map[string]string {
	b.Helper()
	tags, err := serf.EncodeDigest(registrytest.Announcement(name, generation), nil)
	if err != nil {
		b.Fatal(err)
	}
	return tags
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

// BenchmarkAgent_AgainstSerf has two clusters of 64 members with the timings of a LAN, ours and one of plain Serf with the same
// tags, which take turns: from a change of a tag until all have seen it, with the processor's time that it takes, and from
// the death of a member until all have. Both clusters gossip all the time, so that each turn pays for both. Figures are medians.
func BenchmarkAgent_AgainstSerf(b *testing.B) {
	clusters := [][]peer{gang(b, startOurs), gang(b, startPlain)}
	var change, death, work [2][]float64
	for b.Loop() {
		for turn := range turns {
			for _, i := range []int{turn % 2, 1 - turn%2} {
				c, from := clusters[i], turn*(peers-kills)/turns
				busy, began := processor(b), time.Now()
				c[from].set(b, uint64(turn)+2) //nolint:gosec // small
				seen(b, c, fmt.Sprintf("node-%d", from), uint64(turn)+2)
				change[i] = append(change[i], time.Since(began).Seconds()*1000)
				work[i] = append(work[i], (processor(b)-busy).Seconds()*1000)
			}
		}
		for turn := range kills {
			var both sync.WaitGroup
			for i, c := range clusters {
				both.Go(func() { // this takes long, and nothing of the processor
					at := len(c) - 1 - turn
					began := time.Now()
					if err := c[at].crash(); err != nil {
						b.Error(err)
					}
					seen(b, c[:at], fmt.Sprintf("node-%d", at), 0)
					death[i] = append(death[i], time.Since(began).Seconds()*1000)
				})
			}
			both.Wait()
		}
	}
	report := func(what string, both [2][]float64) (ratio float64) {
		for i, whose := range []string{"", "plain-"} {
			slices.Sort(both[i])
			b.ReportMetric(both[i][len(both[i])/2], whose+what)
		}
		return both[0][len(both[0])/2] / both[1][len(both[1])/2]
	}
	b.ReportMetric(report("ms/change", change), "change-ratio")
	b.ReportMetric(1.05, "change-ratio"+figures.AtMost)
	b.ReportMetric(report("ms/death", death), "death-ratio")
	b.ReportMetric(1.05, "death-ratio"+figures.AtMost)
	report("cpu-ms/change", work)
	b.ReportMetric(0, "ns/op")
}

// processor is how long this process has used it.
func processor(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
