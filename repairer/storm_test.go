package repairer_test

import (
	"fmt"
	"testing"
	"time"

	"glia"
	"glia/repairer"
)

func TestNextStorm_States(t *testing.T) {
	t.Parallel()
	limits := repairer.StormLimits{Disks: 3, HostShare: 0.1, Hosts: 3, CoolDown: 10 * time.Minute}
	calm, disks, hosts := repairer.Signs{Hosts: 100}, repairer.Signs{Bad: 4, Hosts: 100}, repairer.Signs{Unseen: 11, Hosts: 100}
	const n, s, c = repairer.StormNormal, repairer.StormBlowing, repairer.StormCoolDown
	for _, tc := range []struct {
		name     string
		prev     repairer.StormPhase
		ago      time.Duration // since when
		signs    repairer.Signs
		expected int
		want     repairer.StormPhase
	}{
		{"calm", n, 0, calm, 0, n},
		{"the first look", "", 0, calm, 0, ""},
		{"three disks are no storm", n, 0, repairer.Signs{Bad: 3, Hosts: 100}, 0, n},
		{"four are", n, 0, disks, 0, s},
		{"four are none in a large fleet", n, 0, disks, 12, n},
		{"13 are one in a large fleet", n, 0, repairer.Signs{Bad: 13, Hosts: 100}, 12, s},
		{"more than a tenth of the hosts", n, 0, hosts, 0, s},
		{"a tenth is none", n, 0, repairer.Signs{Unseen: 10, Hosts: 100}, 0, n},
		{"two of three hosts are too few", n, 0, repairer.Signs{Unseen: 2, Hosts: 3}, 0, n},
		{"three of three are one", n, 0, repairer.Signs{Unseen: 3, Hosts: 3}, 0, s},
		{"it goes on", s, time.Hour, hosts, 0, s},
		{"it is over", s, time.Hour, calm, 0, c},
		{"cooling down", c, 10*time.Minute - 1, calm, 0, c},
		{"cooled down", c, 10 * time.Minute, calm, 0, n},
		{"it comes back", c, time.Minute, disks, 0, s},
	} {
		got := repairer.NextStorm(repairer.Storm{Phase: tc.prev, Since: wnow.Add(-tc.ago)}, limits, tc.signs, tc.expected, wnow)
		if got.Phase != tc.want {
			t.Errorf("%s: %+v, want %q", tc.name, got, tc.want)
		}
	}
	if got := repairer.NextStorm(repairer.Storm{}, repairer.StormLimits{}, repairer.Signs{Bad: 99, Unseen: 99, Hosts: 99}, 0, wnow); got.Phase != "" {
		t.Errorf("without limits: %+v", got)
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
		"0 0": {Member: glia.Member{Status: glia.MemberLeft}},
		"0 1": {Member: glia.Member{Status: glia.MemberGone, Announcement: glia.Announcement{Bad: []glia.BadDisk{{State: glia.StateFailed}}}}},
		"1 0": {Member: glia.Member{Status: glia.MemberAlive, Announcement: glia.Announcement{Bad: []glia.BadDisk{{State: glia.StateFailed}, {State: glia.StateSuspect}}}}},
		"2 0": {Member: glia.Member{Status: glia.MemberAlive}, Disks: []glia.DiskStatus{
			disk(glia.StateFailed, time.Hour), disk(glia.StateFailing, 0), disk(glia.StateFailed, 25*time.Hour), disk(glia.StateWorn, 0), disk(glia.StateMissing, 0), disk(glia.StateUnknown, 0)}},
		"0 2": {Member: glia.Member{Status: glia.MemberAlive}, Problem: "no answer"},
	}
	for want, h := range hosts {
		s := repairer.ReadSigns(glia.FleetView{Hosts: []glia.HostView{h}}, states, day, wnow)
		if got := fmt.Sprint(s.Bad, " ", min(s.Unseen, 1)); got != want && want != "0 2" || want == "0 2" && s.Unseen != 1 {
			t.Errorf("%+v: %+v, want %s", h, s, want)
		}
	}
}
