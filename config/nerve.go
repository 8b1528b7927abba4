package config

import (
	"strings"
	"time"
)

// Nerve is the configuration of nerve. Keys that can be left empty are documented with what empty means;
// nerve.toml has the words for operators.
type Nerve struct {
	Host     string `toml:"host"`      // Resolve sets it to the name of the host when empty
	StateDir string `toml:"state_dir"` // verdicts and orders live here; absolute

	Registries []Registry `toml:"registries"` // that it is announced to

	ServicesDir   string `toml:"services_dir"`   // one service a file; absolute, empty for none
	HeartbeatFile string `toml:"heartbeat_file"` // touched while services are followed; absolute, empty for none

	Log       Log       `toml:"log"`
	API       API       `toml:"api"`
	TLS       TLS       `toml:"tls"`
	Access    Access    `toml:"access"`
	Vault     Vault     `toml:"vault"`
	Debug     Debug     `toml:"debug"`
	Serf      Serf      `toml:"serf"`
	ZooKeeper ZooKeeper `toml:"zookeeper"`
	Consul    Consul    `toml:"consul"`
	Probe     Probe     `toml:"probe"`
	Judge     Judge     `toml:"judge"`
	History   History   `toml:"history"`
	Inventory Inventory `toml:"inventory"`
	Hand      Hand      `toml:"hand"`

	Smartctl []Smartctl         `toml:"smartctl"`
	Services []AnnouncedService `toml:"service"` // LoadNerve adds those of ServicesDir
}

// Probe is the section [probe].
type Probe struct {
	Interval Duration `toml:"interval"` // between two probes of one disk
	Deadline Duration `toml:"deadline"` // of one probe; a probe that takes longer says unknown
	Expiry   Duration `toml:"expiry"`   // after it a verdict is unknown; more than Interval + Deadline

	Read        bool `toml:"read"`         // read samples of the device
	ReadSamples int  `toml:"read_samples"` // 1 to 4096 in one probe, spread over the device
	Write       bool `toml:"write"`        // write, sync and read back a small file on mounted filesystems
	Smart       bool `toml:"smart"`
	KernelLog   bool `toml:"kernel_log"` // count what /dev/kmsg says of disks
	Latency     bool `toml:"latency"`    // compare each disk with its siblings

	LatencyWindow Duration `toml:"latency_window"` // that they are compared over, a second to an hour; slow takes six of ten

	CephSockets []string `toml:"ceph_sockets"` // patterns of absolute paths with {id}; empty: OSDs are not asked
}

// Judge is the section [judge]. Fall and Rise are of probes in a row, at least 1.
type Judge struct {
	Fall int `toml:"fall"` // bad ones that make a bad verdict
	Rise int `toml:"rise"` // good ones that clear it

	Rules string `toml:"rules"` // file with rules of the site, laid over those built in; empty for none

	Together       int      `toml:"together"`        // so many disks with one fault in common; 0 for never
	TogetherWithin Duration `toml:"together_within"` // so close to each other
	Late           Duration `toml:"late"`            // timers that are this late starve the prober; 0 for never
	MemoryPressure int      `toml:"memory_pressure"` // percent of a minute in which all work stood still; 0 for never
	IOPressure     int      `toml:"io_pressure"`
}

// History is the section [history].
type History struct {
	Days int `toml:"days"` // 0 for none, up to 366
	MB   int `toml:"mb"`   // for all disks together, 1 to 1024
}

// Inventory is the section [inventory].
type Inventory struct {
	Loop   []string `toml:"loop"`   // patterns of absolute backing files; such loop devices count as disks
	Ignore []string `toml:"ignore"` // patterns of kernel names that are never looked at
}

// Hand is the section [hand]: what the host does when a repairer orders it.
type Hand struct {
	Enabled      bool     `toml:"enabled"`
	Repairers    []string `toml:"repairers"`   // patterns of names in certificates; empty: whoever has the role destroy
	DrainHook    []string `toml:"drain_hook"`  // argv, run before a disk is unmounted; empty for none
	RejoinHook   []string `toml:"rejoin_hook"` // argv, run after a new disk is mounted; empty for none
	HookTimeout  Duration `toml:"hook_timeout"`
	MountTimeout Duration `toml:"mount_timeout"` // of each of unmount, mkfs and mount

	BurnInMB      int      `toml:"burn_in_mb"`     // MiB written to a new disk and read back, 1 to 4096
	LocateCommand []string `toml:"locate_command"` // argv in front of locate=/dev/NAME; empty for none

	Ceph HandCeph `toml:"ceph"`
}

