package loop

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"glia/internal/diskseq"
)

// Held is a loop device that goes with the process: it is detached when Detach is called or the process
// ends, however it ends, as soon as nothing else uses the device.
type Held struct {
	Device
	dev *os.File
}

// Hold is Attach for a device that goes with the process. The flags are of loop(4): LO_FLAGS_PARTSCAN,
// LO_FLAGS_READ_ONLY.
func Hold(file string, flags uint32) (*Held, error) {
	d, dev, err := attach(file, flags|unix.LO_FLAGS_AUTOCLEAR)
	if err != nil {
		return nil, err
	}
	return &Held{d, dev}, nil
}

// changeFile is LOOP_CHANGE_FD of <linux/loop.h>.
const changeFile = 0x4c06

// Replace puts another file of the same size behind a read-only device: another disk, which has the same name
// without anybody else having had it between.
func (h *Held) Replace(file string) error {
	back, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("put another file behind %s: %w", h.Path(), err)
	}
	defer func() { _ = back.Close() }() // the kernel holds its own reference
	if err := unix.IoctlSetInt(int(h.dev.Fd()), changeFile, int(back.Fd())); err != nil {
		return fmt.Errorf("put %s behind %s: %w", file, h.Path(), err)
	}
	h.File, h.Seq = file, diskseq.Of(int(h.dev.Fd()))
	return nil
}

// detachWithin bounds how long Detach waits. What may still hold the device for some milliseconds is a
// process that is being started.
const detachWithin = 10 * time.Second

// Detach takes the device from its file, waits until that is done, and returns an error if something else
// keeps the device. The second call does nothing.
func (h *Held) Detach() error {
	if h.dev == nil {
		return nil
	}
	err := unix.IoctlSetInt(int(h.dev.Fd()), unix.LOOP_CLR_FD, 0)
	if errors.Is(err, unix.ENXIO) {
		err = nil // it has no file any more
	}
	err = errors.Join(err, h.dev.Close())
	h.dev = nil
	if err != nil {
		return fmt.Errorf("detach %s: %w", h.Path(), err)
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(detachWithin); attached(h.Device); {
		select {
		case <-tick.C:
		case <-late:
			return fmt.Errorf("detach %s: something has used it for %s", h.Path(), detachWithin)
		}
	}
	return nil
}
