package trial

import (
	"fmt"
	"math"
	"slices"
	"time"

	"glia"
	"glia/repairer"
)

// The gates once more, by other means and as bluntly as can be. They are given what the repairer could
// see, and never what it has made of it.

// isBad says whether a verdict condemns its disk at that time.
func isBad(v glia.Verdict, now time.Time) bool {
	return (v.State == glia.StateFailing || v.State == glia.StateFailed) && !now.After(v.ExpiresAt)
}

// fresh says whether the repairer has a view that it may act on, and a clock that it may trust.
func (w *world) fresh(view glia.FleetView) bool {
	age := w.clock().Sub(view.At)
	return age <= maxViewAge && age >= -maxViewAge && w.lastAt.Sub(w.clock()) <= maxViewAge
}

// stormy says for each host that lies in a storm what speaks for it. A host that is gone, or on which too
// many disks are bad, is one sign for its rack; a rack in a storm is left out of what the fleet is told by.
func (w *world) stormy(view glia.FleetView) map[string]string {
	out := map[string]string{}
	l := w.storms
	beyond := func(bad int, in func(string) bool) bool {
		return l.Disks > 0 && bad > max(l.Disks, w.believed(populationOf(view, in)))
	}
	bad, lost := map[string]int{}, map[string]bool{}
	for _, h := range view.Hosts {
		host := h.Member.Announcement.Host
		if h.Member.Status != glia.MemberAlive {
			lost[host] = true
			continue
		}
		for _, d := range h.Disks {
			since := d.Verdict.ObservedAt
			for _, r := range d.Verdict.Reasons {
				if !r.Since.IsZero() && r.Since.Before(since) {
					since = r.Since
				}
			}
			if isBad(d.Verdict, w.clock()) && w.clock().Sub(since) < window {
				bad[host]++
			}
		}
		if beyond(bad[host], func(x string) bool { return x == host }) {
			out[host], lost[host] = fmt.Sprintf("%d disks of %s are bad", bad[host], host), true
		}
	}
	count := func(in func(string) bool, leave map[string]string) string {
		all, gone, n := 0, 0, 0
		for i := range hosts {
			host := name(i)
			if !in(host) {
				continue
			}
			all++
			if lost[host] {
				gone++
			} else if leave[host] == "" {
				n += bad[host]
			}
		}
		switch {
		case beyond(n, in):
			return fmt.Sprintf("%d disks are bad", n)
		case l.HostShare > 0 && gone >= l.Hosts && float64(gone)/float64(all) > l.HostShare:
			return fmt.Sprintf("%d of %d hosts are in trouble", gone, all)
		}
		return ""
	}
	racks := map[string]string{}
	for i := range hosts {
		rack := rackOf(name(i))
		if why := count(func(x string) bool { return rackOf(x) == rack }, nil); why != "" {
			racks[name(i)], out[name(i)] = why, rack+": "+why
		}
	}
	if why := count(func(string) bool { return true }, racks); why != "" {
		for i := range hosts {
			out[name(i)] = "the fleet: " + why
		}
	}
	return out
}

// populationOf counts the disks of some hosts that answer.
func populationOf(view glia.FleetView, in func(host string) bool) (n int) {
	for _, h := range view.Hosts {
		if h.Member.Status == glia.MemberAlive && in(h.Member.Announcement.Host) {
			n += h.Member.Announcement.DiskCount
		}
	}
	return n
}

// believed is how many failures of so many disks are no surprise: the Poisson distribution summed up.
func (w *world) believed(disks int) int {
	mean := float64(disks) * w.limits.AFR * float64(window) / float64(365*24*time.Hour)
	if mean == 0 {
		return 0
	}
	sum, p := 0.0, math.Exp(-mean)
	for k := 0; ; k++ {
		if sum += p; sum >= 0.999 {
			return k
		}
		p *= mean / float64(k+1)
	}
}

