// Package dev is the demo: three storage hosts, a synapse and a repairer in one process, on loop
// devices that it makes itself.
//
// It touches no other disk: the nerves look at loop devices below the demo's own directory only. It
// leaves nothing behind, and sweeps away what a demo that was killed has left.
package dev

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"glia/config"
	"glia/internal/loop"
	"glia/internal/program/nerved"
	"glia/internal/program/repairerd"
	"glia/internal/program/synapsed"
	"glia/repairer/storage/ceph"
)

var hostNames = []string{"node-1", "node-2", "node-3"}

const disksPerHost = 4

// serialOf names the disks of a slot: N2S3A is the first one in slot 3 of node-2, N2S3B the next.
func serialOf(host string, slot, nth int) string {
	return fmt.Sprintf("N%sS%d%c", strings.TrimPrefix(host, "node-"), slot, 'A'+nth)
}

// stage is where the disks are: real, with a Ceph cluster on them, or simulated.
type stage interface {
	slots
	words() string
	prepare(ctx context.Context) error
	globs(host string) []string
	parts(host string) nerved.Parts
}

// slots are what a person can lay hands on.
type slots interface {
	size() int64 // of a disk, in bytes
	serial(host string, slot int) (string, error)
	fail(host string, slot int) (how string, err error)
	pull(host string, slot int) error
	insert(ctx context.Context, host string, slot int, serial string, size int64, used bool) error
}

// Options of a demo.
type Options struct {
	Dir       string    // empty: DefaultDir
	Net       string    // first three bytes of the loopback addresses; empty: 127.0.0, or others when those are taken
	Once      bool      // end after one repair
	Simulated bool      // directories even where loop devices are possible
	Ceph      bool      // a real Ceph cluster on the disks
	Out       io.Writer // what a person reads

	noRepairer bool                // a test runs its own
	tune       func(*config.Nerve) // a test changes the nerves; nil: it does not
}

// DefaultDir is where a demo has its disks and files.
func DefaultDir() string { return filepath.Join(os.TempDir(), fmt.Sprintf("glia-dev-%d", os.Getuid())) }

func defaultDir(ceph bool) string {
	if ceph {
		return DefaultDir() + "-ceph"
	}
	return DefaultDir()
}

// note is what a running demo leaves for glia dev fail and its like.
type note struct {
	Simulated bool   `json:"simulated"`
	Ceph      bool   `json:"ceph"`
	Repairer  string `json:"repairer"`
	Synapse   string `json:"synapse"`
}

// demo is one running demo.
type demo struct {
	Options
	stage    stage
	ceph     *cephStage // the stage, when it is that one; else nil
	repairer string     // URL
	synapse  string     // URL
}

// Run shows the demo until the context ends, or after one repair. An error means that the repair did
// not come to its end.
func Run(ctx context.Context, o Options) (err error) {
	if o.Dir == "" {
		o.Dir = defaultDir(o.Ceph)
	}
	d, reason, err := newDemo(o)
	if err != nil {
		return err
	}
	lock, err := lockDemo(o.Dir)
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }()
	if err := sweep(o.Dir); err != nil {
		return fmt.Errorf("sweep away what a former demo left in %s: %w", o.Dir, err)
	}
	defer func() { err = errors.Join(err, d.clear()) }()
	if reason != nil {
		d.say("No loop devices here: %v.", reason)
	}
	d.say("Three storage hosts with %d disks each: %s.", disksPerHost, d.stage.words())
	if err := d.stage.prepare(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("make the demo's disks: %w", err)
	}
	log, logFile, err := d.logger()
	if err != nil {
		return err
	}
	defer func() { _ = logFile.Close() }()

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	g, gctx := errgroup.WithContext(ctx)
	if err := d.start(gctx, g, log); err != nil {
		return err
	}
	g.Go(func() error {
		defer cancel()
		return d.story(gctx)
	})
	err = g.Wait()
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	return err
}

// newDemo chooses the stage. The reason says why it is not that with real filesystems.
func newDemo(o Options) (d *demo, reason, err error) {
	d = &demo{Options: o, stage: realStage{o.Dir}}
	reason = loop.Usable()
	switch {
	case o.Ceph && reason != nil:
		return nil, nil, fmt.Errorf("no Ceph cluster can be started here: %w", reason)
	case o.Ceph:
		if _, err := ceph.Connect(ceph.Access{}); err != nil { // it sends nothing
			return nil, nil, err
		}
		d.ceph = newCephStage(o.Dir)
		d.stage = d.ceph
		return d, nil, nil
	case reason == nil && !mkfsThere():
		reason = errors.New("mkfs.ext4 and mkfs.xfs are needed: install e2fsprogs and xfsprogs")
	}
	if o.Simulated || reason != nil {
		d.stage = simulatedStage{o.Dir}
	}
	return d, reason, nil
}

// clear removes everything of the demo.
func (d *demo) clear() error {
	var err error
	if d.ceph != nil {
		err = d.ceph.close()
	}
	return errors.Join(err, sweep(d.Dir))
}

// mkfsThere says whether the programs that make filesystems are installed.
func mkfsThere() bool {
	for _, p := range []string{"mkfs.ext4", "mkfs.xfs"} {
		if _, err := exec.LookPath(p); err != nil {
			return false
		}
	}
	return true
}

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.Out, format+"\n", args...) }