// HandCeph is the section [hand.ceph]: how the Ceph OSDs of the host are run and made.
type HandCeph struct {
	Enabled bool   `toml:"enabled"`
	Manager string `toml:"manager"` // systemd, runit or command; empty: whichever is found
	Service string `toml:"service"` // unit or service directory, with {id} and {cluster}; empty: the usual one

	StartCommand []string `toml:"start_command"` // argv with {id} and {cluster}; needed with manager command
	StopCommand  []string `toml:"stop_command"`  // empty: SIGTERM

	Conf          string   `toml:"conf"`           // absolute; empty: /etc/ceph/CLUSTER.conf
	CommandPrefix []string `toml:"command_prefix"` // argv in front of ceph-volume; empty for none
	StopTimeout   Duration `toml:"stop_timeout"`
	MakeTimeout   Duration `toml:"make_timeout"` // of ceph-volume, and until a daemon runs
}

// DefaultNerve is the configuration of an empty file, not resolved.
func DefaultNerve() Nerve {
	serf := defaultSerf()
	serf.RPC = "127.0.0.1:7373"
	return Nerve{
		StateDir: "/var/lib/glia/nerve", Registries: []Registry{RegistrySerf},
		Log: defaultLog(),
		API: API{Listen: "127.0.0.1:7411"}, Access: defaultAccess(), Vault: defaultVault("/var/lib/glia/nerve/vault"),
		Serf: serf, ZooKeeper: defaultZooKeeper(), Consul: defaultConsul(),
		Probe: Probe{
			Interval: seconds(60), Deadline: seconds(30), Expiry: minutes(10),
			Read: true, ReadSamples: 16, Smart: true, KernelLog: true, Latency: true, LatencyWindow: seconds(60),
			CephSockets: []string{"/run/ceph/*-osd.{id}.asok", "/run/ceph/*/*-osd.{id}.asok"},
		},
		Judge:   Judge{Fall: 3, Rise: 3, Together: 3, TogetherWithin: minutes(60), Late: seconds(5), MemoryPressure: 50, IOPressure: 95},
		History: History{Days: 30, MB: 4},
		Hand: Hand{
			Enabled: true, HookTimeout: minutes(60), MountTimeout: minutes(5), BurnInMB: 64, LocateCommand: []string{"ledctl"},
			Ceph: HandCeph{Enabled: true, StopTimeout: minutes(5), MakeTimeout: minutes(15)},
		},
	}
}

// Resolve fills in what was left empty and is derived: Host from the host's name, Serf.Node from Host,
// API.Advertise from API.Listen.
func (n *Nerve) Resolve(hostname string) {
	if n.Host == "" {
		n.Host = hostname
	}
	n.API.resolve()
	n.Serf.resolve(n.Host)
}

func (n *Nerve) validate(c *check) {
	if n.Host != "" {
		c.hostname("host", n.Host)
	}
	c.absolute("state_dir", n.StateDir)
	n.API.validate(c, n.TLS, "order repairs")
	n.TLS.validate(c)
	n.Access.validate(c, n.API, n.TLS)
	n.Vault.validate(c, n, n.TLS)
	n.Debug.validate(c)
	n.backends().validate(c)
	n.Probe.validate(c)
	n.Judge.validate(c)
	c.upTo("history.days", n.History.Days, 366)
	c.within("history.mb", n.History.MB, 1024)
	n.Inventory.validate(c)
	n.Hand.validate(c)
	n.Hand.validateRepairers(c, n.TLS)
	n.validateSmartctl(c)
	n.validateServices(c)
}

func (n *Nerve) checkFiles(c *check) {
	n.TLS.checkFiles(c)
	n.Vault.checkFiles(c)
	n.backends().checkFiles(c)
	for i, s := range n.Services {
		s.checkFiles(func(key, format string, args ...any) {
			c.bad([]string{element("service", i) + "." + key}, format, args...)
		})
	}
}

