package config

import (
	"cmp"
	"net/url"
	"path"
	"slices"

	"glia"
	"glia/config/secret"
)

// Repairer is the configuration of repairer; repairer.toml has the words for operators.
type Repairer struct {
	Database string `toml:"database"` // SQLite file, absolute; or postgres:// URL without a password
	Synapse  string `toml:"synapse"`  // http:// or https:// URL; https if and only if [tls] is set
	Mode     Mode   `toml:"mode"`     // of hosts in no pool, and of pools that set none

	Approvals        int `toml:"approvals"`         // persons, 1 to 9; of hosts in no pool, and of pools that set none
	DestroyApprovals int `toml:"destroy_approvals"` // 0 to 9; the same

	DatabasePassword secret.Ref `toml:"database_password" old:"database_password_file"` // of a PostgreSQL that wants one

	Lease Lease `toml:"lease"`

	Election  Election  `toml:"election"`
	ZooKeeper ZooKeeper `toml:"zookeeper"`
	Consul    Consul    `toml:"consul"`

	Tracker Tracker `toml:"tracker"`
	Jira    Jira    `toml:"jira"`
	Redmine Redmine `toml:"redmine"`
	Script  Script  `toml:"script"`
	Webhook Webhook `toml:"webhook"`

	Log    Log    `toml:"log"`
	API    API    `toml:"api"`
	TLS    TLS    `toml:"tls"`
	Access Access `toml:"access"`
	Vault  Vault  `toml:"vault"`
	Debug  Debug  `toml:"debug"`
	Repair Repair `toml:"repair"`
	Limits Limits `toml:"limits"`
	Gates  Gates  `toml:"gates"`

	Pools   []Pool   `toml:"pool"`
	Domains []Domain `toml:"domain"`
	Windows []Window `toml:"window"`
	Rules   []Rule   `toml:"rule"`
	Notify  []Notify `toml:"notify"`

	RuleFiles []string `toml:"rule_files"` // absolute paths of files with rules, as judge.rules of nerves
	Ceph      []Ceph   `toml:"ceph"`
}

// Repair is the section [repair].
type Repair struct {
	Verdicts     []glia.State `toml:"verdicts"` // that open a case; never unknown, healthy or missing
	Tick         Duration     `toml:"tick"`     // between two looks at the open cases
	OrderTimeout Duration     `toml:"order_timeout"`
	RetryMin     Duration     `toml:"retry_min"` // wait after the first failure of a step
	RetryMax     Duration     `toml:"retry_max"` // longest wait; at least RetryMin
	Attempts     int          `toml:"attempts"`  // failures of one step until its case is parked; at least 1
	Settle       Duration     `toml:"settle"`    // how long the new disk must be healthy before the case closes
	MaxViewAge   Duration     `toml:"max_view_age"`
	CoolDown     Duration     `toml:"cool_down"` // after a case was cancelled, until its disk may get another one

	RemindAfter   []Duration `toml:"remind_after"`   // ages of a ticket at which its person is reminded; growing
	EscalateAfter Duration   `toml:"escalate_after"` // age of a ticket from which it is a finding; 0 is never
}

// Pool is one [[pool]]: hosts whose disks are repaired in one way.
type Pool struct {
	Name   string   `toml:"name"`
	Hosts  []string `toml:"hosts"` // patterns of host names, see path.Match
	Mode   Mode     `toml:"mode"`  // Resolve sets it to Repairer.Mode when empty
	Driver Driver   `toml:"driver"`

	// Resolve sets them to those of Repairer when 0.
	Approvals        int `toml:"approvals"`
	DestroyApprovals int `toml:"destroy_approvals"`
}

func (p *Pool) setDefaults() { p.Driver = DriverFilesystem }

// DefaultPool is the name of the pool of hosts that no [[pool]] matches.
const DefaultPool = "default"

// DefaultRepairer is the configuration of an empty file, not resolved.
func DefaultRepairer() Repairer {
	return Repairer{
		Database: "/var/lib/glia/repairer/glia.db",
		Synapse:  "http://127.0.0.1:7412",
		Mode:     ModeObserve, Approvals: 1,
		Lease:    Lease{TTL: seconds(10), Renew: seconds(2)},
		Election: Election{By: ElectDatabase, Name: "repairer"}, ZooKeeper: defaultZooKeeper(), Consul: defaultConsul(),
		Tracker: defaultTracker(), Jira: defaultJira(), Redmine: defaultRedmine(),
		Log: defaultLog(),
		API: API{Listen: "127.0.0.1:7413"}, Access: defaultAccess(), Vault: defaultVault("/var/lib/glia/repairer/vault"),
		Repair: Repair{
			Verdicts: []glia.State{glia.StateFailing, glia.StateFailed},
			Tick:     seconds(1), OrderTimeout: minutes(10),
			RetryMin: seconds(5), RetryMax: minutes(10), Attempts: 5,
			Settle: minutes(1), MaxViewAge: minutes(2), CoolDown: minutes(24 * 60),
			RemindAfter: []Duration{minutes(24 * 60), minutes(72 * 60)}, EscalateAfter: minutes(168 * 60),
		},
		Limits: Limits{Fleet: 2, Domain: 1, Host: 1, Model: 2, Units: 4, Floor: 1, AFR: 0.015, Window: minutes(24 * 60)},
		Gates:  defaultGates(),
	}
}

// Resolve fills in what was left empty and is derived: API.Advertise from API.Listen, and mode and
// approvals of each pool from those of the repairer. The host's name is not used.
func (r *Repairer) Resolve(string) {
	r.API.resolve()
	r.Pools = slices.Clone(r.Pools)
	for i := range r.Pools {
		if r.Pools[i].Mode == "" {
			r.Pools[i].Mode = r.Mode
		}
		r.Pools[i].Approvals = cmp.Or(r.Pools[i].Approvals, r.Approvals)
		r.Pools[i].DestroyApprovals = cmp.Or(r.Pools[i].DestroyApprovals, r.DestroyApprovals)
	}
}

