// Package diskseq tells block devices apart that had the same kernel name one after the other. Linux numbers
// each device when it comes, and a loop device again each time it gets a file, and gives no number twice in
// one boot: the attribute diskseq (Documentation/ABI/testing/sysfs-block, 5.15 and later).
//
// So, what was done by name between two looks was done to one device if both showed the same number. Older
// kernels have no numbers; there everything passes, and callers go by major and minor alone.
package diskseq

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ErrOther says that a name, or a node, belongs to another device than it did.
var ErrOther = errors.New("it is another device now")

// get is BLKGETDISKSEQ of <linux/fs.h>: _IOR(0x12, 128, __u64).
const get = 0x80081280

// Of is the number of an open device, or of the disk that it is a partition of; 0 when the kernel does not tell.
func Of(fd int) uint64 {
	var n uint64
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), get, uintptr(unsafe.Pointer(&n))); errno != 0 {
		return 0
	}
	return n
}

// Named is the number of the whole device that the kernel calls by a name, below the root of sysfs; 0 when there
// is no such device or the kernel does not tell.
func Named(sys, name string) uint64 {
	b, err := os.ReadFile(filepath.Join(sys, "block", name, "diskseq"))
	if err != nil {
		return 0
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// Check returns an error that wraps ErrOther if an open device has another number. 0 stands for any.
func Check(fd int, want uint64) error {
	if have := Of(fd); want != 0 && have != 0 && have != want {
		return fmt.Errorf("%w: its number is %d, it was %d", ErrOther, have, want)
	}
	return nil
}