func (n *Nerve) backends() backends { return backends{n.Registries, n.Serf, n.ZooKeeper, n.Consul} }

func (p Probe) validate(c *check) {
	c.positive("probe.interval", p.Interval)
	c.positive("probe.deadline", p.Deadline)
	c.positive("probe.expiry", p.Expiry)
	if p.Interval > 0 && p.Deadline > 0 && p.Expiry > 0 && p.Expiry <= p.Interval+p.Deadline {
		c.bad([]string{"probe.expiry", "probe.interval", "probe.deadline"},
			"verdicts that expire after %s would be unknown between two probes: want more than the interval and the deadline together, which are %s",
			p.Expiry, p.Interval+p.Deadline)
	}
	c.within("probe.read_samples", p.ReadSamples, 4096)
	if w := time.Duration(p.LatencyWindow); w < time.Second || w > time.Hour {
		c.bad([]string{"probe.latency_window"}, "%s is not possible: want 1s to 1h", p.LatencyWindow)
	}
	for n, g := range p.CephSockets {
		key := element("probe.ceph_sockets", n)
		if !c.glob(key, g) {
			continue
		}
		c.absolute(key, g)
		if !strings.Contains(g, "{id}") {
			c.bad([]string{key}, "%q has no {id}, so every OSD would be asked at the same sockets", g)
		}
	}
}

func (j Judge) validate(c *check) {
	c.within("judge.fall", j.Fall, 0)
	c.within("judge.rise", j.Rise, 0)
	if j.Rules != "" {
		c.absolute("judge.rules", j.Rules)
	}
	if j.Together == 1 {
		c.bad([]string{"judge.together"}, "one disk has a fault in common with no other: want 0 for never, or 2 and more")
	} else {
		c.upTo("judge.together", j.Together, 1000)
	}
	c.positive("judge.together_within", j.TogetherWithin)
	if j.Late < 0 {
		c.bad([]string{"judge.late"}, "%s is not possible: want 0 for never, or more", j.Late)
	}
	c.upTo("judge.memory_pressure", j.MemoryPressure, 100)
	c.upTo("judge.io_pressure", j.IOPressure, 100)
}

func (i Inventory) validate(c *check) {
	for n, g := range i.Loop {
		key := element("inventory.loop", n)
		if c.glob(key, g) {
			c.absolute(key, g)
		}
	}
	for n, g := range i.Ignore {
		key := element("inventory.ignore", n)
		if c.glob(key, g) && strings.Contains(g, "/") {
			c.bad([]string{key}, `%q has a slash: these are patterns of kernel names, such as "sd[ab]" or "nvme0n1"`, g)
		}
	}
}

func (h Hand) validate(c *check) {
	c.command("hand.drain_hook", h.DrainHook)
	c.command("hand.rejoin_hook", h.RejoinHook)
	c.positive("hand.hook_timeout", h.HookTimeout)
	c.positive("hand.mount_timeout", h.MountTimeout)
	c.within("hand.burn_in_mb", h.BurnInMB, 4096)
	c.command("hand.locate_command", h.LocateCommand)
	h.Ceph.validate(c)
}

func (h HandCeph) validate(c *check) {
	switch h.Manager {
	case "", "systemd", "runit":
	case "command":
		if len(h.StartCommand) == 0 {
			c.bad([]string{"hand.ceph.start_command", "hand.ceph.manager"}, `manager is "command", and nothing says how an OSD is started: want start_command`)
		}
	default:
		c.bad([]string{"hand.ceph.manager"}, `%q is not known: want "systemd", "runit", "command", or "" for whichever is found`, h.Manager)
	}
	if h.Manager == "runit" && h.Service != "" {
		c.absolute("hand.ceph.service", h.Service)
	}
	if h.Conf != "" {
		c.absolute("hand.ceph.conf", h.Conf)
	}
	c.command("hand.ceph.start_command", h.StartCommand)
	c.command("hand.ceph.stop_command", h.StopCommand)
	c.command("hand.ceph.command_prefix", h.CommandPrefix)
	c.positive("hand.ceph.stop_timeout", h.StopTimeout)
	c.positive("hand.ceph.make_timeout", h.MakeTimeout)
}
