package probe

import (
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// ioErrors are what the kernel returns when a disk answered a read or write with a fault. The block
// layer (blk_errors in block/blk-core.c) gives EIO for errors that it cannot tell apart, ENODATA for a
// medium error, EREMOTEIO for an error that the target reported and EILSEQ for a failed integrity check.
//
// Not among them, because they say nothing about the medium: ETIMEDOUT, ENOLINK (transport), EBUSY,
// ENOMEDIUM, and ENXIO and ENODEV, which mean that the device is gone.
var ioErrors = []error{unix.EIO, unix.ENODATA, unix.EREMOTEIO, unix.EILSEQ}

// fsErrors are what a filesystem adds to them when it finds its own structures damaged (EUCLEAN, also
// called EFSCORRUPTED; EBADMSG, also called EFSBADCRC) or has shut itself down because of that.
var fsErrors = []error{unix.EUCLEAN, unix.EBADMSG, unix.ESHUTDOWN}

func isOneOf(err error, of []error) bool {
	for _, e := range of {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func isIOError(err error) bool { return isOneOf(err, ioErrors) }

func isFSError(err error) bool { return isIOError(err) || isOneOf(err, fsErrors) }

// errName is the short name of an error for details: EIO rather than "input/output error".
func errName(err error) string {
	var no syscall.Errno
	if errors.As(err, &no) {
		if name := unix.ErrnoName(no); name != "" {
			return name
		}
	}
	return err.Error()
}

// whyNot says why something could not be looked at, and what would change it where that is known.
func whyNot(doing string, err error) string {
	switch {
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return doing + ": permission denied; run nerve as root or give it the capability for it"
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENXIO), errors.Is(err, unix.ENODEV):
		return doing + ": the device is not there (" + errName(err) + ")"
	case errors.Is(err, unix.ENOMEDIUM):
		return doing + ": there is no medium in it"
	case errors.Is(err, unix.EBUSY):
		return doing + ": it is in exclusive use (EBUSY)"
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return doing + ": no space left for it"
	}
	return fmt.Sprintf("%s: %v", doing, err)
}

// retry repeats a system call that a signal interrupted.
func retry(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}
