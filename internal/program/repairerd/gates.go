package repairerd

import (
	"time"

	"glia/config"
	"glia/repairer"
)

// gates fills in what holds repairs back, from the configuration.
func gates(c config.Repairer, o repairer.Options) repairer.Options {
	l, g := c.Limits, c.Gates
	o.Limits = repairer.Limits{
		Fleet: l.Fleet, Domain: l.Domain, Host: l.Host, Model: l.Model, Units: l.Units,
		Floor: l.Floor, AFR: l.AFR, Window: time.Duration(l.Window),
	}
	o.Storms = repairer.StormLimits{Disks: g.StormDisks, HostShare: g.StormHostShare, Hosts: g.StormHosts, CoolDown: time.Duration(g.StormCoolDown)}
	o.Breakers = repairer.BreakerLimits{Window: time.Duration(g.BreakerWindow), Openings: g.BreakerOpenings, Starts: g.BreakerStarts, FalseAlarms: g.BreakerFalseAlarms}
	o.Cohorts = repairer.CohortLimits{Least: g.CohortDisks, Chance: g.CohortChance}
	o.Flap = repairer.FlapLimits{Block: time.Duration(g.FlapBlock), HostCases: g.FlapHostCases}
	o.StopFile, o.Hook, o.HookCommand = g.StopFile, repairer.CommandHook(g.Hook), g.Hook
	for _, d := range c.Domains {
		o.Domains = append(o.Domains, repairer.Domain{Name: d.Name, Hosts: d.Hosts})
	}
	for _, w := range c.Windows {
		from, to := w.Bounds()
		o.Windows = append(o.Windows, repairer.Window{Days: w.Weekdays(), From: from, To: to, Pools: w.Pools})
	}
	return o
}
