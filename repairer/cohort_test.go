package repairer_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"glia"
	"glia/repairer"
)

func TestCohorts_BeyondChance(t *testing.T) {
	t.Parallel()
	// Each group is disks of one prober, rule set and firmware, of which some are bad.
	type group struct {
		prober, rules, firmware string
		disks, bad              int
	}
	// Each of these changes the disks of the second group.
	kernel := func(d *glia.DiskStatus) { d.Verdict.Kernel = "6.1.0-57" }
	adapter := func(driver, address, firmware string) func(*glia.DiskStatus) {
		return func(d *glia.DiskStatus) {
			d.Disk.Location.Controller = glia.Controller{Address: address, Driver: driver, Model: "1000:00c4", Firmware: firmware}
		}
	}
	for _, tc := range []struct {
		name   string
		groups []group
		want   []string
		second func(*glia.DiskStatus)
	}{
		{"a bad kernel", []group{{"1", "a", "X", 900, 4}, {"1", "a", "X", 100, 12}}, []string{"kernel 6.1.0-57"}, kernel},
		{"a kernel by chance", []group{{"1", "a", "X", 900, 18}, {"1", "a", "X", 100, 4}}, nil, kernel},
		{"a bad controller", []group{{"1", "a", "X", 900, 4}, {"1", "a", "X", 8, 5}}, []string{"controller node-2 0000:3b:00.0", "controller model mpt3sas 1000:00c4 16.00"}, adapter("mpt3sas", "0000:3b:00.0", "16.00")},
		{"a bad driver on many addresses", []group{{"1", "a", "X", 900, 4}, {"1", "a", "X", 100, 12}}, []string{"controller model mpt3sas 1000:00c4"}, adapter("mpt3sas", "", "")},
		{"NVMe disks are not compared with others", []group{{"1", "a", "X", 900, 4}, {"1", "a", "X", 100, 12}}, nil, adapter("nvme", "", "")},
		{"all alike", []group{{"1", "a", "X", 1000, 20}}, nil, nil},
		{"bad by chance", []group{{"1", "a", "X", 900, 18}, {"1", "a", "Y", 100, 4}}, nil, nil},
		{"a bad firmware", []group{{"1", "a", "X", 900, 4}, {"1", "a", "Y", 100, 12}}, []string{"firmware M Y"}, nil},
		{"a bad release of the prober", []group{{"1", "a", "X", 900, 4}, {"2", "a", "X", 100, 12}}, []string{"prober 2"}, nil},
		{"new rules on canaries", []group{{"1", "a", "X", 900, 0}, {"1", "b", "X", 36, 4}}, []string{"rule set b"}, nil},
		{"three are too few", []group{{"1", "a", "X", 900, 0}, {"2", "a", "X", 36, 3}}, nil, nil},
		{"half of all have it", []group{{"1", "a", "X", 500, 0}, {"2", "a", "X", 500, 50}}, nil, nil},
		{"what is not told can not be compared", []group{{"1", "a", "X", 900, 0}, {"", "", "", 36, 20}}, nil, nil},
	} {
		var view glia.FleetView
		for i, g := range tc.groups {
			h := glia.HostView{}
			host := fmt.Sprintf("node-%d", i+1)
			for j := range g.disks {
				d := glia.DiskStatus{Disk: glia.Disk{Identity: glia.Identity{Model: "M", Firmware: g.firmware}, Location: glia.Location{Host: host}}, Verdict: glia.Verdict{State: glia.StateHealthy, Prober: g.prober, RuleSet: g.rules}}
				if i == 1 && tc.second != nil {
					tc.second(&d)
				}
				if j < g.bad {
					d.Verdict.State = glia.StateFailed
				}
				h.Disks = append(h.Disks, d)
			}
			view.Hosts = append(view.Hosts, h)
		}
		cohorts := repairer.Cohorts(view, []glia.State{glia.StateFailed}, repairer.CohortLimits{Least: 4, Chance: 1e-3}, calm, wnow)
		var got []string
		for _, x := range cohorts {
			got = append(got, x.Kind+" "+x.Value)
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
}

func calm(string) string { return "" }

// What fails together in one storm is one failure: it holds back no other disk of the same firmware, and
// still counts when more fails elsewhere.
func TestCohorts_CountAStormOnce(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		bad   []int // on hosts of 36 disks of one firmware each
		storm map[string]string
		want  bool
	}{
		{"a host of 36, without a storm", []int{36, 1}, nil, true},
		{"a host of 36 in a storm", []int{36, 1}, map[string]string{"node-0": "host:node-0"}, false},
		{"a rack of two in a storm", []int{36, 36, 1}, map[string]string{"node-0": "domain:r", "node-1": "domain:r"}, false},
		{"a storm and three elsewhere", []int{36, 1, 2}, map[string]string{"node-0": "host:node-0"}, true},
		{"four storms", []int{36, 36, 36, 36}, map[string]string{"node-0": "a", "node-1": "b", "node-2": "c", "node-3": "d"}, true},
	} {
		var view glia.FleetView
		for i := range 40 {
			name := fmt.Sprint("node-", i)
			h := glia.HostView{Member: glia.Member{Announcement: glia.Announcement{Host: name}}}
			for j := range 36 {
				d := glia.DiskStatus{Disk: glia.Disk{Identity: glia.Identity{Model: "M", Firmware: "X"}}, Verdict: glia.Verdict{State: glia.StateHealthy}}
				if i < len(tc.bad) {
					d.Disk.Identity.Firmware = "Y"
					if j < tc.bad[i] {
						d.Verdict.State = glia.StateFailed
					}
				}
				h.Disks = append(h.Disks, d)
			}
			view.Hosts = append(view.Hosts, h)
		}
		cohorts := repairer.Cohorts(view, []glia.State{glia.StateFailed}, repairer.CohortLimits{Least: 4, Chance: 1e-3}, func(host string) string { return tc.storm[host] }, wnow)
		if got := len(cohorts) == 1 && cohorts[0].Value == "M Y"; got != tc.want || !got && len(cohorts) > 0 {
			t.Errorf("%s: %v", tc.name, cohorts)
		}
	}
}

func TestBinomialTail_AgreesWithPlainSums(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		n, k int
		p    float64
		want float64
	}{
		{4, 0, 0.5, 1}, {4, 4, 0.5, 1.0 / 16}, {4, 3, 0.5, 5.0 / 16}, {10, 1, 0.1, 1 - math.Pow(0.9, 10)}, {3, 4, 0.5, 0}, {3, 1, 0, 0}, {3, 3, 1, 1},
		{36, 4, 4.0 / 936, 1.73e-5},
	} {
		if got := repairer.BinomialTail(tc.n, tc.k, tc.p); math.Abs(got-tc.want) > 1e-9+0.02*tc.want {
			t.Errorf("P(X>=%d | %d, %.4g) = %.4g, want %.4g", tc.k, tc.n, tc.p, got, tc.want)
		}
	}
}

