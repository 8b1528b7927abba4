package smart

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// System is where the kernel shows its devices. The zero value is the running system.
type System struct {
	Dev string // "/dev"
	Sys string // "/sys"
}

func (s System) dev(name string) string { return filepath.Join(or(s.Dev, "/dev"), name) }

func (s System) block(name string) string { return filepath.Join(or(s.Sys, "/sys"), "block", name) }

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// plainHosts are SCSI hosts without SAS ports whose devices are disks, not volumes made of disks.
var plainHosts = []string{"virtio_scsi", "scsi_debug"}

// Kind tells what a device is asked in, by its kernel name. Only those that are known to answer are asked,
// because some bridges and controllers hang over commands that they do not know: NVMe disks, disks that
// libata or a SAS controller shows as ATA, and SCSI disks at a SAS port. For others the error wraps ErrNone.
func (s System) Kind(name string) (Kind, error) {
	dir, err := os.Readlink(s.block(name)) // its place among the devices, up to the controller
	if err != nil {
		return KindNone, err
	}
	switch {
	case strings.HasPrefix(name, "nvme"):
		return KindNVMe, nil
	case !strings.HasPrefix(name, "sd"):
		return KindNone, fmt.Errorf("%w: %s is no NVMe, SATA or SAS disk", ErrNone, name)
	}
	vendor := text(s.block(name), "device/vendor")
	switch {
	case strings.Contains(dir, "/usb"):
		return KindNone, fmt.Errorf("%w: %s (%s) is behind a USB bridge", ErrNone, name, vendor)
	case vendor == "ATA":
		return KindATA, nil
	case strings.Contains(dir, "/end_device-"), slices.Contains(plainHosts, s.host(dir)):
		return KindSCSI, nil
	}
	return KindNone, fmt.Errorf("%w: %s (%s) is a volume or behind a bridge", ErrNone, name, vendor)
}

// host is the driver of the SCSI host that a device, by its directory, belongs to.
func (s System) host(dir string) string {
	for part := range strings.SplitSeq(dir, "/") {
		if n, ok := strings.CutPrefix(part, "host"); ok && n != "" && strings.Trim(n, "0123456789") == "" {
			return text(or(s.Sys, "/sys"), "class/scsi_host/"+part+"/proc_name")
		}
	}
	return ""
}

// text is an attribute of a device; one that is not there is an empty one.
func text(dir, name string) string {
	t, err := ReadAttribute(dir + "/" + name)
	if err != nil {
		return ""
	}
	return t
}

// attributeSize is the most that an attribute of sysfs has: a page of memory.
const attributeSize = 4096

// ReadAttribute reads an attribute of sysfs, without the white space around it. It takes three system calls, where
// os.ReadFile takes eight: an attribute is read whole by one read.
func ReadAttribute(path string) (string, error) {
	fd, err := open(path, unix.O_RDONLY|unix.O_CLOEXEC)
	if err != nil {
		return "", fmt.Errorf("open %s: %w", path, err)
	}
	var b [attributeSize]byte
	n, err := unix.Read(fd, b[:])
	_ = unix.Close(fd) // it was only read
	if err != nil {
		return "", fmt.Errorf("read %s: %w", path, err)
	}
	return string(bytes.TrimSpace(b[:n])), nil
}

// Open opens the disk that the kernel calls by a name, to be asked and never changed. It neither waits for the
// disk nor leaves the node to child processes, and proves that the node is that disk.
func (s System) Open(name string) (*Device, error) { return s.open(name, false) }

// OpenForTests is Open for who also starts self-tests.
func (s System) OpenForTests(name string) (*Device, error) { return s.open(name, true) }

func (s System) open(name string, tests bool) (*Device, error) {
	kind, err := s.Kind(name)
	if err != nil {
		return nil, err
	}
	// For reading only: the end of writing would make udev look at the disk again, and wake it.
	fd, err := open(s.dev(name), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", s.dev(name), err)
	}
	if err := s.same(fd, name); err != nil {
		_ = unix.Close(fd) // it was only opened
		return nil, err
	}
	return NewDevice(kind, &kernel{fd: fd}, tests), nil
}

