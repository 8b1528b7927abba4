package probe

import (
	"bytes"
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"glia"
)

// The parts of <linux/btrfs.h> that tell which devices a filesystem has, and what it met on each.
const (
	btrfsMagic = 0x94

	btrfsFSInfoSize  = 1024 // struct btrfs_ioctl_fs_info_args
	btrfsDevInfoSize = 4096 // struct btrfs_ioctl_dev_info_args
	btrfsStatsSize   = 1032 // struct btrfs_ioctl_get_dev_stats
	btrfsDevPathAt   = 3072
	btrfsFSIDAt      = 16

	// btrfsMostDevices bounds the ids that are asked for; each device that was ever added has one.
	btrfsMostDevices = 4096
)

var (
	btrfsFSInfo  = ioc(2, 31, btrfsFSInfoSize)
	btrfsDevInfo = ioc(3, 30, btrfsDevInfoSize)
	btrfsStats   = ioc(3, 52, btrfsStatsSize)
)

// ioc is _IOC of <asm-generic/ioctl.h>: 2 reads, 3 writes and reads.
func ioc(direction, number, size uintptr) uintptr {
	return direction<<30 | size<<16 | btrfsMagic<<8 | number
}

// btrfsCounts are the errors that btrfs met on one device since they were last set to zero, which only
// persons do. They are kept on the disk.
type btrfsCounts struct{ Write, Read, Flush, Corruption, Generation uint64 }

// btrfsErrors tells what btrfs has met on each device of the disk that belongs to the filesystem at m. It
// asks the mounted filesystem and reads nothing from the disk.
//
//	btrfs.io_errors[FSID:ID]          writes, reads and flushes that the device failed
//	btrfs.corruption_errors[FSID:ID]  blocks with a wrong checksum or of a wrong generation
func (f *FS) btrfsErrors(d glia.Disk, m glia.Mount) []glia.Evidence {
	unknown := func(doing string, err error) []glia.Evidence {
		return []glia.Evidence{f.saw("btrfs.io_errors", glia.Evidence{Unknown: whyNot(doing+" "+m.Target, err)})}
	}
	fd, err := retry(func() (int, error) {
		return unix.Open(m.Target, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return unknown("open", err)
	}
	defer unix.Close(fd)
	var fs [btrfsFSInfoSize / 8]uint64
	if err := btrfsAsk(fd, btrfsFSInfo, unsafe.Pointer(&fs)); err != nil {
		return unknown("ask for the devices of", err)
	}
	fsid := asBytes(fs[:])[btrfsFSIDAt : btrfsFSIDAt+16]
	var out []glia.Evidence
	for id := range min(fs[0], btrfsMostDevices) { // ids begin with 1; 0 is a replacement under way
		var dev [btrfsDevInfoSize / 8]uint64
		dev[0] = id + 1
		if btrfsAsk(fd, btrfsDevInfo, unsafe.Pointer(&dev)) != nil {
			continue // no device has that id any more
		}
		path, _, _ := bytes.Cut(asBytes(dev[:])[btrfsDevPathAt:], []byte{0})
		if !f.Roots.isOn(d, string(path)) {
			continue
		}
		stats := [btrfsStatsSize / 8]uint64{0: id + 1, 1: 5}
		if err := btrfsAsk(fd, btrfsStats, unsafe.Pointer(&stats)); err != nil {
			return unknown("ask for the errors on the devices of", err)
		}
		c := btrfsCounts{stats[3], stats[4], stats[5], stats[6], stats[7]}
		key := fmt.Sprintf("[%x:%d]", fsid, id+1)
		said := func(n uint64) string {
			if n == 0 {
				return ""
			}
			return fmt.Sprintf("btrfs of %s met on %s: %d failed writes, %d failed reads, %d failed flushes, %d wrong checksums, %d wrong generations",
				m.Target, path, c.Write, c.Read, c.Flush, c.Corruption, c.Generation)
		}
		io, corruption := c.Write+c.Read+c.Flush, c.Corruption+c.Generation
		out = append(out,
			f.saw("btrfs.io_errors"+key, glia.Evidence{Value: float64(io), Detail: said(io)}),
			f.saw("btrfs.corruption_errors"+key, glia.Evidence{Value: float64(corruption), Detail: said(corruption)}))
	}
	return out
}

func btrfsAsk(fd int, request uintptr, arg unsafe.Pointer) error {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(arg))
	runtime.KeepAlive(arg)
	if errno != 0 {
		return errno
	}
	return nil
}

func asBytes(words []uint64) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), 8*len(words))
}

// isOn says whether the device node is the disk, a partition of it, or built on it alone.
func (r Roots) isOn(d glia.Disk, path string) bool {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFBLK {
		return false
	}
	number := fmt.Sprintf("%d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev))
	names := []string{d.Location.Device}
	for _, p := range d.Partitions {
		names = append(names, p.Name)
	}
	for _, h := range d.Holders {
		names = append(names, h.Name)
	}
	for _, name := range names {
		if have, err := r.number(name); err == nil && have == number {
			return r.onlyOn(d, name, 0)
		}
	}
	return false
}
