package trial

import (
	"fmt"
	"math/rand/v2"
	"time"

	"glia"
	"glia/internal/sim"
	"glia/repairer"
)

// site is how the repairer is set up in one run. A seed decides it, so that over many seeds every gate is
// met alone, with each other one, and not at all.
type site struct {
	limits   repairer.Limits
	domains  []repairer.Domain
	storms   repairer.StormLimits
	breakers repairer.BreakerLimits
	cohorts  repairer.CohortLimits
	flap     repairer.FlapLimits
	windows  []repairer.Window
	hook     bool
	rules    []repairer.RuleMode // modes of what a rule finds, whatever the host's
	persons  int                 // who must approve a plan
	leased   bool                // a repairer that was deposed knows it, by its own clock
	remind   []time.Duration
	escalate time.Duration
	carry    bool // in the end people let the repairs go on; else they heal what has not started
}

// window is in which failures are counted.
const window = 24 * time.Hour

func newSite(seed uint64) site {
	r := rand.New(rand.NewPCG(seed, 0x73697465))
	one := func(n int) bool { return r.IntN(n) == 0 }
	s := site{
		limits: repairer.Limits{Fleet: 2, Host: 1, Window: window},
		remind: []time.Duration{30 * time.Second, 5 * time.Minute, 24 * time.Hour}, escalate: time.Hour,
		carry: one(2),
	}
	for rack := range hosts / 2 {
		s.domains = append(s.domains, repairer.Domain{Name: fmt.Sprintf("rack-%d", rack+1), Hosts: []string{name(2 * rack), name(2*rack + 1)}})
	}
	if one(2) {
		s.limits.Fleet, s.limits.Host = 3, 2
	}
	if one(3) {
		s.limits.Domain = 1
	}
	if one(3) {
		s.limits.Model = 1
	}
	if one(4) {
		s.limits.Units = 1 + r.IntN(2)
	}
	if one(4) { // how many of 16 disks are believed to fail in a window: one, two or three
		s.limits.AFR = []float64{0.03, 0.1, 0.25}[r.IntN(3)] * float64(365*24*time.Hour) / float64(window) / (hosts * slots)
		s.limits.Floor = r.IntN(2)
	}
	if one(3) {
		s.storms = repairer.StormLimits{Disks: 3 + r.IntN(2), HostShare: 0.3, Hosts: 2, CoolDown: 30 * time.Second}
	}
	if one(3) {
		s.breakers = repairer.BreakerLimits{Window: time.Minute, Openings: 3 + r.IntN(3), Starts: 1 + r.IntN(3), FalseAlarms: 1}
	}
	if one(3) {
		s.cohorts = repairer.CohortLimits{Least: 2, Chance: 0.2}
	}
	if one(4) {
		s.flap = repairer.FlapLimits{Block: 2 * time.Minute, HostCases: r.IntN(4)}
	}
	if one(4) { // the run begins at noon
		from := 12*time.Hour + time.Duration(r.IntN(4))*time.Minute
		s.windows = append(s.windows, repairer.Window{From: from, To: from + time.Duration(1+r.IntN(20))*time.Minute})
		if one(2) {
			s.windows = append(s.windows, repairer.Window{Days: []time.Weekday{time.Sunday, time.Wednesday}, From: 23 * time.Hour, To: time.Hour, Pools: []string{name(r.IntN(hosts))}})
		}
	}
	s.hook = one(3)
	if one(3) {
		s.rules = []repairer.RuleMode{{Rule: string(glia.Filesystem), Mode: []repairer.Mode{repairer.ModeObserve, repairer.ModePropose, repairer.ModeAuto}[r.IntN(3)]}}
	}
	s.persons, s.leased = 1+r.IntN(2), one(2)
	return s
}

// furnish gives each disk what a cohort may follow: a quarter of the disks has another firmware, and one
// disk of each host is of another model.
func furnish(f *sim.Fleet) {
	for i := range hosts {
		f.Do(name(i), func(h *sim.Host) {
			h.Prober, h.RuleSet = "1.0", "rules-1"
			for slot, d := range h.Slots {
				d.Firmware = "A"
				switch slot {
				case "1":
					d.Firmware = "B"
				case "2":
					d.Model = "SIM-2"
				}
			}
		})
	}
}
