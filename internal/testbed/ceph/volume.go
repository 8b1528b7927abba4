package ceph

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
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
