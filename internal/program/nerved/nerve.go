// Package nerved puts a nerve together from its configuration and runs it. Each storage host runs one, so what
// it imports is weighed.
package nerved

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"glia"
	"glia/api/glia/v1/gliav1connect"
	"glia/config"
	"glia/internal/daemon"
	"glia/internal/program"
	"glia/nerve"
	"glia/nerve/disk"
	"glia/nerve/disk/probe"
	"glia/nerve/disk/uevent"
	"glia/nerve/hand"
	"glia/nerve/history"
	"glia/nerve/judge"
	"glia/nerve/service"
)

// Parts replaces parts of a nerve, for the demo on a machine without block devices. The zero
// value is a nerve on this machine's disks.
type Parts struct {
	Inventory nerve.Inventory
	Prober    nerve.Prober
	Hand      nerve.Hand
	Events    nerve.Events
	Started   func() // called once the nerve serves

	Reloaded <-chan config.Nerve // later configurations, of which only the services are used; nil: there are none
}

// Run runs a nerve until the context ends.
func Run(ctx context.Context, c config.Nerve, parts Parts, log *slog.Logger) error {
	beModest()
	if err := os.MkdirAll(c.StateDir, 0o700); err != nil {
		return fmt.Errorf("state directory: %w", err)
	}
	v, err := program.OpenSecrets(ctx, &c, c.Vault, &c.TLS, c.API, c.Host, log)
	if err != nil {
		return err
	}
	defer v.Close()
	where := program.RegistriesConfig{
		Use: c.Registries, Watch: config.WatchUnion, Serf: c.Serf, ZooKeeper: c.ZooKeeper, Consul: c.Consul, Snapshot: filepath.Join(c.StateDir, "serf.snapshot"), Role: "nerve",
	}
	s, err := program.NewShell(program.Served{Program: "nerve", API: c.API, TLS: c.TLS, Access: c.Access, Repairers: c.Hand.Repairers, Debug: c.Debug}, log, v.Names(where.Names("inventory", "services")...)...)
	if err != nil {
		return err
	}
	if parts.Inventory == nil {
		// Without events the scans notice what comes and goes, only later.
		if l, err := uevent.Listen(); err != nil {
			log.Warn("no events from the kernel; disks that come and go are noticed by scans alone", "error", err)
		} else {
			defer func() { _ = l.Close() }()
			parts.Events = l
		}
		parts.Inventory = inventory{Source: &disk.Source{Host: c.Host, Loop: c.Inventory.Loop, Ignore: c.Inventory.Ignore}}
	}
	run := v.Checks(s)
	if parts.Prober == nil {
		kernelLog, err := openKernelLog(c, log)
		if err != nil {
			return err
		}
		slow := &probe.Latency{Window: time.Duration(c.Probe.LatencyWindow)}
		var watchers []watcher
		if c.Probe.Latency {
			watchers = append(watchers, slow)
		}
		if kernelLog != nil {
			watchers = append(watchers, kernelLog)
			run = append(run, func(ctx context.Context) error {
				return kernelLog.Run(ctx, func(err error) { log.Error("the kernel's log may be counted anew after a restart", "error", err) })
			})
		}
		parts.Inventory = watched(parts.Inventory, watchers...)
		parts.Prober = prober(c, kernelLog, slow)
	}
	if parts.Hand == nil && c.Hand.Enabled {
		h, err := hand.New(hand.Options{
			Host: c.Host, Inventory: parts.Inventory.Scan, System: hand.Linux(), StateDir: filepath.Join(c.StateDir, "hand"),
			DrainHook: c.Hand.DrainHook, RejoinHook: c.Hand.RejoinHook, HookTimeout: time.Duration(c.Hand.HookTimeout), MountTimeout: time.Duration(c.Hand.MountTimeout),
			LocateCommand: c.Hand.LocateCommand, BurnIn: int64(c.Hand.BurnInMB) << 20, Ceph: handCeph(c.Hand.Ceph), Log: log,
		})
		if err != nil {
			return err
		}
		defer func() { _ = h.Close(context.Background()) }()
		parts.Hand = h
	}
	if s.TLS != nil && parts.Hand != nil && len(c.Hand.Repairers) == 0 {
		log.Warn("the hand takes orders from every certificate with the role destroy: name the repairers in hand.repairers")
	}
	reg, err := program.OpenRegistries(where, nil, log)
	if err != nil {
		return err
	}
	defer reg.Leave()
	services, err := openAnnounced(c, reg.Services, log)
	if err != nil {
		return err
	}
	defer services.close()
	s.Metrics.MustRegister(services)
	run = append(run, func(ctx context.Context) error { return services.run(ctx, parts.Reloaded, v) }, s.Watch("services", services.Problem))

	rules, err := judgeRules(c.Judge)
	if err != nil {
		return err
	}
	past, err := openHistory(c, log)
	if err != nil {
		return err
	}
	o := nerve.Options{
		Host: c.Host, Kernel: kernelRelease(), API: s.Advertise(c.API), StateFile: filepath.Join(c.StateDir, "disks.json"),
		Inventory: parts.Inventory, Prober: parts.Prober, Hand: parts.Hand, Announcer: reg, Labels: nerve.SuperblockLabels, Events: parts.Events, Rules: rules,
		Together: judge.Together{Least: c.Judge.Together, Within: time.Duration(c.Judge.TogetherWithin)},
		Starved:  judge.Starvation{Late: time.Duration(c.Judge.Late), Memory: float64(c.Judge.MemoryPressure), IO: float64(c.Judge.IOPressure)},
		Pressure: pressure, History: past,
		Interval: time.Duration(c.Probe.Interval), Deadline: time.Duration(c.Probe.Deadline), Expiry: time.Duration(c.Probe.Expiry), Log: log, Registry: s.Metrics,
	}
	if s.TLS != nil {
		o.Cert = s.TLS.Fingerprint
	}
	n, err := nerve.New(o)
	if err != nil {
		return err
	}
	s.Metrics.MustRegister(n)
	s.Handle(gliav1connect.NewAnnouncerServiceHandler(service.NewAPI(c.Host, services.Services), s.Options()...))
	path, handler := gliav1connect.NewHostServiceHandler(nerve.NewService(n), s.Options()...)
	if parts.Started != nil {
		parts.Started()
	}
	run = append(run, func(ctx context.Context) error { return daemon.GiveBackPages(ctx, log) }, stayModest)
	return s.Serve(ctx, path, handler, append(append(reg.Checks(s), run...), n.Run, s.Watch("inventory", func() error {
		if p := n.Problem(); p != "" {
			return fmt.Errorf("%s", p)
		}
		return nil
	}))...)
}

