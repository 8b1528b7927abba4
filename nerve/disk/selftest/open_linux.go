package selftest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Open opens the disk that the kernel calls by a name, for reading only. A kind of disk that is not known to
// answer is not sent anything, because some bridges and controllers hang over commands that they do not know;
// it gives an error that wraps ErrNone.
func Open(name string) (Device, error) {
	sys := filepath.Join("/sys/block", name)
	dir, err := filepath.EvalSymlinks(sys)
	if err != nil {
		return nil, fmt.Errorf("self-test: %w", err)
	}
	var wrap func(port) Device
	switch vendor := text(sys, "device/vendor"); {
	case strings.HasPrefix(name, "nvme"):
		wrap = func(p port) Device { return &nvme{port: p} }
	case !strings.HasPrefix(name, "sd"):
		return nil, fmt.Errorf("%w: %s is no NVMe, SATA or SAS disk", ErrNone, name)
	case vendor == "ATA": // as libata shows its disks
		wrap = func(p port) Device { return &ata{port: p} }
	case strings.Contains(dir, "/end_device-"): // a SAS port, not a volume of a RAID controller or a USB bridge
		wrap = func(p port) Device { return &scsi{port: p} }
	default:
		return nil, fmt.Errorf("%w: %s (%s) is a volume or behind a bridge", ErrNone, name, vendor)
	}
	fd, err := unix.Open(filepath.Join("/dev", name), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("self-test: open /dev/%s: %w", name, err)
	}
	return wrap(linux(fd)), nil
}

func text(dir, name string) string {
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return "" // an attribute that is not there is an empty one
	}
	return strings.TrimSpace(string(b))
}

// linux is an open disk.
type linux int

func (fd linux) Close() error { return unix.Close(int(fd)) }

// answerWithin bounds one command, in milliseconds.
const answerWithin = 20_000

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
	sgIO            = 0x2285 // SG_IO
	sgNone          = -1     // SG_DXFER_NONE
	sgFromDevice    = -3     // SG_DXFER_FROM_DEV
	sgOK            = 0      // GOOD
	sgDriverSense   = 0x08   // DRIVER_SENSE
	nvmeAdmin       = 0xc0484e41
	errNVMeStatus   = "the disk answers with status %#x"
	errSCSIStatus   = "the disk answers with status %#x (host %#x, driver %#x, sense % x)"
	senseToShow     = 18
	senseBufferSize = 64
)

func (fd linux) SCSI(command, data []byte) error {
	sense := make([]byte, senseBufferSize)
	h := &sgHeader{interfaceID: 'S', direction: sgNone, commandLength: uint8(len(command)), maxSense: senseBufferSize, timeout: answerWithin,
		command: unsafe.Pointer(&command[0]), sense: unsafe.Pointer(&sense[0])}
	if len(data) > 0 {
		h.direction, h.transferLength, h.transfer = sgFromDevice, uint32(len(data)), unsafe.Pointer(&data[0])
	}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), sgIO, uintptr(unsafe.Pointer(h)))
	runtime.KeepAlive(command)
	runtime.KeepAlive(data)
	switch {
	case errno != 0:
		return fmt.Errorf("command %02xh: %w", command[0], errno)
	case h.status != sgOK || h.hostStatus != 0 || h.driverStatus&^sgDriverSense != 0:
		return fmt.Errorf("command %02xh: "+errSCSIStatus, command[0], h.status, h.hostStatus, h.driverStatus, sense[:min(int(h.wrote), senseToShow)])
	case len(data) > 0 && int(h.residual) == len(data):
		return fmt.Errorf("command %02xh: %w", command[0], errors.New("the answer is empty"))
	}
	return nil
}

// nvmeCommand is struct nvme_passthru_cmd of <linux/nvme_ioctl.h>.
type nvmeCommand struct {
	opcode, flags          uint8
	_                      uint16
	namespace              uint32
	_                      [2]uint32
	metadata, data         uint64
	metadataLength, length uint32
	dword10                uint32
	_                      [5]uint32
	timeout, result        uint32
}

func (fd linux) NVMe(opcode uint8, namespace, dword10 uint32, data []byte) error {
	c := &nvmeCommand{opcode: opcode, namespace: namespace, dword10: dword10, timeout: answerWithin}
	var pin runtime.Pinner
	defer pin.Unpin()
	if len(data) > 0 {
		pin.Pin(&data[0])
		c.data, c.length = uint64(uintptr(unsafe.Pointer(&data[0]))), uint32(len(data))
	}
	status, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), nvmeAdmin, uintptr(unsafe.Pointer(c)))
	switch {
	case errno != 0:
		return fmt.Errorf("admin command %02xh: %w", opcode, errno)
	case status != 0:
		return fmt.Errorf("admin command %02xh: "+errNVMeStatus, opcode, status)
	}
	return nil
}
