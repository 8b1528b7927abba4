package ceph

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"
)

// slot is an OSD to be made.
type slot struct {
	host   string
	bay    string
	serial string
	id     int
	key    string // which the mon knows
	uuid   string
	disk   *Disk
}

func bayOf(n int) string { return fmt.Sprintf("bay%d", n) }

func (c *Cluster) serialOf(host string, n int) string {
	return fmt.Sprintf("%s-%s-%d", strings.ToUpper(c.Name), strings.ToUpper(host), n)
}

func daemonOf(id int) string { return "osd." + strconv.Itoa(id) }

// OSDDir is the directory of an OSD, a tmpfs as ceph-volume makes it.
func (c *Cluster) OSDDir(id int) string {
	return filepath.Join(osdRoot, c.Name+"-"+strconv.Itoa(id))
}

// makeOSDs makes blank disks, and OSDs on them, side by side, and starts these.
func (c *Cluster) makeOSDs(ctx context.Context, slots []slot) error {
	var commands strings.Builder
	for i := range slots {
		s := &slots[i]
		s.uuid = uuid.NewString()
		var err error
		if s.disk, err = c.Plug(s.host, s.bay, s.serial, c.opts.Size); err != nil {
			return err
		}
		fmt.Fprintf(&commands, "osd new %s %d\n", s.uuid, s.id)
	}
	var all sync.WaitGroup
	errs := make([]error, len(slots)+1)
	for i, s := range slots {
		all.Go(func() { errs[i] = c.mkfs(ctx, s) })
	}
	commands.WriteString("config set mgr mgr/devicehealth/enable_monitoring false --force\n")
	commands.WriteString("config set mgr mgr/balancer/active false --force\n")
	all.Go(func() { errs[len(slots)] = c.script(ctx, commands.String()) })
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for _, s := range slots {
		c.mu.Lock()
		c.osds[s.id] = s.host
		c.mu.Unlock()
		if err := c.StartOSD(s.id); err != nil {
			return err
		}
	}
	return nil
}

// mkfs makes the OSD's directory and its BlueStore as ceph-volume raw prepare does, key in the label
// included, but asks no mon, so that several can be made at once.
func (c *Cluster) mkfs(ctx context.Context, s slot) error {
	dir := c.OSDDir(s.id)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=0755"); err != nil {
		return fmt.Errorf("mount tmpfs on %s: %w", dir, err)
	}
	if err := os.Symlink(s.disk.Device(), filepath.Join(dir, "block")); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "keyring"), []byte(entry(daemonOf(s.id), s.key)), 0o600); err != nil {
		return err
	}
	_, err := c.tool(ctx, []byte(s.key), "ceph-osd", "--cluster", c.Name, "--osd-objectstore", "bluestore", "--mkfs", "-i", strconv.Itoa(s.id),
		"--no-mon-config", "--monmap", c.monmap(), "--keyfile", "-", "--osd-data", dir, "--osd-uuid", s.uuid)
	return err
}

// AddHost adds new OSDs to a host, which may be a new one, each on a blank disk, and returns their ids
// once they are up. Wait with WaitClean for the data to move.
func (c *Cluster) AddHost(ctx context.Context, host string, osds int) ([]int, error) {
	var slots []slot
	var ring strings.Builder
	var ids []int
	for n := range osds {
		var out struct{ OSDID int }
		// With a uuid that is thrown away, only to learn which id is free.
		if err := c.JSON(ctx, &out, "osd", "new", uuid.NewString()); err != nil {
			return nil, err
		}
		if err := c.run(ctx, "osd", "destroy", strconv.Itoa(out.OSDID), "--yes-i-really-mean-it"); err != nil {
			return nil, err
		}
		bay := len(c.Disks(host)) + n
		s := slot{host: host, bay: bayOf(bay), serial: c.serialOf(host, bay), id: out.OSDID, key: newKey()}
		ring.WriteString(osdEntry(s.id, s.key))
		slots, ids = append(slots, s), append(ids, s.id)
	}
	file := filepath.Join(c.Dir, "more.keyring")
	if err := os.WriteFile(file, []byte(ring.String()), 0o600); err != nil {
		return nil, err
	}
	if err := c.run(ctx, "auth", "import", "-i", file); err != nil {
		return nil, err
	}
	if err := c.makeOSDs(ctx, slots); err != nil {
		return nil, err
	}
	for _, id := range ids {
		if err := c.WaitUp(ctx, id); err != nil {
			return nil, err
		}
	}
	return ids, nil
}

// StartOSD starts the daemon of an OSD on the host where it was first started, from its directory. One
// that runs is an error.
func (c *Cluster) StartOSD(id int) error {
	host := c.HostOf(id)
	if host == "" {
		return fmt.Errorf("osd.%d is of no host: use StartOSDOn", id)
	}
	return c.StartOSDOn(id, host)
}

// StartOSDOn starts the daemon of an OSD on a host.
func (c *Cluster) StartOSDOn(id int, host string) error {
	c.mu.Lock()
	c.osds[id] = host
	c.mu.Unlock()
	return c.startDaemon(daemonOf(id), host, "ceph-osd", "--cluster", c.Name, "-f", "-i", strconv.Itoa(id), "--crush-location", "root=default host="+host)
}

// StopOSD stops the daemon of an OSD and waits until it is gone. One that does not run is no error.
func (c *Cluster) StopOSD(ctx context.Context, id int) error {
	return c.stop(ctx, daemonOf(id), unix.SIGTERM)
}

// KillOSD kills the daemon of an OSD with SIGKILL and waits until it is gone.
func (c *Cluster) KillOSD(ctx context.Context, id int) error {
	return c.stop(ctx, daemonOf(id), unix.SIGKILL)
}

// PID is the process of an OSD's daemon, 0 when it does not run.
func (c *Cluster) PID(id int) int { return c.daemons.PID(daemonOf(id)) }
