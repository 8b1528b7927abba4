package repairer_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"glia"
	"glia/internal/sim"
	"glia/repairer"
)

// surrounded is the simulated fleet amid many more hosts, which no case ever reaches.
type surrounded struct {
	*sim.Fleet
	now  func() time.Time
	rack func(glia.HostView) glia.HostView // what has become of the hosts of the rack
}

func (s surrounded) View() (glia.FleetView, error) {
	view, err := s.Fleet.View()
	for i := range 2800 {
		name := fmt.Sprintf("other-%d", i)
		if i < 40 {
			name = fmt.Sprintf("rack7-%d", i)
		}
		h := glia.HostView{Member: glia.Member{Announcement: glia.Announcement{Host: name, DiskCount: 36}, Status: glia.MemberAlive}, FetchedAt: s.now()}
		if i < 40 && s.rack != nil {
			h = s.rack(h)
		}
		view.Hosts = append(view.Hosts, h)
	}
	return view, err
}

// broken makes so many disks of a host fail.
func broken(h glia.HostView, disks int, now time.Time) glia.HostView {
	for d := range disks {
		name := h.Member.Announcement.Host
		h.Disks = append(h.Disks, glia.DiskStatus{
			Disk: glia.Disk{
				Identity: glia.Identity{Serial: fmt.Sprintf("%s-%d", name, d), Model: "M", Firmware: "F", Size: 1000, Class: glia.ClassHDD},
				Location: glia.Location{Host: name, Slot: fmt.Sprint(d), Device: "sda"},
			},
			Verdict: glia.Verdict{State: glia.StateFailed, ObservedAt: now, ExpiresAt: now.Add(time.Hour), Reasons: []glia.Reason{
				{Class: glia.Media, State: glia.StateFailed, Since: now}, {Class: glia.Filesystem, State: glia.StateFailed, Since: now}}},
		})
	}
	return h
}

// Trouble of one rack of 40 hosts of 36 disks in a fleet of 2,800 hosts is one finding and no case, and a
// disk elsewhere is repaired as ever. It stays so over a restart.
func TestEngine_StormOfOneRack(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		disks   int // of each host that fail, before
		gone    bool
		finding string
	}{
		"loses its power":        {36, true, "storm in domain:rack-7: 40 of 40 hosts are gone or can not be read: suspect power or the network"},
		"is cut off":             {0, true, "storm in domain:rack-7: 40 of 40 hosts are gone or can not be read: suspect power or the network"},
		"has bad disks all over": {1, false, "storm in domain:rack-7: 40 disks turned bad together, 3 are credible: suspect power, controllers or a release of the prober"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var feed *surrounded
			w := newWorld(t, func(o *repairer.Options) {
				o.Limits.AFR, o.Limits.Window, o.Limits.Fleet = 0.015, day, 12
				o.Storms = repairer.StormLimits{Disks: 3, HostShare: 0.1, Hosts: 3, CoolDown: 30 * time.Second}
				o.Domains = []repairer.Domain{{Name: "rack-7", Hosts: []string{"rack7-*"}}}
				rack := func(h glia.HostView) glia.HostView { return h }
				if feed != nil {
					rack = feed.rack
				}
				feed = &surrounded{o.Feed.(*sim.Fleet), o.Now, rack}
				o.Feed = feed
			})
			w.tick()
			began := w.now
			feed.rack = func(h glia.HostView) glia.HostView { return broken(h, tc.disks, began) }
			w.ticks(2)
			if tc.gone {
				feed.rack = func(h glia.HostView) glia.HostView { h.Member.Status = glia.MemberGone; return h }
			}
			w.fail("node-1", "2")
			w.phase("N1S2", repairer.PhaseAwaitingReplacement)
			w.open()
			w.ticks(3)
			if f := w.engine.Findings(); len(f) != 1 || f[0] != tc.finding {
				t.Errorf("findings %q", f)
			}
			// The rack is well again but for one disk, which waits until the storm is surely over.
			back := w.now
			feed.rack = func(h glia.HostView) glia.HostView {
				if strings.HasSuffix(h.Member.Announcement.Host, "-3") {
					h = broken(h, 1, back)
				}
				return h
			}
			w.open()
			w.ticks(3)
			c := w.held("rack7-3-0", repairer.GateStorm)
			cases, err := w.store.Cases(t.Context(), true)
			if err != nil || len(cases) != 2 || c.Confirmed || c.Phase != repairer.PhaseConfirming {
				t.Errorf("%d cases, %v; that of the rack is %s", len(cases), err, c.Phase)
			}
			if list, err := w.tickets.Tickets(t.Context(), true); err != nil || len(list) != 1 {
				t.Errorf("%d tickets, %v", len(list), err)
			}
		})
	}
}
