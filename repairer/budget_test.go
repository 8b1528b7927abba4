package repairer_test

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"glia"
	"glia/repairer"
)

const day = 24 * time.Hour

// The figures are those of a fleet that loses 1.5 % of its disks a year.
func TestPoissonQuantile_OfAFleet(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		what   string
		lambda float64
		want   int
	}{
		{"nothing", 0, 0},
		{"a host of 24 disks, a day", 24 * 0.015 / 365, 0},
		{"a rack of 1,000 disks, a day", 1000 * 0.015 / 365, 1},
		{"100,000 disks, a day", 100000 * 0.015 / 365, 12},
		{"1,000,000 disks, a month", 1000000 * 0.015 / 365 * 30, 1343},
	} {
		if got := repairer.PoissonQuantile(0.999, tc.lambda); got != tc.want {
			t.Errorf("%s: λ=%.4g gives %d, want %d", tc.what, tc.lambda, got, tc.want)
		}
	}
}

// The quantile is the least number whose distribution function, summed plainly, reaches p.
func TestPoissonQuantile_IsTheLeast(t *testing.T) {
	t.Parallel()
	for _, lambda := range []float64{1e-6, 0.001, 0.041, 0.5, 1, 4.1, 20, 100, 499, 501, 700} {
		cdf := func(k int) (sum float64) {
			for i := range k + 1 {
				lg, _ := math.Lgamma(float64(i) + 1)
				sum += math.Exp(float64(i)*math.Log(lambda) - lambda - lg)
			}
			return sum
		}
		if k := repairer.PoissonQuantile(0.999, lambda); cdf(k) < 0.999-1e-9 || k > 0 && cdf(k-1) >= 0.999 {
			t.Errorf("λ=%g: P(X<=%d)=%.6f, P(X<=%d)=%.6f", lambda, k, cdf(k), k-1, cdf(k-1))
		}
	}
}

func TestGates_Budgets(t *testing.T) {
	t.Parallel()
	domains := []repairer.Domain{{Name: "rack-1", Hosts: []string{"node-1?", "node-1"}}, {Name: "rack-2", Hosts: []string{"node-2*"}}}
	statistics := repairer.Limits{Fleet: 100, Domain: 100, Host: 100, Model: 100, Units: 100, AFR: 0.015, Window: day}
	disks := func(fleet, rack, host, model int) repairer.Population {
		return repairer.Population{Fleet: fleet, Domains: map[string]int{"rack-1": rack}, Hosts: map[string]int{"node-1": host}, Models: map[string]int{"M 1": model}}
	}
	large := disks(100000, 1000, 24, 50000)
	ceilings := func(l repairer.Limits) repairer.Limits { l.AFR = 0; return l }
	for _, tc := range []struct {
		name   string
		limits repairer.Limits
		disks  repairer.Population
		others string // host/model of the started cases, two letters each
		n      int
		units  int
		gates  []string
	}{
		{"alone", statistics, large, "", 0, 1, nil},
		{"a second one of the host", statistics, large, "node-1/X", 1, 1, []string{"host-budget", "domain-budget"}},
		{"a second one of the rack", statistics, large, "node-12/X", 1, 1, []string{"domain-budget"}},
		{"elsewhere, of another model", statistics, large, "node-9/X", 11, 1, nil},
		{"the fleet is full", statistics, large, "node-9/X", 12, 1, []string{"fleet-budget", "units-budget"}},
		{"the model is full", statistics, large, "node-9/M", 8, 1, []string{"model-budget"}},
		{"units count, not disks", statistics, large, "node-9/X", 3, 10, []string{"units-budget"}},
		{"many units fit alone", statistics, large, "", 0, 1000, nil},
		{"a ceiling bounds the statistics", repairer.Limits{Fleet: 2, AFR: 0.015, Window: day}, large, "node-9/X", 2, 1, []string{"fleet-budget"}},
		{"a floor bounds them", repairer.Limits{Floor: 3, AFR: 0.015, Window: day}, large, "node-1/X", 2, 1, nil},
		{"ceilings alone", ceilings(repairer.Limits{Host: 2}), repairer.Population{}, "node-1/X", 2, 1, []string{"host-budget"}},
		{"no limits", repairer.Limits{}, repairer.Population{}, "node-1/M", 20, 1, nil},
		{"the size of the fleet is not known", statistics, disks(0, 1000, 24, 50000), "", 0, 1, []string{"fleet-budget", "units-budget"}},
		{"the disks of the host are not known", statistics, disks(100000, 1000, 0, 50000), "", 0, 1, []string{"host-budget"}},
		{"the model is not known", statistics, disks(100000, 1000, 24, 0), "", 0, 1, []string{"model-budget"}},
	} {
		c, f := good()
		c.Disk.Identity.Model, c.Disk.Identity.Firmware = "M", "1"
		plan := *c.Plan
		plan.Units = tc.units
		c.Plan = &plan
		f.Limits, f.Disks, f.Domains, f.Open = tc.limits, tc.disks, domains, nil
		for i := range tc.n {
			host, model := tc.others[:len(tc.others)-2], tc.others[len(tc.others)-1:]
			f.Open = append(f.Open, repairer.Case{ID: fmt.Sprint("o", i), Started: true, Disk: glia.Disk{
				Identity: glia.Identity{Serial: fmt.Sprint("O", i), Model: model, Firmware: "1"}, Location: glia.Location{Host: host}}})
		}
		if got := gatesOf(t, c, f); !slices.Equal(got, tc.gates) {
			t.Errorf("%s: %v refuse, want %v", tc.name, got, tc.gates)
		}
	}
}

