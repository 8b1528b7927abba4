package kmsg

import (
	"errors"
	"fmt"
	"iter"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// longest is more than any message has: CONSOLE_EXT_LOG_MAX and PRINTK_MESSAGE_MAX are 8192 and 2048 bytes.
	longest = 16 << 10

	// most bounds one reading, should the kernel log faster than we read. Its ring has fewer messages.
	most = 1 << 16
)

// Log is the open log of the kernel. It is not safe for concurrent use.
type Log struct {
	fd   int
	boot string
	buf  []byte
	err  error
}

// Open opens /dev/kmsg at its oldest message. It needs CAP_SYSLOG where kernel.dmesg_restrict is set.
func Open() (*Log, error) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return nil, fmt.Errorf("open the kernel's log: %w", err)
	}
	fd, err := unix.Open("/dev/kmsg", unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open the kernel's log /dev/kmsg: %w; run nerve as root or give it CAP_SYSLOG", err)
	}
	return &Log{fd: fd, boot: strings.TrimSpace(string(boot)), buf: make([]byte, longest)}, nil
}

// Boot is the id of the running boot.
func (l *Log) Boot() string { return l.boot }

// Close lets go of the log.
func (l *Log) Close() error { return unix.Close(l.fd) }

// Records are the messages since the last call. Reading never waits. What was overwritten meanwhile shows as
// a gap in the numbers. An error ends it, and is told by Err.
func (l *Log) Records() iter.Seq[Record] {
	return func(yield func(Record) bool) {
		for range most {
			n, err := unix.Read(l.fd, l.buf)
			switch {
			case errors.Is(err, unix.EAGAIN), err == nil && n == 0:
				l.err = nil
				return
			case errors.Is(err, unix.EINTR), errors.Is(err, unix.EPIPE): // EPIPE: overwritten; goes on at the oldest
			case err != nil:
				l.err = fmt.Errorf("read the kernel's log: %w", err)
				return
			default:
				if r, err := Decode(l.buf[:n]); err == nil && !yield(r) {
					return
				}
			}
		}
	}
}

// Err is why the newest reading ended early; nil if it did not.
func (l *Log) Err() error { return l.err }

// Clock makes the time of day of a time since boot. printk's clock is not corrected as the other one is,
// so the two drift apart by some seconds a week; it is for people.
func Clock() func(time.Duration) time.Time {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) != nil {
		return func(time.Duration) time.Time { return time.Time{} }
	}
	boot := time.Now().Add(-time.Duration(ts.Nano())).Round(0).UTC()
	return boot.Add
}