// allowed is the limit of a scope.
func (w *world) allowed(disks, ceiling int) int {
	out := math.MaxInt
	if w.limits.AFR > 0 {
		out = max(w.believed(disks), w.limits.Floor)
	}
	if ceiling > 0 {
		out = min(out, ceiling)
	}
	return max(out, 1) // one repair is always possible
}

func modelOf(d glia.Disk) string { return d.Identity.Model + " " + d.Identity.Firmware }

func rackOf(host string) string {
	for i := range hosts {
		if name(i) == host {
			return fmt.Sprint("rack-", i/2+1)
		}
	}
	return ""
}

// modeOf is the mode of a disk with that evidence: of what each rule that speaks may do, the least.
func (w *world) modeOf(host string, witnesses []glia.EvidenceClass) repairer.Mode {
	may := []repairer.Mode{repairer.ModeObserve, repairer.ModePropose, repairer.ModeAuto}
	least := len(may) - 1
	for _, c := range witnesses { // the simulated rules are named after what they rest on
		mode := w.modes[host]
		for _, r := range w.rules {
			if r.Rule == string(c) {
				mode = r.Mode
			}
		}
		least = min(least, slices.Index(may, mode))
	}
	return may[least]
}

// overdrawn names the budget that the started cases go beyond; empty when there is none.
func (w *world) overdrawn(started []repairer.Case, view glia.FleetView) string {
	all := populationOf(view, func(string) bool { return true })
	type scope struct {
		name           string
		disks, ceiling int
		in             func(repairer.Case) bool
	}
	scopes := []scope{
		{"the fleet", all, w.limits.Fleet, func(repairer.Case) bool { return true }},
		{"the storage units", all, w.limits.Units, func(repairer.Case) bool { return true }},
	}
	for _, c := range started {
		host, rack, model := c.Host(), rackOf(c.Host()), modelOf(c.Disk)
		scopes = append(scopes,
			scope{host, populationOf(view, func(h string) bool { return h == host }), w.limits.Host, func(o repairer.Case) bool { return o.Host() == host }},
			scope{rack, populationOf(view, func(h string) bool { return rackOf(h) == rack }), w.limits.Domain, func(o repairer.Case) bool { return rackOf(o.Host()) == rack }},
			scope{model, all, w.limits.Model, func(o repairer.Case) bool { return modelOf(o.Disk) == model }},
		)
	}
	for _, s := range scopes {
		n := 0
		for _, c := range started {
			if s.in(c) {
				n++
			}
		}
		if limit := w.allowed(s.disks, s.ceiling); n > limit {
			return fmt.Sprintf("%d disks of %s are in repair, allowed are %d", n, s.name, limit)
		}
	}
	return ""
}

// windowOpen says whether cases of the host may start now. A window belongs to the day on which it began.
func (w *world) windowOpen(host string) bool {
	mine := 0
	for _, x := range w.windows {
		if len(x.Pools) > 0 && !slices.Contains(x.Pools, host) { // each host is a pool
			continue
		}
		mine++
		const day = 24 * time.Hour
		now := w.clock()
		into := ((now.Sub(now.Truncate(day))-x.From)%day + day) % day
		if long := (x.To - x.From + day) % day; into < long && (len(x.Days) == 0 || slices.Contains(x.Days, now.Add(-into).Weekday())) {
			return true
		}
	}
	return mine == 0
}

