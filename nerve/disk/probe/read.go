package probe

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"glia"
)

const (
	// readLength is the size of one read in bytes: one page, and one physical block of nearly every disk.
	readLength = 4096

	// DefaultPlaces is how many places of a disk one probe reads. Sixteen random reads take a tenth of
	// a second on a rotating disk.
	DefaultPlaces = 16

	// readErrorLimit ends a probe early: each failed read may take a disk many seconds of retries.
	readErrorLimit = 3

	// rememberLimit is how many unreadable places of a disk are kept for the next probe.
	rememberLimit = 8
)

// Read reads a few places of the raw device with direct I/O. Its evidence is "read.errors", the number of
// reads of this probe that ended in an I/O error.
//
// The places move from probe to probe. One that could not be read is read again, first, in each of the
// following probes until it can be: otherwise a small defect, hit once by chance, would look cured.
type Read struct {
	Places int // reads of one probe, besides those of remembered places; 0 means DefaultPlaces
	Roots  Roots

	mu    sync.Mutex
	disks map[string]*readMemory // by serial
}

type readMemory struct {
	probes     uint64
	unreadable []int64 // offsets
}

// Name is "read".
func (r *Read) Name() string { return "read" }

// Probe reads the disk.
func (r *Read) Probe(ctx context.Context, d glia.Disk) []glia.Evidence {
	e := glia.Evidence{Class: glia.Media, Source: r.Name(), What: "read.errors"}
	r.read(ctx, d, &e)
	return []glia.Evidence{e}
}

func (r *Read) read(ctx context.Context, d glia.Disk, e *glia.Evidence) {
	dev, err := openDevice(r.Roots, d)
	if err != nil {
		// An error at opening is never counted: nothing of the medium was read yet.
		e.Unknown = whyNot("open "+r.Roots.dev(d.Location.Device), err)
		return
	}
	defer dev.Close()

	n := r.Places
	if n == 0 {
		n = DefaultPlaces
	}
	length := max(readLength, dev.block)
	probe, again := r.begin(d.Serial())
	places := Places(dev.size, dev.block, length, n, probe)
	if len(places) == 0 {
		e.Unknown = fmt.Sprintf("the device has %d bytes, too few to read", dev.size)
		return
	}
	again = slices.DeleteFunc(again, func(at int64) bool { return at+int64(length) > dev.size })
	places = slices.DeleteFunc(places, func(at int64) bool { return slices.Contains(again, at) })
	places = append(again, places...)

	buf := aligned(length)
	var bad, good []int64
	for i, at := range places {
		if ctx.Err() != nil {
			if len(bad) == 0 {
				e.Unknown = fmt.Sprintf("%s after %d of %d reads", whyEnded(ctx), i, len(places))
			}
			break
		}
		got, err := retry(func() (int, error) { return unix.Pread(dev.fd, buf, at) })
		switch {
		case err == nil && got == length:
			good = append(good, at)
			continue
		case isIOError(err):
			// A disk that is being removed answers EIO to reads that are under way.
			if dev.check() != nil {
				e.Unknown = "vanished during the probe"
				return
			}
			bad = append(bad, at)
			if len(bad) == 1 {
				e.Detail = fmt.Sprintf("%s reading %d bytes at byte %d", errName(err), length, at)
			}
		case err == nil, errors.Is(err, unix.ENXIO), errors.Is(err, unix.ENODEV):
			// A short read means that the device ends earlier than it did a moment ago.
			e.Unknown = "vanished during the probe"
			return
		default:
			e.Unknown = whyNot(fmt.Sprintf("read %d bytes at byte %d", length, at), err)
			return
		}
		if len(bad) == readErrorLimit {
			break
		}
	}
	e.Value = float64(len(bad))
	if len(bad) > 1 {
		e.Detail += fmt.Sprintf(" and %d other places", len(bad)-1)
	}
	r.end(d.Serial(), bad, good)
}

// begin counts the probe and returns its number and the places to read again.
func (r *Read) begin(serial string) (uint64, []int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.disks[serial]
	if m == nil {
		m = &readMemory{}
		if r.disks == nil {
			r.disks = map[string]*readMemory{}
		}
		r.disks[serial] = m
	}
	n := m.probes
	m.probes++
	return n, slices.Clone(m.unreadable)
}

// end remembers the places that could not be read and forgets those that could.
func (r *Read) end(serial string, bad, good []int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.disks[serial]
	m.unreadable = slices.DeleteFunc(m.unreadable, func(at int64) bool { return slices.Contains(good, at) })
	for _, at := range bad {
		if len(m.unreadable) < rememberLimit && !slices.Contains(m.unreadable, at) {
			m.unreadable = append(m.unreadable, at)
		}
	}
}