// gatesOf names the gates that refuse. Each must name figure, limit and way out.
func gatesOf(t *testing.T, c repairer.Case, f repairer.Facts) []string {
	t.Helper()
	var got []string
	for _, r := range repairer.Gates(c, f) {
		got = append(got, r.Gate)
		if r.Value == "" || r.Limit == "" || r.Until == "" {
			t.Errorf("refusal without figure, limit or way out: %+v", r)
		}
	}
	return got
}

func TestCountDisks_ByAnnouncement(t *testing.T) {
	t.Parallel()
	disk := func(model string) glia.DiskStatus {
		return glia.DiskStatus{Disk: glia.Disk{Identity: glia.Identity{Model: model}}}
	}
	host := func(name string, disks int, status glia.MemberStatus, detail ...glia.DiskStatus) glia.HostView {
		return glia.HostView{Member: glia.Member{Announcement: glia.Announcement{Host: name, DiskCount: disks}, Status: status}, Disks: detail}
	}
	p := repairer.CountDisks(glia.FleetView{Hosts: []glia.HostView{
		host("a1", 3, glia.MemberAlive, disk("M"), disk("M"), disk("N")), host("a2", 57, glia.MemberAlive),
		host("b1", 36, glia.MemberGone), host("b2", 36, glia.MemberLeft), host("b3", 0, glia.MemberAlive),
	}}, []repairer.Domain{{Name: "a", Hosts: []string{"a*"}}, {Name: "all", Hosts: []string{"*"}}})
	got := fmt.Sprint(p.Fleet, p.Domains, p.Hosts, p.Models)
	if want := "60 map[a:60 all:60] map[a1:3 a2:57] map[M:40 N:20]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestBudgets_OfTheStatus(t *testing.T) {
	t.Parallel()
	c, f := good()
	c.Started, c.Disk.Identity.Model = true, "M"
	f.Limits, f.Domains, f.Open = repairer.Limits{Fleet: 5, Host: 1}, []repairer.Domain{{Name: "r", Hosts: []string{"x*"}}}, []repairer.Case{c}
	var got []string
	for _, b := range repairer.Budgets(f) {
		got = append(got, fmt.Sprint(b.Scope, " ", b.Used))
	}
	if want := []string{"fleet 1", "units 1", "domain:r 0", "host:node-1 1", "model:M 1"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
