package ceph

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"
)

func (c *Cluster) startMonAndMgr(ctx context.Context) error {
	if _, err := c.tool(ctx, nil, "monmaptool", "--create", "--fsid", c.FSID, "--addv", "a", monAddress(c.monPort), c.monmap()); err != nil {
		return err
	}
	if _, err := c.tool(ctx, nil, "ceph-mon", "--cluster", c.Name, "--mkfs", "-i", "a", "--monmap", c.monmap(), "--keyring", filepath.Join(c.Dir, "mkfs.keyring")); err != nil {
		return err
	}
	if err := c.StartMon(); err != nil {
		return err
	}
	// Else the mgr makes a pool for it, at any time or never: it depends on how many OSDs are up when it starts.
	if _, err := c.Ceph(ctx, "config", "set", "mgr", "mgr/devicehealth/enable_monitoring", "false", "--force"); err != nil {
		return err
	}
	return c.StartMgr()
}

func (c *Cluster) monmap() string { return filepath.Join(c.Dir, "monmap") }

// StartMon starts the mon again.
func (c *Cluster) StartMon() error {
	return c.startDaemon("mon.a", "", "ceph-mon", "--cluster", c.Name, "-f", "-i", "a")
}

// StopMon stops the only mon: the cluster is without a quorum then.
func (c *Cluster) StopMon(ctx context.Context) error { return c.stop(ctx, "mon.a", unix.SIGTERM) }

// StartMgr starts the mgr again.
func (c *Cluster) StartMgr() error {
	return c.startDaemon("mgr.x", "", "ceph-mgr", "--cluster", c.Name, "-f", "-i", "x")
}

// StopMgr stops the only mgr.
func (c *Cluster) StopMgr(ctx context.Context) error { return c.stop(ctx, "mgr.x", unix.SIGTERM) }

// PauseMgr lets the mgr do nothing until goOn is called.
func (c *Cluster) PauseMgr() (goOn func() error, err error) {
	pid := c.daemons.PID("mgr.x")
	if pid == 0 {
		return nil, errors.New("pause mgr.x: it does not run")
	}
	return func() error { return unix.Kill(pid, unix.SIGCONT) }, unix.Kill(pid, unix.SIGSTOP)
}

func (c *Cluster) stop(ctx context.Context, name string, signal unix.Signal) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("still there after %s", patience))
	defer cancel()
	return c.daemons.Stop(ctx, name, signal)
}
