package repairer

import (
	"fmt"
	"math"
	"path"
	"slices"
	"strings"
	"time"

	"glia"
)

// Limits are the budgets. A case counts from the moment its gates let it pass until it ends. The limit
// of a scope is what its number of disks makes credible: more failures within the window than come by
// chance once in a thousand windows are no failures of disks. Floor and ceilings bound it.
type Limits struct {
	// The ceilings, of started cases. 0 means none.
	Fleet  int
	Domain int // in one failure domain
	Host   int
	Model  int // of one model and firmware
	Units  int // of storage units out of use, in the whole fleet

	AFR    float64       // share of disks that fail in a year; 0: only the ceilings count
	Window time.Duration // in which failures are counted
	Floor  int           // of every scope; less than 1 counts as 1
}

// credible is the quantile of the number of failures up to which they are believed.
const credible = 0.999

const year = 365 * 24 * time.Hour

// expect is the number of failures of so many disks within the window that are believed.
func (l Limits) expect(disks int) int {
	return PoissonQuantile(credible, float64(disks)*l.AFR*float64(l.Window)/float64(year))
}

// of is the limit of a scope with so many disks.
func (l Limits) of(disks, ceiling int) int {
	if ceiling <= 0 {
		ceiling = math.MaxInt32
	}
	if l.AFR <= 0 {
		return ceiling
	}
	return min(max(l.expect(disks), l.Floor, 1), ceiling)
}

// PoissonQuantile is the least k for which a Poisson variable of mean lambda is at most k with
// probability p. p is in (0, 1), lambda at least 0.
func PoissonQuantile(p, lambda float64) int {
	if lambda <= 0 {
		return 0
	}
	k := 0.0
	if lambda > 500 { // exp(-lambda) would vanish; what lies below 15 deviations does, too
		k = math.Floor(lambda - 15*math.Sqrt(lambda))
	}
	factorial, _ := math.Lgamma(k + 1)
	term := math.Exp(k*math.Log(lambda) - lambda - factorial)
	for sum := term; sum < p && term > 0; sum += term {
		k++
		term *= lambda / k
	}
	return int(k)
}

// Domain is one failure domain, such as a rack. A host may be in several, or in none.
type Domain struct {
	Name  string
	Hosts []string // patterns as of path.Match
}

// domainsOf names the domains of a host.
func domainsOf(domains []Domain, host string) []string {
	var out []string
	for _, d := range domains {
		if slices.ContainsFunc(d.Hosts, func(glob string) bool { return matches(glob, host) }) {
			out = append(out, d.Name)
		}
	}
	return out
}