// Load loads the configuration, and the rules that it names.
func Load(path string) (config.Nerve, error) {
	c, err := config.LoadNerve(path)
	if err != nil {
		return c, err
	}
	_, err = judgeRules(c.Judge)
	return c, err
}

// judgeRules are the rules that are built in with those of the site over them. The error is *config.Errors.
func judgeRules(c config.Judge) (judge.RuleSet, error) {
	rules := judge.Default()
	rules.Fall, rules.Rise = c.Fall, c.Rise
	if c.Rules == "" {
		return rules, nil
	}
	return rules.OverlayFile(c.Rules)
}

// openHistory is nil when none is to be kept.
func openHistory(c config.Nerve, log *slog.Logger) (*history.Store, error) {
	if c.History.Days == 0 {
		return nil, nil
	}
	return history.Open(history.Options{Dir: filepath.Join(c.StateDir, "history"), Keep: time.Duration(c.History.Days) * 24 * time.Hour, Bytes: int64(c.History.MB) << 20, Log: log})
}

// pressure asks the kernel (Documentation/accounting/psi.rst): "full" is the share of time in which all tasks
// that were not idle stood still.
func pressure() (memory, io float64, err error) {
	if memory, err = fullPressure("/proc/pressure/memory"); err != nil {
		return 0, 0, err
	}
	io, err = fullPressure("/proc/pressure/io")
	return memory, io, err
}

