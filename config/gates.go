package config

import (
	"math"
	"slices"
	"time"
)

// Limits is the section [limits]: how many cases may be past their gates. At least 1 each.
type Limits struct {
	Fleet  int `toml:"fleet"`
	Domain int `toml:"domain"` // in one failure domain
	Host   int `toml:"host"`
	Model  int `toml:"model"` // of one model and firmware
	Units  int `toml:"units"` // of storage units
	Floor  int `toml:"floor"`

	AFR    float64  `toml:"afr"` // above 0, at most 1
	Window Duration `toml:"window"`
}

// Gates is the section [gates]: what holds all repairs back.
type Gates struct {
	StopFile string   `toml:"stop_file"` // absolute; empty for none
	Hook     []string `toml:"hook"`      // argv; empty for none

	StormDisks     int      `toml:"storm_disks"`      // at least 1
	StormHostShare float64  `toml:"storm_host_share"` // above 0, at most 1
	StormHosts     int      `toml:"storm_hosts"`      // at least 1
	StormCoolDown  Duration `toml:"storm_cool_down"`

	BreakerWindow      Duration `toml:"breaker_window"`
	BreakerOpenings    int      `toml:"breaker_openings"`     // at least 1
	BreakerStarts      int      `toml:"breaker_starts"`       // at least 1
	BreakerFalseAlarms int      `toml:"breaker_false_alarms"` // at least 1

	CohortDisks   int      `toml:"cohort_disks"`  // at least 2
	CohortChance  float64  `toml:"cohort_chance"` // above 0, at most 1
	FlapBlock     Duration `toml:"flap_block"`
	FlapHostCases int      `toml:"flap_host_cases"` // at least 1
}

// defaultGates has these figures for flapping. A slot or cable that is bad makes the new disk fail within an
// hour as well, and a disk whose verdict came back waits no longer than that for its repair. Four cases of one
// host within 30 days come by chance to 2 in 10 million hosts of 36 disks of which 1.5 % fail a year, and to 1
// in 8,000 hosts of 100 disks of which 3 % do (Poisson); three to 1 in 70,000 and 1 in 500, which over a large
// fleet would ask a person without need.
func defaultGates() Gates {
	return Gates{
		StopFile:   "/etc/glia/STOP",
		StormDisks: 3, StormHostShare: 0.1, StormHosts: 3, StormCoolDown: minutes(10),
		BreakerWindow: minutes(24 * 60), BreakerOpenings: 50, BreakerStarts: 20, BreakerFalseAlarms: 3,
		CohortDisks: 4, CohortChance: 0.001, FlapBlock: minutes(60), FlapHostCases: 3,
	}
}

// Domain is one [[domain]]: hosts that may fail together.
type Domain struct {
	Name  string   `toml:"name"`
	Hosts []string `toml:"hosts"` // patterns of host names, see path.Match
}

// Window is one [[window]]: a time of the week, in UTC, in which cases may start.
type Window struct {
	Days  []string `toml:"days"` // mon to sun; empty for every day
	From  string   `toml:"from"` // 15:04
	To    string   `toml:"to"`   // 15:04; before From it is on the next day
	Pools []string `toml:"pools"`
}

var weekdays = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// Weekdays are the days of a valid window.
func (w Window) Weekdays() []time.Weekday {
	var out []time.Weekday
	for _, d := range w.Days {
		out = append(out, time.Weekday(slices.Index(weekdays, d)))
	}
	return out
}

// Bounds are begin and end of a valid window, since midnight.
func (w Window) Bounds() (from, to time.Duration) {
	from, _ = clock(w.From)
	to, _ = clock(w.To)
	return from, to
}

func clock(text string) (time.Duration, bool) {
	t, err := time.Parse("15:04", text)
	return time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute, err == nil && len(text) == len("15:04")
}

func (l Limits) validate(c *check) {
	c.within("limits.fleet", l.Fleet, 0)
	c.within("limits.domain", l.Domain, 0)
	c.within("limits.host", l.Host, 0)
	c.within("limits.model", l.Model, 0)
	c.within("limits.units", l.Units, 0)
	c.within("limits.floor", l.Floor, 0)
	c.share("limits.afr", l.AFR)
	c.positive("limits.window", l.Window)
}

func (g Gates) validate(c *check) {
	if g.StopFile != "" {
		c.absolute("gates.stop_file", g.StopFile)
	}
	c.command("gates.hook", g.Hook)
	c.within("gates.storm_disks", g.StormDisks, 0)
	c.share("gates.storm_host_share", g.StormHostShare)
	c.within("gates.storm_hosts", g.StormHosts, 0)
	c.positive("gates.storm_cool_down", g.StormCoolDown)
	c.positive("gates.breaker_window", g.BreakerWindow)
	c.within("gates.breaker_openings", g.BreakerOpenings, 0)
	c.within("gates.breaker_starts", g.BreakerStarts, 0)
	c.within("gates.breaker_false_alarms", g.BreakerFalseAlarms, 0)
	if g.CohortDisks < 2 {
		c.bad([]string{"gates.cohort_disks"}, "%d disks have nothing in common: want at least 2", g.CohortDisks)
	}
	c.share("gates.cohort_chance", g.CohortChance)
	c.positive("gates.flap_block", g.FlapBlock)
	c.within("gates.flap_host_cases", g.FlapHostCases, 0)
}

// share checks 0 < f <= 1.
func (c *check) share(key string, f float64) {
	if math.IsNaN(f) || f <= 0 || f > 1 {
		c.bad([]string{key}, "%v is not possible: want more than 0, at most 1", f)
	}
}

func (r *Repairer) validateDomains(c *check) {
	seen := map[string]bool{}
	for i, d := range r.Domains {
		at := element("domain", i)
		c.word(at+".name", d.Name, "the name of a domain")
		if seen[d.Name] {
			c.bad([]string{at + ".name"}, "there is another domain with the name %q", d.Name)
		}
		seen[d.Name] = true
		if len(d.Hosts) == 0 {
			c.bad([]string{at + ".hosts"}, `is missing: name the hosts, for example ["rack7-*"]`)
		}
		for j, g := range d.Hosts {
			c.glob(element(at+".hosts", j), g)
		}
	}
}

func (r *Repairer) validateWindows(c *check) {
	pools := []string{DefaultPool}
	for _, p := range r.Pools {
		pools = append(pools, p.Name)
	}
	for i, w := range r.Windows {
		at := element("window", i)
		for j, d := range w.Days {
			if !slices.Contains(weekdays, d) {
				c.bad([]string{element(at+".days", j), at + ".days"}, "%q is not a day: use mon, tue, wed, thu, fri, sat or sun", d)
			}
		}
		for key, text := range map[string]string{".from": w.From, ".to": w.To} {
			if _, ok := clock(text); !ok {
				c.bad([]string{at + key}, `%q is not a time of the day, such as "22:00"`, text)
			}
		}
		if w.From == w.To && w.From != "" {
			c.bad([]string{at + ".to"}, "the window ends when it begins, at %s", w.From)
		}
		for j, p := range w.Pools {
			if !slices.Contains(pools, p) {
				c.bad([]string{element(at+".pools", j), at + ".pools"}, "there is no pool with the name %q", p)
			}
		}
	}
}