func TestGates_Cohort(t *testing.T) {
	t.Parallel()
	for kind, change := range map[string]func(*repairer.Case){
		"prober":   func(c *repairer.Case) { c.Verdict.Prober = "x" },
		"rule set": func(c *repairer.Case) { c.Verdict.RuleSet = "x" },
		"model":    func(c *repairer.Case) { c.Disk.Identity.Model = "x" },
		"kernel":   func(c *repairer.Case) { c.Verdict.Kernel = "x" },
		"controller": func(c *repairer.Case) {
			c.Disk.Location.Host, c.Disk.Location.Controller.Address = "x", "0"
		},
		"controller model": func(c *repairer.Case) { c.Disk.Location.Controller.Driver = "x" },
	} {
		c, f := good()
		f.Cohorts = []repairer.Cohort{{Kind: kind, Value: map[bool]string{true: "x 0", false: "x"}[kind == "controller"], Bad: 4, Of: 36, All: 900, AllBad: 5}}
		if got := gatesOf(t, c, f); got != nil {
			t.Errorf("%s: %v refuse a disk that has not the value", kind, got)
		}
		change(&c)
		if got := fmt.Sprint(gatesOf(t, c, f)); got != "[cohort]" {
			t.Errorf("%s: %s refuse", kind, got)
		}
		c.Approvals = []repairer.Approval{{Hash: c.Plan.Hash()}}
		if got := gatesOf(t, c, f); got != nil {
			t.Errorf("%s: %v refuse after an approval", kind, got)
		}
	}
}
