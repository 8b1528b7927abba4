package hand

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Ways to ask a mounted filesystem for its UUID. Numbers are of the kernel's UAPI: _IOR(0x15, 0,
// struct fsuuid2) of linux/fs.h, since 6.9 for every filesystem; _IOR('X', 100, struct
// xfs_fsop_geom_v1) of xfs_fs.h, since ever.
const (
	fsIocGetFSUUID     = 0x80111500
	xfsIocGeometryV1   = 0x80705864
	geometryV1Size     = 112
	geometryV1UUIDFrom = 64
)

// mountedID is what a mounted filesystem tells of its UUID: all of it, or both halves of it folded
// into 64 bits.
type mountedID struct {
	uuid   string
	folded uint64 // used if uuid is empty
}

func (id mountedID) String() string {
	if id.uuid != "" {
		return id.uuid
	}
	return fmt.Sprintf("a UUID that folds to %016x", id.folded)
}

func (id mountedID) matches(uuid string) bool {
	if id.uuid != "" {
		return id.uuid == uuid
	}
	b, err := hex.DecodeString(strings.ReplaceAll(uuid, "-", ""))
	return err == nil && len(b) == 16 && id.folded == fold(b)
}

func fold(uuid []byte) uint64 {
	return binary.LittleEndian.Uint64(uuid[:8]) ^ binary.LittleEndian.Uint64(uuid[8:])
}

// mountedUUID asks the kernel, not the device, so that it also answers for a disk that is gone. XFS
// that was shut down by errors does not let its root be opened and therefore does not answer.
func mountedUUID(target, fsType string) (mountedID, error) {
	fd, err := unix.Open(target, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return mountedID{}, fmt.Errorf("open %s: %w", target, err)
	}
	defer unix.Close(fd)

	var any struct {
		length uint8
		uuid   [16]byte
	}
	if err := ioctl(fd, fsIocGetFSUUID, unsafe.Pointer(&any)); err == nil && any.length == 16 {
		return mountedID{uuid: uuidText(any.uuid[:])}, nil
	}
	return olderUUID(fd, fsType)
}

// olderUUID asks in the ways that kernels before 6.9 have.
func olderUUID(fd int, fsType string) (mountedID, error) {
	switch fsType {
	case "xfs":
		return xfsUUID(fd)
	case "ext4":
		return extUUID(fd)
	}
	return mountedID{}, fmt.Errorf("a mounted %s does not tell its UUID to this kernel", fsType)
}

func xfsUUID(fd int) (mountedID, error) {
	var geometry [geometryV1Size]byte
	if err := ioctl(fd, xfsIocGeometryV1, unsafe.Pointer(&geometry)); err != nil {
		return mountedID{}, fmt.Errorf("geometry of the XFS: %w", err)
	}
	return mountedID{uuid: uuidText(geometry[geometryV1UUIDFrom : geometryV1UUIDFrom+16])}, nil
}

// extUUID uses that ext4 makes its filesystem id of the UUID (ext4_statfs).
func extUUID(fd int) (mountedID, error) {
	var st unix.Statfs_t
	if err := unix.Fstatfs(fd, &st); err != nil {
		return mountedID{}, fmt.Errorf("statfs of the ext4: %w", err)
	}
	return mountedID{folded: uint64(uint32(st.Fsid.Val[0])) | uint64(uint32(st.Fsid.Val[1]))<<32}, nil
}

func ioctl(fd int, request uintptr, arg unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(arg)); errno != 0 {
		return errno
	}
	return nil
}