// matches is path.Match, and fast for the many patterns of which not even the beginning fits.
func matches(glob, host string) bool {
	for i := range len(glob) {
		if strings.IndexByte(`*?[\`, glob[i]) >= 0 {
			break
		}
		if i >= len(host) || host[i] != glob[i] {
			return false
		}
	}
	ok, err := path.Match(glob, host)
	return err == nil && ok
}

// Population is how many disks there are. Only hosts that answer count, so that a fleet of which half
// is gone gets no budget for it.
type Population struct {
	Fleet   int
	Domains map[string]int
	Hosts   map[string]int
	Models  map[string]int // by modelOf; see CountDisks
}

// CountDisks counts the disks of the view by their announcements. Models are known only of the hosts
// whose detail the view has; the share that a model has there is taken for its share of the fleet.
func CountDisks(view glia.FleetView, domains []Domain) Population {
	return countDisks(view, func(host string) []string { return domainsOf(domains, host) })
}

func countDisks(view glia.FleetView, domains func(host string) []string) Population {
	p := Population{Domains: map[string]int{}, Hosts: map[string]int{}, Models: map[string]int{}}
	known := 0
	models := map[[2]string]int{}
	for _, h := range view.Hosts {
		a := h.Member.Announcement
		if h.Member.Status != glia.MemberAlive || a.DiskCount <= 0 {
			continue
		}
		p.Fleet += a.DiskCount
		p.Hosts[a.Host] += a.DiskCount
		for _, d := range domains(a.Host) {
			p.Domains[d] += a.DiskCount
		}
		for i := range h.Disks {
			id := &h.Disks[i].Disk.Identity
			models[[2]string{id.Model, id.Firmware}]++
			known++
		}
	}
	for m, n := range models {
		p.Models[modelOf(glia.Disk{Identity: glia.Identity{Model: m[0], Firmware: m[1]}})] += n
	}
	for m, n := range p.Models {
		p.Models[m] = n * max(p.Fleet, known) / known
	}
	return p
}

// modelOf names model and firmware. Disks that tell neither share one name, and so one budget.
func modelOf(d glia.Disk) string {
	if d.Identity.Model == "" && d.Identity.Firmware == "" {
		return "unknown"
	}
	return strings.TrimSpace(orUnknown(d.Identity.Model) + " " + d.Identity.Firmware)
}

// units are the storage units that a case puts out of use.
func units(c Case) int {
	if c.Plan == nil {
		return 1
	}
	return max(1, c.Plan.Units)
}

// Budget is one limit and what is used of it.
type Budget struct {
	Gate  string
	Scope string // fleet, units, domain:NAME, host:NAME or model:NAME
	Used  int
	Limit int
	Disks int // on which the limit rests; 0: not known
	By    []string
}

// newBudget counts the started cases of a scope; the case with the id except is left out.
func newBudget(f Facts, gate, scope string, disks, ceiling int, except string, in func(Case) bool, weight func(Case) int) Budget {
	b := Budget{Gate: gate, Scope: scope, Disks: disks, Limit: f.Limits.of(disks, ceiling)}
	for _, o := range f.Open {
		if o.Started && (except == "" || o.ID != except) && in(o) {
			b.Used += weight(o)
			b.By = append(b.By, o.Serial())
		}
	}
	return b
}

// domainsOf names the domains of a host, from what was looked up before when there is such.
func (f Facts) domainsOf(host string) []string {
	if f.lookup != nil {
		return f.lookup(host)
	}
	return domainsOf(f.Domains, host)
}

func one(Case) int    { return 1 }
func every(Case) bool { return true }
func (f Facts) on(host string) func(Case) bool {
	return func(o Case) bool { return o.Host() == host }
}

func (f Facts) in(domain string) func(Case) bool {
	return func(o Case) bool { return slices.Contains(f.domainsOf(o.Host()), domain) }
}

func (f Facts) fleetBudget(except string) Budget {
	return newBudget(f, GateFleet, "fleet", f.Disks.Fleet, f.Limits.Fleet, except, every, one)
}

func (f Facts) unitsBudget(except string) Budget {
	return newBudget(f, GateUnits, "units", f.Disks.Fleet, f.Limits.Units, except, every, units)
}

func (f Facts) hostBudget(host, except string) Budget {
	return newBudget(f, GateHostBudget, "host:"+host, f.Disks.Hosts[host], f.Limits.Host, except, f.on(host), one)
}

func (f Facts) domainBudget(domain, except string) Budget {
	return newBudget(f, GateDomain, "domain:"+domain, f.Disks.Domains[domain], f.Limits.Domain, except, f.in(domain), one)
}

func (f Facts) modelBudget(model, except string) Budget {
	return newBudget(f, GateModel, "model:"+model, f.Disks.Models[model], f.Limits.Model, except, func(o Case) bool { return modelOf(o.Disk) == model }, one)
}

// Budgets are all budgets of the fleet and of its domains, and those of hosts and models of which
// something is used.
func Budgets(f Facts) []Budget {
	out := []Budget{f.fleetBudget(""), f.unitsBudget("")}
	for _, d := range f.Domains {
		out = append(out, f.domainBudget(d.Name, ""))
	}
	seen := map[string]bool{}
	for _, o := range f.Open {
		for _, b := range []Budget{f.hostBudget(o.Host(), ""), f.modelBudget(modelOf(o.Disk), "")} {
			if b.Used > 0 && !seen[b.Scope] {
				seen[b.Scope] = true
				out = append(out, b)
			}
		}
	}
	return out
}

// gateBudgets refuses what would go beyond any budget that the case falls under. A case that puts many
// units out of use passes when nothing else is in flight, else it could never be repaired. A case whose
// new disk has rejoined and is the one to be repaired now does not count: both are about one place.
func gateBudgets(c Case, f Facts) []Refusal {
	f.Open = slices.DeleteFunc(slices.Clone(f.Open), func(o Case) bool { return !o.RejoinedAt.IsZero() && o.Replacement.Serial() == c.Serial() })
	all := []Budget{f.hostBudget(c.Host(), c.ID)}
	for _, d := range f.domainsOf(c.Host()) {
		all = append(all, f.domainBudget(d, c.ID))
	}
	all = append(all, f.modelBudget(modelOf(c.Disk), c.ID), f.fleetBudget(c.ID), f.unitsBudget(c.ID))
	var out []Refusal
	for _, b := range all {
		more := 1
		if b.Gate == GateUnits {
			more = units(c)
		}
		if r := b.refuse(f.Limits, more); r != nil {
			out = append(out, *r)
		}
	}
	return out
}

func (b Budget) refuse(l Limits, more int) *Refusal {
	switch {
	case l.AFR > 0 && b.Disks <= 0:
		return &Refusal{Gate: b.Gate, Value: "how many disks " + b.Scope + " has is not known", Limit: "a limit by the number of disks", Until: "the nerves announce it"}
	case b.Used == 0, b.Used+more <= b.Limit:
		return nil
	}
	limit := fmt.Sprint(b.Limit)
	if l.AFR > 0 {
		limit += fmt.Sprintf(" for %d disks", b.Disks)
	}
	return &Refusal{Gate: b.Gate, Value: fmt.Sprintf("%d of %s in repair: %s", b.Used, b.Scope, strings.Join(b.By, ", ")), Limit: limit, Until: "one of these cases ends"}
}
