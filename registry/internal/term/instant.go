package term

import (
	"time"

	"golang.org/x/sys/unix"
)

// Instant is one moment on two clocks of this host: that of timers, and one that does not stand still while the
// machine sleeps.
type Instant struct {
	monotonic time.Time
	boot      time.Duration
}

// Now is the present moment.
func Now() Instant {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		panic(err) // every Linux since 2.6.39 has it
	}
	return Instant{time.Now(), time.Duration(ts.Nano())}
}

func (i Instant) add(d time.Duration) Instant { return Instant{i.monotonic.Add(d), i.boot + d} }

func (i Instant) before(j Instant) bool { return i.boot < j.boot }
