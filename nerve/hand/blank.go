package hand

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"glia"
)

// proof is what reading a disk showed. A disk is blank only if nothing at all was found: what could
// not be read is not blank.
type proof struct {
	number     string      // major:minor of the device that was read
	obstacles  []string    // held, unreadable, write-protected: true of the disk whatever is written on it
	signatures []signature // what is written on it
	dirt       []string    // bytes that are not zero where a blank disk has only zeros
}

func (p proof) blank() bool { return len(p.findings()) == 0 }

func (p proof) findings() []string {
	out := append([]string(nil), p.obstacles...)
	for _, s := range p.signatures {
		out = append(out, "not blank: it carries "+s.String())
	}
	return append(out, p.dirt...)
}

// ownHalfMade says whether what was found can only come from making the filesystem with this type and
// UUID on a disk that was blank before: nothing is recognised but that very filesystem.
func (p proof) ownHalfMade(fsType, uuid string) bool {
	for _, s := range p.signatures {
		if !s.is(fsType, uuid) {
			return false
		}
	}
	return len(p.obstacles) == 0
}

// prove reads a disk and tells everything that speaks against its being blank. It changes nothing.
func prove(ctx context.Context, d glia.Disk) proof {
	var p proof
	add := func(format string, args ...any) { p.obstacles = append(p.obstacles, fmt.Sprintf(format, args...)) }
	dev, err := claimDevice(ctx, d.Location)
	if errors.Is(err, unix.EBUSY) {
		add("%s is held by the kernel (mounted in some namespace, swap, RAID, LVM, or being formatted)", d.DevicePath())
		dev, err = openDevice(d.Location, false)
	}
	if err != nil {
		add("can not be read: %v", err)
		return p
	}
	defer dev.Close()
	p.number = dev.number
	if uint64(dev.size) != d.Identity.Size {
		add("%v: %s has %s, the inventory says %s", glia.ErrIdentityMismatch, dev.path, bytesInWords(uint64(dev.size)), bytesInWords(d.Identity.Size))
	}
	if ro, err := dev.readOnly(); err != nil {
		add("can not be read: %v", err)
	} else if ro {
		add("%s is write-protected", dev.path)
	}
	e, err := dev.edges()
	if err != nil {
		add("can not be read: %v", err)
		return p
	}
	if p.signatures, err = dev.signatures(e); err != nil {
		add("can not be read: %v", err)
	}
	if at := firstByte(e.front); at >= 0 {
		p.dirt = append(p.dirt, fmt.Sprintf("not blank: byte %d of the first %d MiB is not zero", at, frontSize>>20))
	}
	if at := firstByte(e.end); at >= 0 {
		p.dirt = append(p.dirt, fmt.Sprintf("not blank: byte %d of the last %d MiB is not zero", at, endSize>>20))
	}
	return p
}

// filesystemOn tells the filesystems that a device carries, by their superblocks.
func filesystemsOn(name string) ([]signature, error) {
	dev, err := openDevice(glia.Location{Device: name}, false)
	if err != nil {
		return nil, err
	}
	defer dev.Close()
	e, err := dev.edges()
	if err != nil {
		return nil, err
	}
	return dev.signatures(e)
}
