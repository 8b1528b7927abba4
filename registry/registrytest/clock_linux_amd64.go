package registrytest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"reflect"
	"syscall"
	"time"
	"unsafe"
)

// canJump says that the wall clock of a process can be made to jump here.
const canJump = true

// What the replaced time.Now counts from, and how many seconds it is ahead of that.
var (
	origin time.Time
	ahead  uint64 // wraps for what is behind
)

// instant has the fields of a time.Time with a monotonic reading: the seconds of the wall clock begin at bit 30 of wall.
type instant struct {
	wall uint64
	ext  int64
	loc  *time.Location
}

const secondsShift = 30

// jumpingNow replaces time.Now. The runtime calls it where no goroutine runs, so it must not wait, allocate or be watched for races.
//
//go:norace
func jumpingNow() time.Time {
	now := origin.Add(time.Since(origin))                          // of the monotonic clock, without time.Now
	(*instant)(unsafe.Pointer(&now)).wall += ahead << secondsShift //nolint:gosec // the point of it
	return now
}

// jumpOnSignal replaces the wall clock of this process for good. There is no time namespace for CLOCK_REALTIME, and Go asks the kernel
// without the C library, so neither a container nor libfaketime would do: time.Now itself is replaced. The monotonic clock goes on,
// as when somebody sets the time of a machine.
func jumpOnSignal() error {
	origin = time.Now()
	replacement := jumpingNow
	if err := replace(reflect.ValueOf(time.Now).Pointer(), *(*uintptr)(unsafe.Pointer(&replacement))); err != nil { //nolint:gosec // the point of it
		return err
	}
	jump := make(chan os.Signal, 1)
	signal.Notify(jump, syscall.SIGUSR2)
	go func() {
		for i := 0; ; i++ {
			<-jump
			before := time.Now()
			setAhead(ahead + uint64(jumps[i%len(jumps)]/time.Second)) //nolint:gosec // wraps as it should
			after := time.Now()
			fmt.Println("jumped", after.Round(0).Sub(before.Round(0)).Round(time.Second), "in", after.Sub(before) < time.Minute)
		}
	}()
	return nil
}

//go:norace
func setAhead(seconds uint64) { ahead = seconds }

// replace makes the function at that address go on in the closure: movabs rdx, closure; jmp [rdx]. It is called before anything
// else runs in the process. The kernel lets a process write to its own memory there, whatever the protection of the page.
func replace(function, closure uintptr) error {
	code := binary.LittleEndian.AppendUint64([]byte{0x48, 0xBA}, uint64(closure))
	memory, err := os.OpenFile("/proc/self/mem", os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("replace time.Now: %w", err)
	}
	_, err = memory.WriteAt(append(code, 0xFF, 0x22), int64(function)) //nolint:gosec // addresses of code are positive
	if err = errors.Join(err, memory.Close()); err != nil {
		return fmt.Errorf("replace time.Now: %w", err)
	}
	return nil
}