// open repeats what a signal interrupted.
func open(path string, flags int) (int, error) {
	for {
		fd, err := unix.Open(path, flags, 0)
		if !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
}

// same proves that an open node is the device that the kernel calls by a name.
func (s System) same(fd int, name string) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fmt.Errorf("stat %s: %w", s.dev(name), err)
	}
	have := fmt.Sprintf("%d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev))
	if want := text(s.block(name), "dev"); st.Mode&unix.S_IFMT != unix.S_IFBLK || have != want {
		return fmt.Errorf("%s is the node of device %s, the kernel's %s is %q", s.dev(name), have, name, want)
	}
	return nil
}

// patience bounds one command, in milliseconds: as long as the kernel gives a read. A shorter time would
// not end a command earlier but have the kernel reset disk and bus.
const patience = 30_000

// sgHeader is struct sg_io_hdr of <scsi/sg.h>.
type sgHeader struct {
	interfaceID, direction         int32
	commandLength, maxSense        uint8
	iovecCount                     uint16
	transferLength                 uint32
	transfer, command, sense       unsafe.Pointer
	timeout, flags                 uint32
	packID                         int32
	_                              unsafe.Pointer
	status, masked, message, wrote uint8
	hostStatus, driverStatus       uint16
	residual                       int32
	duration, info                 uint32
}

const (
	ioctlSG      = 0x2285 // SG_IO
	sgNone       = -1     // SG_DXFER_NONE
	sgFromDevice = -3     // SG_DXFER_FROM_DEV

	ioctlNVMe = 0xc0484e41 // NVME_IOCTL_ADMIN_CMD
)

// nvmeCommand is struct nvme_passthru_cmd of <linux/nvme_ioctl.h>.
type nvmeCommand struct {
	opcode, flags          uint8
	_                      uint16
	namespace              uint32
	_                      [2]uint32
	metadata, data         uint64 // addresses
	metadataLength, length uint32
	dword10                uint32
	_                      [5]uint32
	timeout, result        uint32 // a timeout of 0 is the kernel's own for admin commands
}

// kernel is an open disk. What the kernel is given pointers to lies in it, so that it stays where it is.
type kernel struct {
	fd    int
	sg    sgHeader
	nvme  nvmeCommand
	block [16]byte
	sense [senseSize]byte
}

var _ Wire = (*kernel)(nil)

func (k *kernel) Close() error { return unix.Close(k.fd) }

func (k *kernel) Send(c Command, data []byte) (Answer, error) {
	var at unsafe.Pointer
	if len(data) > 0 {
		at = unsafe.Pointer(&data[0])
	}
	if c.kind == KindNVMe {
		k.nvme = nvmeCommand{opcode: c.opcode, namespace: c.namespace, dword10: c.dword10, data: uint64(uintptr(at)), length: uint32(len(data))}
		status, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(k.fd), ioctlNVMe, uintptr(unsafe.Pointer(&k.nvme)))
		runtime.KeepAlive(data) // which is on the heap, where nothing is moved
		return Answer{Length: len(data), NVMe: uint16(status)}, orNil(errno)
	}
	k.block = c.block
	k.sg = sgHeader{interfaceID: 'S', direction: sgNone, commandLength: c.length, maxSense: uint8(len(k.sense)), timeout: patience,
		command: unsafe.Pointer(&k.block), sense: unsafe.Pointer(&k.sense)}
	if len(data) > 0 {
		k.sg.direction, k.sg.transferLength, k.sg.transfer = sgFromDevice, uint32(len(data)), at
	}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(k.fd), ioctlSG, uintptr(unsafe.Pointer(&k.sg)))
	k.sg.transfer = nil
	return Answer{Length: len(data) - int(k.sg.residual), Status: k.sg.status, Host: k.sg.hostStatus, Driver: k.sg.driverStatus,
		Sense: k.sense[:min(int(k.sg.wrote), len(k.sense))]}, orNil(errno)
}

func orNil(errno unix.Errno) error {
	if errno != 0 {
		return errno
	}
	return nil
}
