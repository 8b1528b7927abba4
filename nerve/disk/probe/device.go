package probe

import (
	"errors"
	"fmt"
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/unix"

	"glia"
	"glia/internal/diskseq"
	"glia/nerve/disk/smart"
)

// Roots are where the kernel shows itself. The zero value is the running system; tests put trees of
// their own here.
type Roots struct {
	Dev       string // "/dev"
	Sys       string // "/sys"
	MountInfo string // "/proc/self/mountinfo"
}

func (r Roots) system() smart.System { return smart.System{Dev: r.Dev, Sys: r.Sys} }

func (r Roots) dev(name string) string {
	if r.Dev == "" {
		return filepath.Join("/dev", name)
	}
	return filepath.Join(r.Dev, name)
}

func (r Roots) sys(parts ...string) string {
	root := r.Sys
	if root == "" {
		root = "/sys"
	}
	return filepath.Join(append([]string{root}, parts...)...)
}

// attr reads one sysfs attribute without its newline.
func (r Roots) attr(parts ...string) (string, error) {
	return smart.ReadAttribute(r.sys(parts...))
}

// number is the major:minor of a block device, disk or partition, by its kernel name.
func (r Roots) number(name string) (string, error) { return r.attr("class/block", name, "dev") }

// other says that the kernel name of a disk does not stand for it any more; empty as long as it does, or when
// the kernel does not number its devices. Since no number comes twice, it did not in between, either.
func (r Roots) other(d glia.Disk) string {
	l := d.Location
	switch now := diskseq.Named(r.sys(), l.Device); {
	case l.DiskSeq == 0, now == l.DiskSeq:
		return ""
	case now == 0:
		return "vanished during the probe"
	default:
		return fmt.Sprintf("%s was another device before the probe ended", l.Device)
	}
}

// errOther says that the node is not, or no longer, the disk that was asked for.
var errOther = errors.New("the device node belongs to another device")

// device is a disk that is open for direct reading.
type device struct {
	fd    int
	name  string
	seq   uint64 // of the inventory
	roots Roots
	size  int64 // bytes
	block int   // bytes that a direct read must be a multiple of
}

// openDevice opens a disk read-only and checks that the node is the disk the kernel calls by that
// name. It neither waits for a drive to become ready nor leaves the node to child processes.
func openDevice(r Roots, d glia.Disk) (*device, error) {
	fd, err := retry(func() (int, error) {
		return unix.Open(r.dev(d.Location.Device), unix.O_RDONLY|unix.O_DIRECT|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return nil, err
	}
	dev := &device{fd: fd, name: d.Location.Device, seq: d.Location.DiskSeq, roots: r}
	if err := dev.check(); err != nil {
		dev.Close()
		return nil, err
	}
	block, err := unix.IoctlGetUint32(fd, unix.BLKSSZGET)
	if err != nil {
		dev.Close()
		return nil, fmt.Errorf("ask for its block size: %w", err)
	}
	if dev.size, err = unix.Seek(fd, 0, unix.SEEK_END); err != nil {
		dev.Close()
		return nil, fmt.Errorf("ask for its size: %w", err)
	}
	dev.block = int(block)
	return dev, nil
}

// Close lets go of the device.
func (d *device) Close() error { return unix.Close(d.fd) }

// check compares the open device with what the kernel calls by its name now.
func (d *device) check() error {
	var st unix.Stat_t
	if err := unix.Fstat(d.fd, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFBLK {
		return fmt.Errorf("it is no block device: %w", errOther)
	}
	want, err := d.roots.attr("block", d.name, "dev")
	if err != nil {
		return err
	}
	if have := fmt.Sprintf("%d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev)); have != want {
		return fmt.Errorf("the node is %s, the kernel's %s is %s: %w", have, d.name, want, errOther)
	}
	return diskseq.Check(d.fd, d.seq)
}

// aligned returns n zero bytes whose address is a multiple of n, as direct reads want it. n is a power of two.
func aligned(n int) []byte {
	raw := make([]byte, 2*n)
	skip := (n - int(uintptr(unsafe.Pointer(&raw[0]))&uintptr(n-1))) & (n - 1)
	return raw[skip : skip+n : skip+n]
}
