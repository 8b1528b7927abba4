package ceph

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// Disk is a loop device that plays a disk of one simulated host. An inventory of that host finds it by
// the pattern that DisksOf gives.
type Disk struct {
	Host   string
	Serial string // name of the backing file without .img
	Bay    string // name of its directory, which plays the slot
	File   string
	Size   int64

	mu     sync.Mutex
	device string   // /dev/loopN; empty once it was pulled
	node   *os.File // keeps the loop device attached; the kernel frees it with the last user
	owner  unix.Stat_t
}

// Device is the path of the loop device, such as /dev/loop7; empty once the disk was pulled.
func (d *Disk) Device() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.device
}

// DisksOf is the pattern of the backing files of a host's disks, for nerve/disk.Source.Loop.
func (c *Cluster) DisksOf(host string) string {
	return filepath.Join(c.Dir, "disks", host, "*", "*.img")
}

// Disks are the disks of one host that are plugged in.
func (c *Cluster) Disks(host string) []*Disk {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []*Disk
	for _, d := range c.disks {
		if d.Host == host && d.Device() != "" {
			out = append(out, d)
		}
	}
	return out
}

// Disk is the plugged-in disk with a serial, nil when there is none.
func (c *Cluster) Disk(serial string) *Disk {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, d := range c.disks {
		if d.Serial == serial && d.Device() != "" {
			return d
		}
	}
	return nil
}

// Plug puts a blank disk of size bytes into a bay of a host. The host may be a new one. The content of a
// disk with that serial which was pulled before is still on it.
func (c *Cluster) Plug(host, bay, serial string, size int64) (*Disk, error) {
	file := filepath.Join(c.Dir, "disks", host, bay, serial+".img")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		return nil, err
	}
	d := &Disk{Host: host, Bay: bay, Serial: serial, File: file, Size: size}
	if err := d.attach(f); err != nil {
		return nil, fmt.Errorf("attach %s: %w", file, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.disks = append(slices.DeleteFunc(c.disks, func(o *Disk) bool { return o.File == file }), d)
	return d, nil
}

// Pull takes a disk out of its host. Who has it open keeps it until he lets go, as losetup -d does.
func (c *Cluster) Pull(d *Disk) error { return d.detach() }

// attaching keeps two goroutines of this process off the same free loop device; other processes make
// the kernel say EBUSY, and the next one is taken.
var attaching sync.Mutex

func (d *Disk) attach(backing *os.File) error {
	attaching.Lock()
	defer attaching.Unlock()
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer control.Close()
	for range 64 {
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return fmt.Errorf("find a free loop device: %w", err)
		}
		device := "/dev/loop" + strconv.Itoa(n)
		if err := configure(device, backing); errors.Is(err, unix.EBUSY) || errors.Is(err, unix.ENOENT) {
			continue
		} else if err != nil {
			return err
		}
		// Held for reading only: whoever wants the device for himself alone still gets it.
		node, err := os.OpenFile(device, os.O_RDONLY|unix.O_NONBLOCK, 0)
		if err != nil {
			return err
		}
		if err := errors.Join(autoclear(node, backing), unix.Fstat(int(node.Fd()), &d.owner)); err != nil {
			node.Close()
			return err
		}
		d.device, d.node = device, node
		return nil
	}
	return errors.New("every free loop device was taken by somebody else")
}

func configure(device string, backing *os.File) error {
	node, err := os.OpenFile(device, os.O_RDWR|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer node.Close()
	if err := unix.IoctlSetInt(int(node.Fd()), unix.LOOP_SET_FD, int(backing.Fd())); err != nil {
		return fmt.Errorf("attach %s: %w", device, err)
	}
	return nil
}

// autoclear asks the kernel to free the device when its last user closes it, and lets it have partitions.
func autoclear(node, backing *os.File) error {
	info := unix.LoopInfo64{Flags: unix.LO_FLAGS_AUTOCLEAR | unix.LO_FLAGS_PARTSCAN}
	copy(info.File_name[:len(info.File_name)-1], backing.Name())
	if err := unix.IoctlLoopSetStatus64(int(node.Fd()), &info); err != nil {
		return fmt.Errorf("set up %s: %w", node.Name(), err)
	}
	return nil
}

func (d *Disk) detach() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.node == nil {
		return nil
	}
	// ceph-volume gives the node to the user ceph.
	err := d.node.Chown(int(d.owner.Uid), int(d.owner.Gid))
	err = errors.Join(err, d.node.Close()) // the kernel detaches it with its last user
	d.node, d.device = nil, ""
	return err
}
