package repairer_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"glia"
	"glia/repairer"
)

const n, s, c = repairer.StormNormal, repairer.StormBlowing, repairer.StormCoolDown

var stormLimits = repairer.StormLimits{Disks: 3, HostShare: 0.1, Hosts: 3, CoolDown: 10 * time.Minute}

// hosts are so many healthy hosts of 36 disks, of which the first have such a sign.
func hosts(all int, domain string, some int, sign repairer.HostSigns) (out []repairer.HostSigns) {
	for i := range all {
		h := repairer.HostSigns{}
		if i < some {
			h = sign
		}
		h.Host, h.Disks = fmt.Sprint(domain, "-", i), 36
		if domain != "" {
			h.Domains = []string{domain}
		}
		out = append(out, h)
	}
	return out
}

func TestNextStorms_PhasesOfTheFleet(t *testing.T) {
	t.Parallel()
	gone, one := repairer.HostSigns{Unseen: true}, repairer.HostSigns{Bad: 1}
	for _, tc := range []struct {
		name     string
		prev     repairer.StormPhase
		ago      time.Duration // since when
		signs    []repairer.HostSigns
		expected int
		want     repairer.StormPhase
	}{
		{"calm", n, 0, hosts(100, "", 0, gone), 0, n},
		{"the first look", "", 0, hosts(100, "", 0, gone), 0, n},
		{"three disks are no storm", n, 0, hosts(100, "", 3, one), 0, n},
		{"four are", n, 0, hosts(100, "", 4, one), 0, s},
		{"four are none in a large fleet", n, 0, hosts(100, "", 4, one), 12, n},
		{"13 are one in a large fleet", n, 0, hosts(100, "", 13, one), 12, s},
		{"more than a tenth of the hosts", n, 0, hosts(100, "", 11, gone), 0, s},
		{"a tenth is none", n, 0, hosts(100, "", 10, gone), 0, n},
		{"two of three hosts are too few", n, 0, hosts(3, "", 2, gone), 0, n},
		{"three of three are one", n, 0, hosts(3, "", 3, gone), 0, s},
		{"it goes on", s, time.Hour, hosts(100, "", 11, gone), 0, s},
		{"it is over", s, time.Hour, hosts(100, "", 0, gone), 0, c},
		{"cooling down", c, 10*time.Minute - 1, hosts(100, "", 0, gone), 0, c},
		{"cooled down", c, 10 * time.Minute, hosts(100, "", 0, gone), 0, n},
		{"it comes back", c, time.Minute, hosts(100, "", 4, one), 0, s},
		{"an unknown state stays", "hail", time.Hour, hosts(100, "", 0, gone), 0, "hail"},
	} {
		prev := repairer.Storms{"fleet": {Phase: tc.prev, Since: wnow.Add(-tc.ago)}}
		got := repairer.NextStorms(prev, stormLimits, tc.signs, func(int) int { return tc.expected }, wnow)["fleet"].Phase
		if got != tc.want && (got != "" || tc.want != n) {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
	all := repairer.HostSigns{Bad: 36, Unseen: true}
	if got := repairer.NextStorms(nil, repairer.StormLimits{}, hosts(9, "", 9, all), func(int) int { return 0 }, wnow); len(got) != 0 {
		t.Errorf("without limits: %+v", got)
	}
}

// One cause is one storm, in the smallest scope that explains it.
func TestNextStorms_Scopes(t *testing.T) {
	t.Parallel()
	gone, one, many := repairer.HostSigns{Unseen: true}, repairer.HostSigns{Bad: 1}, repairer.HostSigns{Bad: 36}
	for _, tc := range []struct {
		name  string
		rack  []repairer.HostSigns
		other []repairer.HostSigns // in row b
		prev  repairer.Storms
		want  string
	}{
		{"a rack without power", hosts(40, "r", 40, gone), nil, nil, "domain:r storm"},
		{"all disks of a rack", hosts(40, "r", 40, many), nil, nil, "domain:r storm"},
		{"a disk in each host of a rack", hosts(40, "r", 40, one), nil, nil, "domain:r storm"},
		{"all disks of a host", hosts(40, "r", 1, many), nil, nil, "host:r-0 storm"},
		{"all disks of two hosts", hosts(40, "r", 2, many), nil, nil, "host:r-0 storm, host:r-1 storm"},
		{"the storms of hosts become that of the rack", hosts(40, "r", 9, many), nil, repairer.Storms{"host:r-0": {Phase: s}}, "domain:r storm"},
		{"a host stays bad when its rack is well", hosts(40, "r", 1, many), nil, repairer.Storms{"domain:r": {Phase: s}}, "domain:r cool-down, host:r-0 storm"},
		{"two racks", hosts(40, "r", 40, gone), hosts(40, "q", 40, many), nil, "domain:q storm, domain:r storm"},
		{"a few disks elsewhere", hosts(40, "r", 40, many), hosts(40, "q", 3, one), nil, "domain:r storm"},
		{"a disk in each of many racks is chance", hosts(40, "r", 3, one), hosts(40, "q", 3, one), nil, ""},
		{"so many of the fleet", hosts(40, "r", 40, gone), hosts(400, "q", 400, gone), repairer.Storms{"domain:r": {Phase: s}}, "fleet storm"},
	} {
		signs := slices.Concat(hosts(2720, "", 0, gone), tc.rack, tc.other)
		var got []string
		for scope, storm := range repairer.NextStorms(tc.prev, stormLimits, signs, func(disks int) int { return disks / 7200 }, wnow) {
			got = append(got, fmt.Sprint(scope, " ", storm.Phase))
		}
		slices.Sort(got)
		if strings.Join(got, ", ") != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
}

// A rack within a row: both are domains of its hosts.
func TestNextStorms_DomainWithinADomain(t *testing.T) {
	t.Parallel()
	signs := slices.Concat(hosts(400, "row", 0, repairer.HostSigns{}), hosts(40, "rack", 40, repairer.HostSigns{Bad: 1}))
	for i := range signs {
		signs[i].Domains = []string{"row"}
		if i >= 400 {
			signs[i].Domains = []string{"row", "rack"}
		}
	}
	none := func(int) int { return 0 }
	if got := repairer.NextStorms(nil, stormLimits, signs, none, wnow); len(got) != 1 || got["domain:rack"].Phase != s {
		t.Errorf("only the rack is in trouble: %+v", got)
	}
	for i := range 100 {
		signs[i].Unseen = true
	}
	if got := repairer.NextStorms(repairer.Storms{"domain:rack": {Phase: s}}, repairer.StormLimits{Disks: 3, HostShare: 0.2, Hosts: 3}, slices.Concat(signs, hosts(2000, "", 0, repairer.HostSigns{})), none, wnow); len(got) != 1 || got["domain:row"].Phase != s {
		t.Errorf("the whole row is: %+v", got)
	}
}

var wnow = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) // a Sunday

func TestReadSigns(t *testing.T) {
	t.Parallel()
	states := []glia.State{glia.StateFailing, glia.StateFailed}
	disk := func(s glia.State, since time.Duration) glia.DiskStatus {
		return glia.DiskStatus{Verdict: glia.Verdict{State: s, ObservedAt: wnow, Reasons: []glia.Reason{{State: s, Since: wnow.Add(-since)}}}}
	}
	hosts := map[string]glia.HostView{
		"left":         {Member: glia.Member{Status: glia.MemberLeft}},
		"a[r] 0 true":  {Member: glia.Member{Status: glia.MemberGone, Announcement: glia.Announcement{Bad: []glia.BadDisk{{State: glia.StateFailed}}}}},
		"a[r] 1 false": {Member: glia.Member{Status: glia.MemberAlive, Announcement: glia.Announcement{Bad: []glia.BadDisk{{State: glia.StateFailed}, {State: glia.StateSuspect}}}}},
		"a[r] 2 false": {Member: glia.Member{Status: glia.MemberAlive}, Disks: []glia.DiskStatus{
			disk(glia.StateFailed, time.Hour), disk(glia.StateFailing, 0), disk(glia.StateFailed, 25*time.Hour), disk(glia.StateWorn, 0), disk(glia.StateMissing, 0), disk(glia.StateUnknown, 0)}},
	}
	for want, h := range hosts {
		h.Member.Announcement.Host = "a"
		in := func(string) []string { return []string{"r"} }
		signs := repairer.ReadSigns(glia.FleetView{Hosts: []glia.HostView{h}}, states, day, in, wnow)
		got := "left"
		for _, s := range signs {
			got = fmt.Sprint(s.Host, s.Domains, " ", s.Bad, " ", s.Unseen)
		}
		if got != want {
			t.Errorf("%+v: %s, want %s", h, got, want)
		}
	}
}

func TestReadSigns_HostThatCanNotBeRead(t *testing.T) {
	t.Parallel()
	view := glia.FleetView{Hosts: []glia.HostView{{Member: glia.Member{Status: glia.MemberAlive}, Problem: "no answer"}, {Member: glia.Member{Status: glia.MemberAlive, Problem: "no tags"}}}}
	for _, s := range repairer.ReadSigns(view, nil, day, func(string) []string { return nil }, wnow) {
		if !s.Unseen {
			t.Errorf("%+v", s)
		}
	}
}
