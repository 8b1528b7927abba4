package hand

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"glia"
	gliav1 "glia/api/glia/v1"
)

// burnInFailed begins the reason of every burn-in that the disk itself did not pass. A burn-in that was
// only interrupted does not have it, and may be ordered again.
const burnInFailed = "burn-in: "

// burnInUnfit begins the reason of a refusal that is about the disk, and not about this host or order:
// another disk is needed, or the same one after a person has seen to it.
const burnInUnfit = "can not be used: "

// burnInUntold begins the reason when nothing can be told of the disk, because it is not, or may not be,
// where the order says. The same order may be sent again.
const burnInUntold = "can not be told yet: "

// burnIn prepares writing samples to the new disk, which is proven blank here, reading them back, and
// making them zero again, so that the disk is as blank afterwards as it was before. Beyond the proof that
// format asks for, the places that will be written must be zero as well.
//
// There is one exception: if the journal says that this very order was begun, then sectors at exactly
// these places with exactly the content that it writes are its own work, which a crash cut short.
//
// Before that the disk runs its own short self-test, where it offers one, and after it the sectors that the
// disk has given up are compared with those from before: a burn-in must not cost any. A disk that tells nothing
// about itself is burned in all the same, and the outcome says so.
func (h *Hand) burnIn(ctx context.Context, o *gliav1.Order) (step, error) {
	disks, err := h.disks(ctx)
	if err != nil {
		return step{}, fmt.Errorf(burnInUntold+"%w", err)
	}
	st, err := h.burnInOf(ctx, disks, o)
	if err != nil && context.Cause(ctx) == nil {
		err = h.blame(ctx, o, err)
	}
	return st, err
}

// blame says whether what stopped a burn-in speaks against the disk. It looks for the disk once more: one
// that was pulled, or that its controller has dropped, gives errors of every kind, which say nothing of it.
func (h *Hand) blame(ctx context.Context, o *gliav1.Order, cause error) error {
	if errors.Is(cause, glia.ErrNotFound) || errors.Is(cause, glia.ErrIdentityMismatch) {
		return fmt.Errorf(burnInUntold+"%w", cause)
	}
	disks, err := h.disks(ctx)
	if err == nil {
		_, err = ordered(disks, o)
	}
	if err != nil && !errors.Is(err, glia.ErrProtected) {
		return fmt.Errorf(burnInUntold+"%w (%w)", err, cause)
	}
	return fmt.Errorf(burnInUnfit+"%w", cause)
}

func (h *Hand) burnInOf(ctx context.Context, disks []glia.Disk, o *gliav1.Order) (step, error) {
	d, err := ordered(disks, o)
	if err != nil {
		return step{}, err
	}
	if findings := candidateFindings(d, o.GetMinSize(), o.GetRetired()); len(findings) > 0 {
		return step{}, fmt.Errorf("disk %s: %s", d.Serial(), inWords(findings))
	}
	p := prove(ctx, d)
	former, resumed := h.journal.Lookup(o.GetKey())
	if len(p.obstacles)+len(p.signatures) > 0 || !p.blank() && !resumed {
		return step{}, fmt.Errorf("%w: %s: %s", glia.ErrNotBlank, d, inWords(p.findings()))
	}
	t := trial{pattern: newPattern(o.GetKey(), d.Serial()), places: burnInPlaces(int64(d.Identity.Size), h.opts.BurnIn), resumed: resumed, number: p.number}
	if len(t.places) == 0 {
		return step{}, fmt.Errorf("disk %s: is too small for a burn-in, which needs %d MiB", d, burnInBlock>>20)
	}
	if err := t.check(ctx, d); err != nil {
		return step{}, err
	}
	if err := h.still(ctx, d, o, p.number); err != nil {
		return step{}, err
	}
	x := h.examine(d, former)
	n := len(t.places) * burnInBlock >> 20
	return step{
		counts:   x.before,
		commands: []string{x.plan(), fmt.Sprintf("(nerve itself) write %d MiB to %d places of %s, read them back, make them zero again", n, len(t.places), d.DevicePath())},
		run: func(ctx context.Context) (string, error) {
			tested, err := x.selfTest(ctx)
			if err == nil {
				err = t.run(ctx, d)
			}
			if err != nil {
				return tested, h.excuse(ctx, d, o, t.number, err)
			}
			compared, err := x.compare()
			if err != nil {
				err = h.excuse(ctx, d, o, t.number, err)
			}
			return fmt.Sprintf("%s; %d MiB in %d places were written and read back without a fault; %s; the disk is blank again", tested, n, len(t.places), compared), err
		},
	}, nil
}

// excuse takes back what a burn-in says of a disk that has gone, or was changed, meanwhile.
func (h *Hand) excuse(ctx context.Context, d glia.Disk, o *gliav1.Order, number string, cause error) error {
	if context.Cause(ctx) != nil {
		return cause
	}
	if away := h.still(ctx, d, o, number); away != nil {
		return fmt.Errorf(burnInUntold+"%w (%w)", away, cause)
	}
	return cause
}

// trial is one burn-in of one disk.
type trial struct {
	pattern pattern
	places  []int64
	resumed bool   // the journal says that this very order was begun
	number  string // major:minor of the device that was proven blank
}

// check proves that nothing at the places would be lost. It claims the device for the time it reads.
func (t trial) check(ctx context.Context, d glia.Disk) error {
	dev, err := claimDevice(ctx, d.Location)
	if err != nil {
		return err
	}
	defer dev.Close()
	fd, err := dev.direct(unix.O_RDONLY)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return t.unwritten(ctx, dev, fd)
}

