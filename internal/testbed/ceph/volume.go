package ceph

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/google/uuid"
	"github.com/siderolabs/go-blockdevice/v2/block"
	"github.com/siderolabs/go-blockdevice/v2/partitioning/gpt"
)

var onPath sync.Mutex // held to change PATH

// wrapVolume puts a ceph-volume before the machine's own that lets loop devices count. Without it the one of
// Ceph 16.2.15 fails whatever it is asked, wherever on the machine a loop device has partitions: get_devices in
// its util/disk.py reads a variable that only a whole device sets, and leaves out the loop devices that come
// before those partitions.
func (c *Cluster) wrapVolume() error {
	const real = "/usr/sbin/ceph-volume"
	file := filepath.Join(c.Dir, "bin", "ceph-volume")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(file, fmt.Appendf(nil, "#!/bin/sh\nCEPH_VOLUME_ALLOW_LOOP_DEVICES=1 exec %s \"$@\"\n", real), 0o755); err != nil {
		return err
	}
	onPath.Lock()
	defer onPath.Unlock()
	return os.Setenv("PATH", filepath.Dir(file)+":"+os.Getenv("PATH"))
}

// unwrapVolume takes it off again.
func (c *Cluster) unwrapVolume() error {
	onPath.Lock()
	defer onPath.Unlock()
	dirs := filepath.SplitList(os.Getenv("PATH"))
	return os.Setenv("PATH", strings.Join(slices.DeleteFunc(dirs, func(d string) bool { return d == filepath.Join(c.Dir, "bin") }), ":"))
}

// tries is how often ceph-volume is run when others' devices go away under it.
const tries = 5

// LostADevice says whether ceph-volume has failed, before it has changed anything, because a device of the machine went
// away while it listed all of them: get_devices in its util/disk.py does not expect that. Other tests come and go.
func LostADevice(said string) bool {
	return strings.Contains(said, "FileNotFoundError") && strings.Contains(said, "'/sys/")
}

// Prepare makes an OSD on a raw device as an operator does, with ceph-volume, starts it on a host, and returns
// when it is up. It gets the lowest free id, which the caller must know.
func (c *Cluster) Prepare(ctx context.Context, host string, id int, args ...string) error {
	all := append([]string{"--cluster", c.Name, "raw", "prepare", "--bluestore"}, args...)
	for try := 1; ; try++ {
		_, err := c.tool(ctx, nil, "ceph-volume", all...)
		if err == nil {
			break
		}
		if try == tries || !LostADevice(err.Error()) {
			return err
		}
	}
	if err := c.StartOSDOn(id, host); err != nil {
		return err
	}
	return c.WaitUp(ctx, id)
}

// Divide gives a blank disk a table with partitions of so many bytes, and returns their paths.
func (d *Disk) Divide(sizes ...uint64) ([]string, error) {
	dev, err := block.NewFromPath(d.Device(), block.OpenForWrite())
	if err != nil {
		return nil, err
	}
	defer dev.Close()
	wrapped, err := gpt.DeviceFromBlockDevice(dev)
	if err != nil {
		return nil, err
	}
	table, err := gpt.New(wrapped)
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, size := range sizes {
		n, _, err := table.AllocatePartition(size, "by hand", uuid.New())
		if err != nil {
			return nil, err
		}
		paths = append(paths, fmt.Sprintf("%sp%d", d.Device(), n))
	}
	return paths, table.Write()
}
