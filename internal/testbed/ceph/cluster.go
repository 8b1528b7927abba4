// Package ceph starts a real Ceph cluster on this machine for tests and for the demo: one mon, one mgr
// and BlueStore OSDs on loop devices, with cephx, on loopback, spread over simulated hosts.
//
// It guarantees that a started cluster has all its placement groups active and clean, that two clusters
// do not get into each other's way, and that Close leaves nothing behind: daemons are stopped by the pid
// that was started here, loop devices and mounts are undone. When the process dies without Close, the
// kernel kills the daemons and frees the loop devices with it; the few files and tmpfs mounts that stay
// are swept away when the next cluster is started.
//
// Each cluster has a name of its own (glia-PID-N), and that is how it lives beside others and beside a
// real one: /etc/ceph/NAME.conf, /var/lib/ceph/osd/NAME-ID and /var/lib/ceph/bootstrap-osd/NAME.keyring
// are where Ceph's own tools look when they are told --cluster NAME.
//
// It needs root, loop devices and the Ceph packages (install.sh ceph), and says which of them is missing.
package ceph

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// Options describe a cluster. The zero value is four hosts, h0 to h3, with one OSD of 4 GiB each, and a
// pool "data" with three copies on different hosts.
type Options struct {
	Hosts       int   // 0: 4
	OSDsPerHost int   // 0: 1
	Size        int64 // bytes of each disk, sparse, from 1 GiB; 0: 4 GiB

	Pool     string // 0: data
	PGs      int    // of the pool; 0: 16
	Replicas int    // 0: 3, or fewer where there are fewer hosts

	// MapOnly makes another kind of cluster: so many OSDs are in the map and in the CRUSH tree, below the root
	// mapped, 24 on each of the hosts m0, m1, …; none of them runs, and there is no pool. It is for what
	// the mon and the manager of a large cluster have to tell. 3000 take a minute or two.
	MapOnly int

	// Disk names the n-th disk of the h-th host, both from 0; nil: h0, bay0, and the cluster's name with both.
	Disk func(h, n int) (host, bay, serial string)

	Dir  string            // for everything the cluster writes; empty: a temporary one, removed by Close
	Conf map[string]string // more lines for [global] of the configuration, by key
}

func (o *Options) resolve() {
	o.Hosts = cmp.Or(o.Hosts, 4)
	o.OSDsPerHost = cmp.Or(o.OSDsPerHost, 1)
	o.Size = cmp.Or(o.Size, 4<<30)
	o.Pool = cmp.Or(o.Pool, "data")
	o.PGs = cmp.Or(o.PGs, 16)
	o.Replicas = cmp.Or(o.Replicas, min(3, o.Hosts))
}

// Cluster is a running cluster. It is safe for concurrent use.
type Cluster struct {
	Name string // for --cluster of Ceph's tools
	FSID string
	Dir  string
	Conf string // path of the configuration, which names the admin's keyring; for CEPH_CONF and librados
	Pool string

	opts    Options
	temp    bool // Dir was made here
	daemons *nursery
	closed  atomic.Bool

	mu    sync.Mutex
	disks []*Disk
	osds  map[int]string // host by OSD id

	monPort int
	control net.Listener
}

var clusters atomic.Int64

// Start starts a cluster and returns when all placement groups are active and clean. It takes about six
// seconds on two idle cores. After an error nothing is left behind.
func Start(ctx context.Context, o Options) (*Cluster, error) {
	o.resolve()
	if err := usable(); err != nil {
		return nil, err
	}
	sweep()
	c := &Cluster{
		Name: fmt.Sprintf("%s%d-%d", namePrefix, os.Getpid(), clusters.Add(1)),
		FSID: uuid.NewString(), Pool: o.Pool, opts: o, osds: map[int]string{}, daemons: newNursery(),
	}
	if err := c.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("ceph test bed: %w", err), c.Close())
	}
	return c, nil
}

func (c *Cluster) start(ctx context.Context) error {
	dir := c.opts.Dir
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", namePrefix); err != nil {
			return err
		}
		c.temp = true
	}
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return err
	}
	c.Dir = dir
	if len(dir) > longestDir {
		return fmt.Errorf("%s is too long for Ceph's sockets: want at most %d bytes", dir, longestDir)
	}
	if err := c.wrapVolume(); err != nil {
		return err
	}
	k, err := c.configure()
	if err != nil {
		return err
	}
	if err := c.serveControl(); err != nil {
		return err
	}
	if err := c.startMonAndMgr(ctx); err != nil {
		return err
	}
	if c.opts.MapOnly > 0 {
		return c.mapOSDs(ctx)
	}
	var slots []slot
	for h := range c.opts.Hosts {
		for n := range c.opts.OSDsPerHost {
			s := slot{host: fmt.Sprintf("h%d", h), bay: bayOf(n), id: len(slots), key: k.osds[len(slots)]}
			s.serial = c.serialOf(s.host, n)
			if c.opts.Disk != nil {
				s.host, s.bay, s.serial = c.opts.Disk(h, n)
			}
			slots = append(slots, s)
		}
	}
	if err := c.makeOSDs(ctx, slots); err != nil {
		return err
	}
	if err := c.createPool(ctx); err != nil {
		return err
	}
	return c.WaitClean(ctx)
}

// Hosts are the names of the simulated hosts that have a disk or an OSD.
func (c *Cluster) Hosts() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	seen := map[string]bool{}
	var out []string
	add := func(h string) {
		if !seen[h] {
			seen[h] = true
			out = append(out, h)
		}
	}
	for _, d := range c.disks {
		add(d.Host)
	}
	return out
}

// HostOf is the simulated host of an OSD, empty when this cluster never started it.
func (c *Cluster) HostOf(id int) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.osds[id]
}

// Close stops everything that was started, and removes everything that was made. It may be called more
// than once.
func (c *Cluster) Close() error {
	if c.closed.Swap(true) {
		return nil
	}
	var errs []error
	if c.control != nil {
		errs = append(errs, c.control.Close())
	}
	c.daemons.Close()
	errs = append(errs, unmountBelow(osdRoot, c.Name+"-"))
	c.mu.Lock()
	for _, d := range c.disks {
		errs = append(errs, d.detach())
	}
	c.mu.Unlock()
	errs = append(errs, removeTraces(c.Name), c.unwrapVolume())
	if c.temp && c.Dir != "" {
		errs = append(errs, os.RemoveAll(c.Dir))
	}
	return errors.Join(errs...)
}

// patience bounds every wait for the cluster, unless the context ends before. Machines that run many
// tests at once are slow.
const patience = 3 * time.Minute