// cohort says what the bad disks have in common with this one beyond chance; empty when nothing.
func (w *world) cohort(view glia.FleetView, serial string) string {
	if w.cohorts.Least == 0 {
		return ""
	}
	kinds := map[string]func(glia.DiskStatus) string{
		"prober":   func(d glia.DiskStatus) string { return d.Verdict.Prober },
		"rule set": func(d glia.DiskStatus) string { return d.Verdict.RuleSet },
		"firmware": func(d glia.DiskStatus) string { return modelOf(d.Disk) },
		"model":    func(d glia.DiskStatus) string { return d.Disk.Identity.Model },
	}
	var known []glia.DiskStatus
	self := -1
	for _, h := range view.Hosts {
		for _, d := range h.Disks {
			v := d.Verdict
			if v.State == glia.StateUnknown || v.State == glia.StateMissing || w.clock().After(v.ExpiresAt) {
				continue
			}
			if d.Disk.Serial() == serial {
				self = len(known)
			}
			known = append(known, d)
		}
	}
	if self < 0 {
		return ""
	}
	for _, kind := range []string{"prober", "rule set", "firmware", "model"} {
		of, value := kinds[kind], kinds[kind](known[self])
		var all, bad, same, sameBad int
		for _, d := range known {
			all++
			if of(d) == value {
				same++
			}
			if !isBad(d.Verdict, w.clock()) {
				continue
			}
			bad++
			if of(d) == value {
				sameBad++
			}
		}
		if sameBad < w.cohorts.Least || 2*same >= all {
			continue
		}
		if p := atLeast(same, sameBad, float64(bad)/float64(all)); p < w.cohorts.Chance*0.999 { // no quarrel about rounding
			return fmt.Sprintf("%d of %d disks with %s %s are bad, and %d of all %d", sameBad, same, kind, value, bad, all)
		}
	}
	return ""
}

// atLeast is the probability of k or more out of n, each of probability p.
func atLeast(n, k int, p float64) (sum float64) {
	for i := k; i <= n; i++ {
		ways := 1.0
		for j := range i {
			ways *= float64(n-j) / float64(j+1)
		}
		sum += ways * math.Pow(p, float64(i)) * math.Pow(1-p, float64(n-i))
	}
	return sum
}

// flapping says which case of the same disk, place or host has ended too short a time ago.
func (w *world) flapping(c repairer.Case) string {
	if w.flap.Block == 0 {
		return ""
	}
	for _, scope := range []struct {
		what  string
		same  func(repairer.Case) bool
		block time.Duration
		many  int // 0: any number
	}{
		{"disk", func(o repairer.Case) bool { return o.Serial() == c.Serial() }, w.flap.Block, 2},
		{"place", func(o repairer.Case) bool {
			return o.Host() == c.Host() && o.Disk.Location.Place() == c.Disk.Location.Place()
		}, w.flap.Block, 2},
		{"host", func(o repairer.Case) bool { return o.Host() == c.Host() }, 0, w.flap.HostCases},
	} {
		month := 0
		for _, o := range w.past {
			age := w.clock().Sub(o.ClosedAt)
			if !scope.same(o) || age >= 30*24*time.Hour {
				continue
			}
			if month++; age < scope.block || scope.many > 0 && month >= scope.many {
				return fmt.Sprintf("the same %s had case %s, which ended %s ago, and %d cases within a month", scope.what, o.ID, age, month)
			}
		}
	}
	return ""
}

// fuse counts what trips the breaker.
type fuse struct {
	openings, starts []time.Time
	alarms           map[string]time.Time // false ones, by case
	resetAt          time.Time
	blown            bool // until a person resets it
}

// over says what is beyond the limits now; empty when nothing is.
func (f *fuse) over(l repairer.BreakerLimits, now time.Time) string {
	within := func(list []time.Time) (n int) {
		for _, t := range list {
			if t.After(now.Add(-l.Window)) && t.After(f.resetAt) {
				n++
			}
		}
		return n
	}
	var alarms []time.Time
	for _, t := range f.alarms {
		alarms = append(alarms, t)
	}
	switch opened, started, needless := within(f.openings), within(f.starts), within(alarms); {
	case l.Openings > 0 && opened > l.Openings:
		return fmt.Sprintf("%d cases were opened within %s", opened, l.Window)
	case l.Starts > 0 && started > l.Starts:
		return fmt.Sprintf("%d cases were started within %s", started, l.Window)
	case l.FalseAlarms > 0 && needless >= l.FalseAlarms:
		return fmt.Sprintf("%d repairs within %s were needless", needless, l.Window)
	}
	return ""
}