// PoolOf is the first pool with a pattern that matches the host, or the default pool: mode of the
// repairer, driver filesystem.
func (r Repairer) PoolOf(host string) Pool {
	for _, p := range r.Pools {
		for _, g := range p.Hosts {
			if ok, err := path.Match(g, host); ok && err == nil {
				return p
			}
		}
	}
	return Pool{Name: DefaultPool, Mode: r.Mode, Driver: DriverFilesystem, Approvals: r.Approvals, DestroyApprovals: r.DestroyApprovals}
}

func (r *Repairer) validate(c *check) {
	r.validateDatabase(c)
	r.validateElection(c)
	r.Lease.validate(c)
	r.validateSynapse(c)
	r.validateTracker(c)
	r.validateNotify(c)
	r.API.validate(c, r.TLS, "approve and cancel repairs")
	r.TLS.validate(c)
	r.Access.validate(c, r.API, r.TLS)
	r.Vault.validate(c, r, r.TLS)
	r.Debug.validate(c)
	r.Repair.validate(c)
	r.Limits.validate(c)
	r.Gates.validate(c)
	r.validateDomains(c)
	r.validateWindows(c)
	r.validateCeph(c)
	r.validateRules(c)
	c.within("approvals", r.Approvals, maxApprovals)
	c.upTo("destroy_approvals", r.DestroyApprovals, maxApprovals)

	seen := map[string]bool{DefaultPool: true}
	for i, p := range r.Pools {
		at := element("pool", i)
		c.word(at+".name", p.Name, "the name of a pool")
		if p.Name == DefaultPool {
			c.bad([]string{at + ".name"}, "%q is the pool of the hosts that no [[pool]] matches: choose another name", p.Name)
		} else if seen[p.Name] {
			c.bad([]string{at + ".name"}, "there is another pool with the name %q", p.Name)
		}
		seen[p.Name] = true
		if len(p.Hosts) == 0 {
			c.bad([]string{at + ".hosts"}, `is missing: name the hosts, for example ["storage-*"]`)
		}
		for j, g := range p.Hosts {
			c.glob(element(at+".hosts", j), g)
		}
		c.upTo(at+".approvals", p.Approvals, maxApprovals)
		c.upTo(at+".destroy_approvals", p.DestroyApprovals, maxApprovals)
	}
}

// validateSynapse makes sure that nobody else can tell the repairer which disks are bad.
func (r *Repairer) validateSynapse(c *check) {
	u, err := url.Parse(r.Synapse)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		c.bad([]string{"synapse"}, `%q is not an address such as "http://127.0.0.1:7412" or "https://repair-1:7412"`, r.Synapse)
		return
	}
	switch {
	case u.Scheme == "http" && r.TLS.Enabled():
		c.bad([]string{"synapse", "tls", "tls.cert"}, "%s would be called without TLS although [tls] is set: write https://%s", r.Synapse, u.Host)
	case u.Scheme == "https" && !r.TLS.Enabled():
		c.bad([]string{"synapse"}, "%s asks for a certificate of ours: set tls.cert, tls.key and tls.ca", r.Synapse)
	case u.Scheme == "http" && !loopback(u.Hostname()):
		c.bad([]string{"synapse"}, "%s is another host, and without [tls] anybody in between could make healthy disks look bad: set tls.cert, tls.key and tls.ca, or use a synapse on loopback", r.Synapse)
	}
}

func (r *Repairer) checkFiles(c *check) {
	r.TLS.checkFiles(c)
	r.Vault.checkFiles(c)
	r.checkDatabasePassword(c)
	r.checkCephFiles(c)
	r.checkElectionFiles(c)
	r.checkTrackerFiles(c)
	r.checkNotifyFiles(c)
}

func (r Repair) validate(c *check) {
	if len(r.Verdicts) == 0 {
		c.bad([]string{"repair.verdicts"}, `is empty, so nothing would ever be repaired: use mode = "observe" to change nothing`)
	}
	for i, v := range r.Verdicts {
		switch v {
		case glia.StateSuspect, glia.StateWorn, glia.StateFailing, glia.StateFailed:
		default:
			c.bad([]string{element("repair.verdicts", i), "repair.verdicts"}, "%s never leads to a repair: use suspect, worn, failing or failed", v)
		}
	}
	c.positive("repair.tick", r.Tick)
	c.positive("repair.order_timeout", r.OrderTimeout)
	c.positive("repair.retry_min", r.RetryMin)
	c.positive("repair.retry_max", r.RetryMax)
	if r.RetryMin > r.RetryMax && r.RetryMax > 0 {
		c.bad([]string{"repair.retry_max", "repair.retry_min"}, "the longest wait, %s, is shorter than the first one, %s", r.RetryMax, r.RetryMin)
	}
	c.within("repair.attempts", r.Attempts, 0)
	c.positive("repair.settle", r.Settle)
	c.positive("repair.max_view_age", r.MaxViewAge)
	c.positive("repair.cool_down", r.CoolDown)
	for i, d := range r.RemindAfter {
		key := element("repair.remind_after", i)
		c.positive(key, d)
		if i > 0 && d <= r.RemindAfter[i-1] {
			c.bad([]string{key, "repair.remind_after"}, "%s is not later than %s before it", d, r.RemindAfter[i-1])
		}
	}
	if r.EscalateAfter < 0 {
		c.bad([]string{"repair.escalate_after"}, "%s is not possible: want 0, which is never, or more", r.EscalateAfter)
	}
}
