package probe

import (
	"context"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"glia"
)

// UnlessAsleep wraps a source that would wake a sleeping disk: while the disk sleeps, its evidence is unknown.
func UnlessAsleep(r Roots, s Source) Source { return &awake{r, s} }

type awake struct {
	roots Roots
	Source
}

func (a *awake) Probe(ctx context.Context, d glia.Disk) []glia.Evidence {
	if why := a.roots.Asleep(d); why != "" {
		return []glia.Evidence{{Source: a.Name(), What: a.Name(), Unknown: why}}
	}
	return a.Source.Probe(ctx, d)
}

// Asleep says how a disk sleeps, and nothing when it is awake or cannot tell. Asking wakes no disk: the kernel's
// own suspending is read from sysfs, and the standby of SATA disks is asked for with CHECK POWER MODE.
func (r Roots) Asleep(d glia.Disk) string {
	name := d.Location.Device
	if s, err := r.attr("block", name, "device/power/runtime_status"); err == nil && s == "suspended" {
		return "asleep: the kernel has suspended it"
	}
	// libata shows its disks with this vendor. Others are not sent ATA commands, which some USB bridges
	// and RAID controllers answer by hanging.
	if v, err := r.attr("block", name, "device/vendor"); err != nil || v != "ATA" {
		return ""
	}
	fd, err := unix.Open(r.dev(name), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return "" // the source will say it better
	}
	defer unix.Close(fd)
	sense, err := checkPowerMode(fd)
	if err != nil {
		return ""
	}
	if count, ok := PowerMode(sense); ok && Standby(count) {
		return "asleep: in standby"
	}
	return ""
}

// Standby says whether the count that CHECK POWER MODE returns means that the disk has spun down: 00h is
// standby, 01h standby_y (ACS-3, table 36). All others are idle or active.
func Standby(count byte) bool { return count <= 0x01 }

// PowerMode finds the count field of an ATA command's result in SCSI sense data, in descriptor format or in fixed
// format (SAT-3, 12.2.5 and 12.2.6). It is not found in sense data about anything else.
func PowerMode(sense []byte) (count byte, ok bool) {
	// Additional sense 00h/1Dh is "ATA pass through information available".
	switch {
	case len(sense) >= 8 && sense[0]&0x7f == 0x72:
		if sense[2] != 0x00 || sense[3] != 0x1d {
			return 0, false
		}
		for rest := sense[8:min(len(sense), 8+int(sense[7]))]; len(rest) >= 2; {
			n := 2 + int(rest[1])
			if rest[0] == 0x09 && n >= 14 && len(rest) >= 14 {
				return rest[5], rest[13]&0x01 == 0 // status bit 0: the command failed
			}
			rest = rest[min(n, len(rest)):]
		}
	case len(sense) >= 14 && sense[0]&0x7f == 0x70:
		if sense[12] != 0x00 || sense[13] != 0x1d {
			return 0, false
		}
		return sense[6], sense[4]&0x01 == 0
	}
	return 0, false
}

// sgIO is struct sg_io_hdr of <scsi/sg.h>.
type sgIO struct {
	interfaceID    int32
	direction      int32
	commandLength  uint8
	maxSense       uint8
	iovecCount     uint16
	transferLength uint32
	transfer       unsafe.Pointer
	command        unsafe.Pointer
	sense          unsafe.Pointer
	timeout        uint32 // ms
	flags          uint32
	packID         int32
	_              unsafe.Pointer
	status         uint8
	maskedStatus   uint8
	msgStatus      uint8
	senseWritten   uint8
	hostStatus     uint16
	driverStatus   uint16
	residual       int32
	duration       uint32
	info           uint32
}

const (
	ioctlSGIO     = 0x2285 // SG_IO
	noTransfer    = -1     // SG_DXFER_NONE
	senseTimeout  = 5000   // ms; a disk answers this one from its controller
	ataPassThru16 = 0x85
	ataNonData    = 3 << 1
	ataWantResult = 0x20 // CK_COND: return the registers as sense data
	ataCheckPower = 0xe5 // CHECK POWER MODE
)

// checkPowerMode sends CHECK POWER MODE and returns the sense data of its answer.
func checkPowerMode(fd int) ([]byte, error) {
	command := &[16]byte{0: ataPassThru16, 1: ataNonData, 2: ataWantResult, 14: ataCheckPower}
	sense := &[64]byte{}
	hdr := &sgIO{interfaceID: 'S', direction: noTransfer, timeout: senseTimeout,
		commandLength: uint8(len(command)), maxSense: uint8(len(sense)),
		command: unsafe.Pointer(command), sense: unsafe.Pointer(sense)}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), ioctlSGIO, uintptr(unsafe.Pointer(hdr)))
	runtime.KeepAlive(command)
	runtime.KeepAlive(sense)
	if errno != 0 {
		return nil, errno
	}
	return sense[:min(int(hdr.senseWritten), len(sense))], nil
}
