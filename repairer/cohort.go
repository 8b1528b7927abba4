package repairer

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"glia"
)

// CohortLimits say when failures are put down to what the disks have in common. Least 0 turns it off.
type CohortLimits struct {
	Least  int     // fewer bad disks with one value are no cohort
	Chance float64 // how improbable so many of them must be by chance
}

// Cohort is one value that bad disks have in common beyond chance.
type Cohort struct {
	Kind   string // one of cohortKinds
	Value  string
	Bad    int // bad disks that have the value
	Of     int // known disks that have it
	All    int // known disks
	AllBad int
}

// cohortKinds are the values that are compared. One that is not told can not be compared.
var cohortKinds = []struct {
	name string
	of   func(*glia.Disk, *glia.Verdict) string
}{
	{"prober", func(_ *glia.Disk, v *glia.Verdict) string { return v.Prober }},
	{"rule set", func(_ *glia.Disk, v *glia.Verdict) string { return v.RuleSet }},
	{"firmware", func(d *glia.Disk, _ *glia.Verdict) string {
		if d.Identity.Firmware == "" {
			return ""
		}
		return d.Identity.Model + " " + d.Identity.Firmware
	}},
	{"model", func(d *glia.Disk, _ *glia.Verdict) string { return d.Identity.Model }},
	{"kernel", func(_ *glia.Disk, v *glia.Verdict) string { return v.Kernel }},
	// One controller of one host, which shows all its disks as failed when it fails.
	{"controller", func(d *glia.Disk, _ *glia.Verdict) string {
		if at := d.Location.Controller.Address; at != "" {
			return d.Location.Host + " " + at
		}
		return ""
	}},
	// One release of driver and firmware, on all hosts. An NVMe disk is its own controller, and comparing
	// those again would compare NVMe disks with others, which fail at another rate.
	{"controller model", func(d *glia.Disk, _ *glia.Verdict) string {
		c := d.Location.Controller
		if c.Driver == "" || c.Driver == "nvme" {
			return ""
		}
		return c.Family()
	}},
}

// Cohorts finds the values that speak against the verdicts. For each value it asks how probable at
// least so many bad disks among those that have the value are, if each were bad with the rate of all
// known disks: the tail of the binomial distribution. Known are the disks of hosts whose detail is in
// the view; these are the hosts with trouble, so that the rate is too high and the test too mild. A
// value that half of the known disks have is never a cohort, because there is nothing to compare it with.
func Cohorts(view glia.FleetView, states []glia.State, l CohortLimits, now time.Time) []Cohort {
	if l.Least <= 0 {
		return nil
	}
	var opens [glia.StateFailed + 1]bool
	for _, s := range states {
		opens[s] = true
	}
	type count struct{ bad, all int }
	counts := make([]map[string]*count, len(cohortKinds))
	for i := range counts {
		counts[i] = map[string]*count{}
	}
	last := make([]struct { // neighbours are mostly alike
		value string
		*count
	}, len(cohortKinds))
	all, bad := 0, 0
	for _, h := range view.Hosts {
		for j := range h.Disks { // by reference: there may be 100,000
			d := &h.Disks[j]
			v := d.Verdict.At(now)
			if v.State == glia.StateUnknown || v.State == glia.StateMissing {
				continue
			}
			isBad := opens[v.State]
			all++
			if isBad {
				bad++
			}
			for i, k := range cohortKinds {
				value := k.of(&d.Disk, &v)
				n := last[i].count
				if n == nil || last[i].value != value {
					if n = counts[i][value]; n == nil {
						n = &count{}
						counts[i][value] = n
					}
					last[i].value, last[i].count = value, n
				}
				n.all++
				if isBad {
					n.bad++
				}
			}
		}
	}
	var out []Cohort
	for i, k := range cohortKinds {
		for value, n := range counts[i] {
			if value == "" || n.bad < l.Least || 2*n.all >= all {
				continue
			}
			if BinomialTail(n.all, n.bad, float64(bad)/float64(all)) < l.Chance {
				out = append(out, Cohort{Kind: k.name, Value: value, Bad: n.bad, Of: n.all, All: all, AllBad: bad})
			}
		}
	}
	slices.SortFunc(out, func(a, b Cohort) int { return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Value, b.Value)) })
	return out
}

// BinomialTail is the probability of at least k successes in n trials of probability p each.
func BinomialTail(n, k int, p float64) float64 {
	switch {
	case k <= 0:
		return 1
	case k > n || p <= 0:
		return 0
	case p >= 1:
		return 1
	}
	lg := func(x int) float64 { v, _ := math.Lgamma(float64(x) + 1); return v }
	sum := 0.0
	for i := k; i <= n; i++ {
		term := math.Exp(lg(n) - lg(i) - lg(n-i) + float64(i)*math.Log(p) + float64(n-i)*math.Log1p(-p))
		sum += term
		if float64(i) > float64(n)*p && term < 1e-18 {
			break
		}
	}
	return min(1, sum)
}

func (c Cohort) String() string {
	return fmt.Sprintf("%d of %d known disks with %s %s are bad, and %d of all %d", c.Bad, c.Of, c.Kind, c.Value, c.AllBad, c.All)
}

// gateCohort refuses disks that share what the bad ones have in common. An approval overrides it,
// because a bad batch of disks is to be replaced in the end.
func gateCohort(c Case, f Facts) *Refusal {
	for _, x := range f.Cohorts {
		for _, k := range cohortKinds {
			if k.name == x.Kind && k.of(&c.Disk, &c.Verdict) == x.Value && !approved(c) {
				return &Refusal{Gate: GateCohort, Value: x.String(), Limit: "failures that do not follow a " + x.Kind, Until: "they do not any more, or " + approveHint(c)}
			}
		}
	}
	return nil
}
