package repairer

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
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

// shared is a value that disks may have in common, in parts. It is zero when it is not told.
type shared [3]string

func (s shared) String() string { return strings.Join(strings.Fields(strings.Join(s[:], " ")), " ") }

// cohortKinds are the values that are compared. One that is not told can not be compared.
var cohortKinds = []struct {
	name string
	of   func(*glia.Disk, *glia.Verdict) shared
}{
	{"prober", func(_ *glia.Disk, v *glia.Verdict) shared { return shared{v.Prober} }},
	{"rule set", func(_ *glia.Disk, v *glia.Verdict) shared { return shared{v.RuleSet} }},
	{"firmware", func(d *glia.Disk, _ *glia.Verdict) shared {
		if d.Identity.Firmware == "" {
			return shared{}
		}
		return shared{d.Identity.Model, d.Identity.Firmware}
	}},
	{"model", func(d *glia.Disk, _ *glia.Verdict) shared { return shared{d.Identity.Model} }},
	{"kernel", func(_ *glia.Disk, v *glia.Verdict) shared { return shared{v.Kernel} }},
	// One controller of one host, which shows all its disks as failed when it fails.
	{"controller", func(d *glia.Disk, _ *glia.Verdict) shared {
		if at := d.Location.Controller.Address; at != "" {
			return shared{d.Location.Host, at}
		}
		return shared{}
	}},
	// One release of driver and firmware, on all hosts. An NVMe disk is its own controller, and comparing
	// those again would compare NVMe disks with others, which fail at another rate.
	{"controller model", func(d *glia.Disk, _ *glia.Verdict) shared {
		c := d.Location.Controller
		if c.Driver == "" || c.Driver == "nvme" {
			return shared{}
		}
		return shared{c.Driver, c.Model, c.Firmware}
	}},
}

// Cohorts finds the values that speak against the verdicts. For each value it asks how probable at
// least so many bad disks among those that have the value are, if each were bad with the rate of all
// known disks: the tail of the binomial distribution. Known are the disks of hosts whose detail is in
// the view; these are the hosts with trouble, so that the rate is too high and the test too mild. A
// value that half of the known disks have is never a cohort, because there is nothing to compare it with.
//
// All bad disks of one storm are one failure and count once: what has taken them together must not hold back
// an unrelated disk of the same firmware, but does speak against a prober that other hosts have as well.
// storm names the storm that a host is in, or is empty.
func Cohorts(view glia.FleetView, states []glia.State, l CohortLimits, storm func(host string) string, now time.Time) []Cohort {
	if l.Least <= 0 {
		return nil
	}
	var opens [glia.StateFailed + 1]bool
	for _, s := range states {
		opens[s] = true
	}
	type count struct {
		bad, all int
		storms   map[string]bool // that are counted
	}
	counts := make([]map[shared]*count, len(cohortKinds))
	for i := range counts {
		counts[i] = map[shared]*count{}
	}
	last := make([]struct { // neighbours are mostly alike
		value shared
		*count
	}, len(cohortKinds))
	var total count
	add := func(n *count, bad bool, storm string) {
		if bad && storm != "" {
			if n.storms[storm] {
				return
			}
			if n.storms == nil {
				n.storms = map[string]bool{}
			}
			n.storms[storm] = true
		}
		n.all++
		if bad {
			n.bad++
		}
	}
	for _, h := range view.Hosts {
		scope := ""
		if len(h.Disks) > 0 {
			scope = storm(h.Member.Announcement.Host)
		}
		for j := range h.Disks { // by reference: there may be 100,000
			d := &h.Disks[j]
			state := d.Verdict.At(now).State
			if state == glia.StateUnknown || state == glia.StateMissing {
				continue
			}
			isBad := opens[state]
			add(&total, isBad, scope)
			for i, k := range cohortKinds {
				value := k.of(&d.Disk, &d.Verdict)
				n := last[i].count
				if n == nil || last[i].value != value {
					if n = counts[i][value]; n == nil {
						n = &count{}
						counts[i][value] = n
					}
					last[i].value, last[i].count = value, n
				}
				add(n, isBad, scope)
			}
		}
	}
	var out []Cohort
	for i, k := range cohortKinds {
		for value, n := range counts[i] {
			if value == (shared{}) || n.bad < l.Least || 2*n.all >= total.all {
				continue
			}
			if BinomialTail(n.all, n.bad, float64(total.bad)/float64(total.all)) < l.Chance {
				out = append(out, Cohort{Kind: k.name, Value: value.String(), Bad: n.bad, Of: n.all, All: total.all, AllBad: total.bad})
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

func (x Cohort) String() string {
	return fmt.Sprintf("%d of %d known disks with %s %s are bad, and %d of all %d", x.Bad, x.Of, x.Kind, x.Value, x.AllBad, x.All)
}

// has says whether the disk has the value. The disk is copied, so that only a gate with cohorts to look at
// pays for it.
func (x Cohort) has(d glia.Disk, v glia.Verdict) bool {
	for _, k := range cohortKinds {
		if k.name == x.Kind {
			return k.of(&d, &v).String() == x.Value
		}
	}
	return false
}

// gateCohort refuses disks that share what the bad ones have in common. An approval overrides it,
// because a bad batch of disks is to be replaced in the end.
func gateCohort(c Case, f Facts) *Refusal {
	for _, x := range f.Cohorts {
		if x.has(c.Disk, c.Verdict) && !approved(c) {
			return &Refusal{Gate: GateCohort, Value: x.String(), Limit: "failures that do not follow a " + x.Kind, Until: "they do not any more, or " + approveHint(c)}
		}
	}
	return nil
}
