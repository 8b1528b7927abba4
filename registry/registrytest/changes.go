package registrytest

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"glia"
	"glia/registry"
)

// Follower is a reader that adds up what a watcher says has changed.
type Follower struct {
	Mark  registry.Mark // of the state that it has
	hosts map[string][]glia.Member
}

// Take takes over a delta, and says how many hosts it tells of.
func (f *Follower) Take(d registry.Delta) int {
	if d.Whole || f.hosts == nil {
		f.hosts = map[string][]glia.Member{}
	}
	for _, h := range d.Hosts {
		if f.hosts[h.Name] = h.Members; len(h.Members) == 0 {
			delete(f.hosts, h.Name)
		}
	}
	f.Mark = d.Mark
	return len(d.Hosts)
}

// Members is the state that the follower has, in the order of a watcher.
func (f *Follower) Members() []glia.Member {
	out := slices.Concat(slices.Collect(maps.Values(f.hosts))...)
	slices.SortFunc(out, func(a, b glia.Member) int {
		return cmp.Or(strings.Compare(a.Announcement.Host, b.Announcement.Host), strings.Compare(a.Announcement.API, b.Announcement.API))
	})
	return out
}

// Matches says whether the follower has what the watcher tells as its whole state.
func (f *Follower) Matches(whole []glia.Member) bool {
	mine := f.Members()
	return len(mine) == 0 && len(whole) == 0 || reflect.DeepEqual(mine, whole)
}

// follow takes over what has changed.
func (f *Follower) follow(t *testing.T, w registry.Watcher) int {
	t.Helper()
	d, err := w.Since(t.Context(), f.Mark)
	if err != nil {
		t.Logf("the next delta tells it, too: %v", err)
		return 0
	}
	return f.Take(d)
}

// settle follows until nothing changes any more, and returns what the watcher tells as its whole state then.
func (f *Follower) settle(t *testing.T, w registry.Watcher) []glia.Member {
	t.Helper()
	for limit := time.Now().Add(Patience); time.Now().Before(limit); {
		f.follow(t, w)
		whole, err := w.Members(t.Context())
		if err != nil {
			t.Logf("asked again: %v", err)
			continue
		}
		if f.follow(t, w) == 0 {
			return whole
		}
	}
	t.Fatal("told of changed hosts although nothing changes")
	return nil
}

// background follows each signal until the returned function is called.
func (f *Follower) background(t *testing.T, w registry.Watcher) (end func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	changes := w.Changes(ctx)
	var done sync.WaitGroup
	done.Go(func() {
		for {
			select {
			case <-changes:
			case <-ctx.Done():
				return
			}
			if d, err := w.Since(ctx, f.Mark); err == nil {
				f.Take(d)
			}
		}
	})
	return func() { cancel(); done.Wait() }
}

// What happens to the hosts of testChanges: so many things, and so many of them ends, which backends take their time to show.
const (
	steps = 16
	ends  = 2
)

// testChanges lets hosts come, announce, leave, crash and come back in a random order. Readers that ask for what has changed,
// after each signal or now and then, must have added up the whole in the end.
func testChanges(t *testing.T, c Cluster) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, seed)) //nolint:gosec // a test
	w := c.Watcher(t)
	var eager, lazy Follower
	end := eager.background(t, w)
	defer end()
	hosts, truth := map[string]Host{}, map[string]glia.Member{}
	ended := 0
	for i := range steps {
		name := fmt.Sprintf("node-%d", random.IntN(3))
		h, up := hosts[name]
		switch {
		case up && ended < ends && random.IntN(3) == 0:
			Await(t, w, name+" before its end", has(truth[name])) // what nobody has heard yet ends with the host
			m := glia.Member{Announcement: truth[name].Announcement, Status: glia.MemberLeft}
			if ended++; random.IntN(2) == 0 {
				m.Status = glia.MemberGone
				h.Crash(t)
			} else {
				h.Leave(t)
			}
			delete(hosts, name)
			truth[name] = m
			Await(t, w, name+" as "+string(m.Status), has(m))
		default:
			if !up {
				h = c.Host(t, name)
				hosts[name] = h
			}
			a := Announcement(name, uint64(i)+1) //nolint:gosec // small
			a.DiskCount = random.IntN(100)
			announce(t, h, a)
			truth[name] = alive(a)
		}
		if random.IntN(3) == 0 {
			lazy.follow(t, w)
		}
	}
	want := slices.SortedFunc(maps.Values(truth), func(a, b glia.Member) int {
		return strings.Compare(a.Announcement.Host, b.Announcement.Host)
	})
	Await(t, w, fmt.Sprintf("the truth, which is %+v", want), shows(want...))
	end()
	for what, f := range map[string]*Follower{"after each signal": &eager, "now and then": &lazy} {
		if whole := f.settle(t, w); !f.Matches(whole) {
			t.Errorf("what changed %s adds up to %+v, and the whole is %+v", what, f.Members(), whole)
		}
	}
	if d, err := w.Since(t.Context(), registry.Mark{}); err != nil || !d.Whole || len(d.Hosts) != len(want) {
		t.Errorf("without a mark it tells %+v, error %v", d, err)
	}
	stranger := new(registry.Journal).Since(registry.Mark{}).Mark
	if d, err := w.Since(t.Context(), stranger); err != nil || !d.Whole || len(d.Hosts) != len(want) {
		t.Errorf("with the mark of another watcher it tells %+v, error %v", d, err)
	}
}

func has(m glia.Member) func([]glia.Member) bool {
	return func(all []glia.Member) bool {
		return slices.ContainsFunc(all, func(x glia.Member) bool { return reflect.DeepEqual(x, m) })
	}
}