// lockDemo keeps two demos out of one directory. The kernel drops the lock with the process.
func lockDemo(dir string) (*os.File, error) {
	f, err := os.OpenFile(dir+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("another demo runs in %s: end that one first, or choose another directory with --dir", dir)
	}
	return f, nil
}

func (d *demo) logger() (*slog.Logger, *os.File, error) {
	f, err := os.OpenFile(filepath.Join(d.Dir, "glia.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, nil, err
	}
	return slog.New(slog.NewTextHandler(f, nil)), f, nil
}

// start starts all programs inside the group.
func (d *demo) start(ctx context.Context, g *errgroup.Group, log *slog.Logger) error {
	prefix, err := d.network()
	if err != nil {
		return err
	}
	d.synapse, d.repairer = "http://"+prefix+".1:7412", "http://"+prefix+".1:7413"
	b, err := json.Marshal(note{Simulated: strings.Contains(d.stage.words(), "SIMULATED"), Ceph: d.ceph != nil, Repairer: d.repairer, Synapse: d.synapse})
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(d.Dir, "demo.json"), b, 0o600); err != nil {
		return err
	}
	for i, host := range hostNames {
		c := d.nerveConfig(host, fmt.Sprintf("%s.%d", prefix, 11+i), prefix)
		if d.ceph != nil {
			if err := d.ceph.tuneNerve(&c); err != nil {
				return err
			}
		}
		g.Go(func() error { return nerved.Run(ctx, c, d.stage.parts(host), log.With("program", host)) })
	}
	s := config.DefaultSynapse()
	s.Host, s.API.Listen = "synapse-1", prefix+".1:7412"
	s.Serf.Bind, s.Serf.RPC, s.Serf.Join = prefix+".1:7946", prefix+".1:7373", []string{prefix + ".11:7946"}
	s.Resolve("synapse-1")
	g.Go(func() error { return synapsed.Run(ctx, s, synapsed.Parts{}, log.With("program", "synapse")) })

	if d.ceph != nil {
		g.Go(func() error { return serveHands(ctx, d.Dir, d.stage) })
	}
	if !d.noRepairer {
		r, err := d.repairerConfig(ctx, prefix+".1:7413")
		if err != nil {
			return err
		}
		g.Go(func() error { return repairerd.Run(ctx, r, nil, log.With("program", "repairer")) })
	}
	return nil
}

// repairerConfig is the configuration of the demo's repairer: it acts by itself, and is content with a
// new disk soon.
func (d *demo) repairerConfig(ctx context.Context, listen string) (config.Repairer, error) {
	c := config.DefaultRepairer()
	c.Access.Loopback = config.RoleDestroy // whoever plays with the demo may do everything in it
	c.Database, c.Synapse, c.Mode, c.API.Listen = filepath.Join(d.Dir, "repairer", "glia.db"), d.synapse, config.ModeAuto, listen
	c.Repair.Settle, c.Repair.RetryMin = config.Duration(3*time.Second), config.Duration(time.Second)
	c.Gates.StopFile, c.Gates.FlapBlock = filepath.Join(d.Dir, "STOP"), config.Duration(time.Second)
	c.Gates.FlapHostCases = 1000 // whoever tries it breaks more disks than a month does
	if d.ceph != nil {
		if err := d.ceph.tuneRepairer(ctx, &c); err != nil {
			return c, err
		}
	}
	c.Resolve("")
	return c, nil
}

// nerveConfig is the configuration of a demo host: quick, with the write probe, and blind to all
// disks but its own.
func (d *demo) nerveConfig(host, addr, prefix string) config.Nerve {
	c := config.DefaultNerve()
	c.Access.Loopback = config.RoleDestroy
	c.Host, c.StateDir = host, filepath.Join(d.Dir, host, "nerve")
	c.API.Listen = addr + ":7411"
	c.Serf.Bind, c.Serf.RPC, c.Serf.Join = addr+":7946", addr+":7373", []string{prefix + ".1:7946"}
	c.Probe.Interval, c.Probe.Deadline, c.Probe.Expiry = config.Duration(time.Second), config.Duration(5*time.Second), config.Duration(time.Minute)
	c.Probe.Write, c.Probe.Smart = true, false
	c.Inventory.Loop, c.Inventory.Ignore = d.stage.globs(host), []string{"[^l]*"}
	if d.tune != nil {
		d.tune(&c)
	}
	c.Resolve(host)
	return c
}

// network finds loopback addresses on which nobody listens yet.
func (d *demo) network() (string, error) {
	if d.Net != "" {
		return d.Net, nil
	}
	prefix := "127.0.0"
	for range 20 {
		if free(prefix) {
			return prefix, nil
		}
		prefix = fmt.Sprintf("127.%d.%d", 64+rand.IntN(128), rand.IntN(256))
	}
	return "", errors.New("no loopback addresses are free for the demo")
}

func free(prefix string) bool {
	addrs := []string{prefix + ".1:7412", prefix + ".1:7413", prefix + ".1:7373", prefix + ".1:7946"}
	for i := range hostNames {
		addrs = append(addrs, fmt.Sprintf("%s.%d:7411", prefix, 11+i), fmt.Sprintf("%s.%d:7946", prefix, 11+i))
	}
	for _, a := range addrs {
		l, err := net.Listen("tcp", a)
		if err != nil {
			return false
		}
		_ = l.Close()
	}
	return true
}
