package synapse_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"glia"
	"glia/registry"
	"glia/registry/memory"
	"glia/synapse"
)

// TestFleet_FollowsAnyChanges lets announcers come, change, go and be forgotten at random, some of them under one name. In the end
// the view that took over each change is that of a synapse that read all anew, and the metrics count what it shows.
func TestFleet_FollowsAnyChanges(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		random := rand.New(rand.NewPCG(seed, seed)) //nolint:gosec // a test
		var r memory.Registry
		nerves := newFakes()
		metrics := prometheus.NewRegistry()
		f := run(t, synapse.Options{Watcher: &r, Nerves: nerves.client, Resync: time.Hour, Registerer: metrics})
		after(time.Second) // so that all that follows is told as changes
		states := []glia.State{glia.StateHealthy, glia.StateHealthy, glia.StateUnknown, glia.StateSuspect, glia.StateFailed}
		for step := range 2000 {
			name := fmt.Sprintf("announcer-%02d", random.IntN(50))
			switch random.IntN(6) {
			case 0:
				r.Forget(name)
			case 1:
				r.SetStatus(name, glia.MemberGone)
			case 2:
				r.SetStatus(name, glia.MemberLeft)
			default:
				host := fmt.Sprintf("host-%02d", random.IntN(40))
				a := nerves.set(host, uint64(step), disk(host, "a", states[random.IntN(len(states))])) //nolint:gosec // small
				a.API = name + ":1"
				r.Put(name, glia.Member{Announcement: a, Status: glia.MemberAlive})
			}
			if random.IntN(10) == 0 {
				after(time.Duration(random.IntN(1000)) * time.Millisecond)
			}
		}
		after(2 * time.Hour) // drops the detail of those that are well again
		g := run(t, synapse.Options{Watcher: &r, Nerves: nerves.client, Resync: time.Hour})
		after(time.Second)
		got, want := f.View(), g.View()
		if len(got.Hosts) != len(want.Hosts) || len(want.Hosts) == 0 {
			t.Fatalf("shows %d hosts, and a new one shows %d", len(got.Hosts), len(want.Hosts))
		}
		for i, h := range got.Hosts {
			if !reflect.DeepEqual(h.Member, want.Hosts[i].Member) {
				t.Errorf("shows %+v, and a new one shows %+v", h.Member, want.Hosts[i].Member)
			}
			name := h.Member.Announcement.Host
			if one, ok := f.Host(name); !ok || !reflect.DeepEqual(one, h) {
				t.Errorf("%s by itself is %+v, and in the whole view %+v", name, one, h)
			}
		}
		if _, ok := f.Host("never-seen"); ok {
			t.Error("shows a host that nobody announced")
		}
		counted := map[string]float64{}
		for _, h := range got.Hosts {
			counted["glia_fleet_hosts "+string(h.Member.Status)]++
			if h.Member.Status != glia.MemberAlive {
				continue
			}
			if h.FetchedAt.IsZero() || h.Problem != "" {
				for _, b := range h.Member.Announcement.Bad {
					counted["glia_fleet_disks_bad "+b.State.String()]++
				}
				continue
			}
			for _, d := range h.Disks {
				counted["glia_fleet_disks_bad "+d.Verdict.State.String()]++
			}
		}
		for series, n := range gather(t, metrics) {
			if strings.HasPrefix(series, "glia_fleet_") && n != counted[series] {
				t.Errorf("%s is %v, and the view has %v", series, n, counted[series])
			}
		}
	})
}

// lossy is a registry that tells no change but in its whole state.
type lossy struct{ *memory.Registry }

func (r lossy) Since(ctx context.Context, m registry.Mark) (registry.Delta, error) {
	d, err := r.Registry.Since(ctx, m)
	if !d.Whole {
		d.Hosts = nil
	}
	return d, err
}

func TestFleet_AResyncHealsAChangeThatWasLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var r memory.Registry
		announce(t, &r, glia.Announcement{Host: "changes", Generation: 1, API: "h:1"}, glia.Announcement{Host: "goes", API: "h:2"})
		f := run(t, synapse.Options{Watcher: lossy{&r}, Nerves: newFakes().client})
		after(time.Second)
		announce(t, &r, glia.Announcement{Host: "changes", Generation: 2, API: "h:1"}, glia.Announcement{Host: "comes", API: "h:3"})
		r.Forget("goes")
		after(10 * time.Second)
		if v := f.View(); len(v.Hosts) != 2 || of(v, "changes").Member.Announcement.Generation != 1 {
			t.Fatalf("the changes are not lost: %+v", v)
		}
		for range 12 { // signals must not put the resync off
			r.SetStatus("comes", glia.MemberGone)
			r.SetStatus("comes", glia.MemberAlive)
			after(2 * time.Second)
		}
		v := f.View()
		if len(v.Hosts) != 2 || of(v, "changes").Member.Announcement.Generation != 2 || of(v, "comes").Member.Status != glia.MemberAlive {
			t.Errorf("one resync later it shows %+v", v)
		}
	})
}