func fullPressure(path string) (float64, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	return ParsePressure(string(b))
}

// ParsePressure finds avg60 in the line "full" of a file below /proc/pressure, in percent.
func ParsePressure(text string) (float64, error) {
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(line, "full ")
		if !ok {
			continue
		}
		for field := range strings.FieldsSeq(rest) {
			if v, ok := strings.CutPrefix(field, "avg60="); ok {
				return strconv.ParseFloat(v, 64)
			}
		}
	}
	return 0, fmt.Errorf("no full avg60 in %q", text)
}

// kernelRelease is what uname -r prints; empty when the kernel does not say.
func kernelRelease() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}

// handCeph is nothing where a repairer may not touch OSDs.
func handCeph(c config.HandCeph) *hand.Ceph {
	if !c.Enabled {
		return nil
	}
	return &hand.Ceph{
		Manager: hand.Manager(c.Manager), Service: c.Service, StartCommand: c.StartCommand, StopCommand: c.StopCommand, Conf: c.Conf,
		Prefix: c.CommandPrefix, StopTimeout: time.Duration(c.StopTimeout), MakeTimeout: time.Duration(c.MakeTimeout),
	}
}

// inventory tells the nerve of devices whose identity is in doubt.
type inventory struct{ *disk.Source }

var _ nerve.Doubter = inventory{}

// ScanAll is part of nerve.Doubter.
func (i inventory) ScanAll(ctx context.Context) ([]glia.Disk, map[string]string, error) {
	found, err := i.Inventory(ctx)
	doubtful := map[string]string{}
	for _, u := range found.Unidentified {
		if u.Serial != "" {
			doubtful[u.Serial] = "/dev/" + u.Device + " can not be identified: " + u.Why
		}
	}
	return found.Disks, doubtful, err
}

// health asks disks for their own health data, those that are listed by means of smartctl.
func health(listed []config.Smartctl) probe.Source {
	own := &probe.SMART{}
	if len(listed) == 0 {
		return own
	}
	s := &probe.Smartctl{Otherwise: own}
	for _, l := range listed {
		s.Disks = append(s.Disks, probe.SmartctlDisk{Device: l.Device, Types: l.Types})
	}
	return s
}

// prober puts the sources in the order from cheap to dear, because one that hangs keeps those behind
// it from looking. What would wake a sleeping disk is left out while it sleeps.
func prober(n config.Nerve, kernelLog *probe.KernelLog, slow *probe.Latency) *probe.Prober {
	c := n.Probe
	awake := func(s probe.Source) probe.Source { return probe.UnlessAsleep(probe.Roots{}, s) }
	volumes := &probe.Volumes{}
	excuses := probe.Excuses{volumes}
	sources := []probe.Source{&probe.Kernel{}}
	if kernelLog != nil {
		kernelLog.Excuses = probe.Excuses{volumes}
		excuses = append(excuses, kernelLog)
		sources = append(sources, kernelLog)
	}
	if c.Latency {
		sources = append(sources, slow)
	}
	if len(c.CephSockets) > 0 {
		sources = append(sources, &probe.OSD{Sockets: c.CephSockets})
	}
	sources = append(sources, volumes, &probe.FS{Excuses: excuses})
	if c.Smart {
		sources = append(sources, health(n.Smartctl))
	}
	if c.Read {
		sources = append(sources, awake(&probe.Superblock{}), awake(&probe.Read{Places: c.ReadSamples}))
	}
	if c.Write {
		sources = append(sources, awake(&probe.Write{Excuses: excuses}))
	}
	return probe.New(sources...)
}