// unwritten says what else than zeros, or the work of the same order, stands at the places or at the
// edges of the disk.
func (t trial) unwritten(ctx context.Context, dev *device, fd int) error {
	e, err := dev.edges()
	if err != nil {
		return fmt.Errorf("can not be read: %w", err)
	}
	for _, at := range t.places {
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		block, err := readDirect(fd, at, burnInBlock)
		if err != nil {
			return fmt.Errorf("can not be read: %s at byte %d: %w", dev.path, at, err)
		}
		if !t.resumed {
			if n := firstByte(block); n >= 0 {
				return fmt.Errorf("%w: %s: byte %d is not zero", glia.ErrNotBlank, dev.path, at+int64(n))
			}
			continue
		}
		if foreign := t.pattern.foreign(block, at); foreign >= 0 {
			return fmt.Errorf("%w: %s: at byte %d stands something that this burn-in has not written", glia.ErrNotBlank, dev.path, foreign)
		}
		// What is our own is not held against the disk.
		e.clear(at, burnInBlock)
	}
	for _, part := range []struct {
		at   int64
		data []byte
	}{{0, e.front}, {e.size - int64(len(e.end)), e.end}, {btrfsMirror, e.mirror}} {
		if n := firstByte(part.data); n >= 0 {
			return fmt.Errorf("%w: %s: byte %d is not zero", glia.ErrNotBlank, dev.path, part.at+int64(n))
		}
	}
	return nil
}

// clear makes a range zero in every part that has some of it.
func (e *edges) clear(from int64, n int) {
	for _, part := range []struct {
		at   int64
		data []byte
	}{{0, e.front}, {e.size - int64(len(e.end)), e.end}, {btrfsMirror, e.mirror}} {
		lo, hi := max(from, part.at), min(from+int64(n), part.at+int64(len(part.data)))
		if lo < hi {
			clear(part.data[lo-part.at : hi-part.at])
		}
	}
}

// run writes and reads back under one exclusive claim, which keeps everybody else from mounting or
// claiming the disk meanwhile. All places are written before the first is read, so that a disk that
// keeps two places in one, as forged ones do, is found out.
func (t trial) run(ctx context.Context, d glia.Disk) error {
	dev, err := claimDevice(ctx, d.Location)
	if err != nil {
		return fmt.Errorf("claim the disk: %w", err)
	}
	defer dev.Close()
	if dev.number != t.number {
		return fmt.Errorf("%w: %s is device %s now, device %s was proven blank", glia.ErrIdentityMismatch, dev.path, dev.number, t.number)
	}
	fd, err := dev.direct(unix.O_RDWR)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := t.unwritten(ctx, dev, fd); err != nil {
		return fmt.Errorf("changed since it was looked at: %w", err)
	}
	verdict := t.writeAndRead(ctx, dev, fd, t.pattern.block)
	if cause := context.Cause(ctx); cause != nil {
		return fmt.Errorf("interrupted: %w", cause)
	}
	// Also a disk that did not pass is left blank, as far as it lets us.
	if err := t.writeAndRead(ctx, dev, fd, func(int64) []byte { return make([]byte, burnInBlock) }); verdict == nil {
		verdict = err
	}
	if cause := context.Cause(ctx); cause != nil {
		return fmt.Errorf("interrupted: %w", cause)
	}
	if verdict != nil {
		return fmt.Errorf(burnInFailed+"%w", verdict)
	}
	return nil
}

// writeAndRead writes what the function gives to every place, has it put on the medium, and compares.
// After an error it goes on with the other places and returns the first one.
func (t trial) writeAndRead(ctx context.Context, dev *device, fd int, content func(at int64) []byte) error {
	var first error
	note := func(err error) {
		if first == nil {
			first = err
		}
	}
	for _, at := range t.places {
		if context.Cause(ctx) != nil {
			return nil
		}
		if err := writeDirect(fd, at, content(at)); err != nil {
			note(fmt.Errorf("write to %s at byte %d: %w", dev.path, at, err))
		}
	}
	if err := unix.Fsync(fd); err != nil {
		note(fmt.Errorf("flush %s: %w", dev.path, err))
	}
	for _, at := range t.places {
		if context.Cause(ctx) != nil {
			return nil
		}
		got, err := readDirect(fd, at, burnInBlock)
		if err != nil {
			note(fmt.Errorf("read %s at byte %d: %w", dev.path, at, err))
		} else if want := content(at); !slices.Equal(got, want) {
			note(fmt.Errorf("read %s: %s", dev.path, difference(got, want, at)))
		}
	}
	return first
}

// direct opens the claimed device once more, past the page cache. The claim covers it: the same program
// holds it.
func (d *device) direct(mode int) (int, error) {
	fd, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", d.file.Fd()), mode|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_DIRECT, 0)
	if err != nil {
		return -1, fmt.Errorf("open %s past the page cache: %w", d.path, err)
	}
	return fd, nil
}

// writeDirect writes from memory that is aligned to a page, as O_DIRECT demands.
func writeDirect(fd int, pos int64, data []byte) error {
	buf, err := unix.Mmap(-1, 0, len(data), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Munmap(buf) }()
	copy(buf, data)
	for put := 0; put < len(buf); {
		n, err := unix.Pwrite(fd, buf[put:], pos+int64(put))
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return err
		case n <= 0:
			return errors.New("the kernel wrote nothing")
		}
		put += max(n, 0)
	}
	return nil
}
