package hand

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"glia"
	gliav1 "glia/api/glia/v1"
)

// mostUsers is how many processes are named when a filesystem is busy.
const mostUsers = 10

// unmount prepares unmounting the one filesystem of a disk. If the disk is gone from the inventory,
// its filesystem is dead: nothing can be written back any more, and it is detached.
func (h *Hand) unmount(ctx context.Context, o *gliav1.Order) (step, error) {
	disks, err := h.disks(ctx)
	if err != nil {
		return step{}, err
	}
	table, err := mountTable()
	if err != nil {
		return step{}, err
	}
	d, err := ordered(disks, o)
	if errors.Is(err, glia.ErrNotFound) {
		return h.detach(disks, table, o)
	}
	if err != nil {
		return step{}, err
	}
	target := o.GetFilesystem().GetTarget()
	numbers, err := numbersOf(d)
	if err != nil {
		return step{}, err
	}
	s := look(table, target, ownedBy(numbers))
	if others := otherUses(d, s, target); len(others) > 0 {
		return step{}, fmt.Errorf("disk %s has uses that the order does not name: %s; end them first", d.Serial(), inWords(others))
	}
	confirm := func(ctx context.Context) error { return released(ctx, d, numbers, target) }
	if len(s.on) == 0 {
		return step{run: func(ctx context.Context) (string, error) { return "was not mounted any more", confirm(ctx) }}, nil
	}
	if err := single(s, target); err != nil {
		return step{}, err
	}
	m := s.on[0]
	if !ownedBy(numbers)(m) {
		return step{}, fmt.Errorf("%w: on %s is %s, which is not of disk %s", glia.ErrIdentityMismatch, target, m.Source, d.Serial())
	}
	if want := o.GetFilesystem().GetUuid(); want != "" {
		if has, err := mountedUUID(target, m.FSType); err == nil && !has.matches(want) {
			return step{}, fmt.Errorf("%w: the filesystem on %s is %s, not %s", glia.ErrIdentityMismatch, target, has, want)
		}
	}
	return h.unmountStep(m, false, "", confirm), nil
}

// detach prepares taking the filesystem of a disk that is gone out of the tree. No present disk may
// own it, and its UUID must be the ordered one; that can be left unproven only if the kernel has no
// such device any more, for then the mount is dead, whosever it was.
func (h *Hand) detach(disks []glia.Disk, table []*mountinfo.Info, o *gliav1.Order) (step, error) {
	target, want := o.GetFilesystem().GetTarget(), o.GetFilesystem().GetUuid()
	s := look(table, target, func(*mountinfo.Info) bool { return false })
	if len(s.on) == 0 {
		return step{run: func(context.Context) (string, error) {
			return "was not mounted any more (the disk is gone)", nil
		}}, nil
	}
	if err := single(s, target); err != nil {
		return step{}, err
	}
	m := s.on[0]
	number := numberOf(m)
	s = look(table, target, func(other *mountinfo.Info) bool { return numberOf(other) == number })
	if len(s.elsewhere) > 0 {
		return step{}, fmt.Errorf("the filesystem is mounted elsewhere too: %s; the order does not name that", describe(s.elsewhere))
	}
	for _, d := range disks {
		numbers, err := numbersOf(d)
		if err != nil {
			return step{}, err
		}
		if ownedBy(numbers)(m) || mountedOn(d, target) {
			return step{}, fmt.Errorf("%w: on %s is %s, which is of disk %s, not of %s", glia.ErrIdentityMismatch, target, m.Source, d.Serial(), o.GetSerial())
		}
	}
	if t := o.GetFilesystem().GetType(); t != "" && t != m.FSType {
		return step{}, fmt.Errorf("%w: on %s is %s, not %s", glia.ErrIdentityMismatch, target, m.FSType, t)
	}
	if !strings.HasPrefix(m.Source, "/dev/") || m.Major == 0 {
		return step{}, fmt.Errorf("%w: on %s is %s, which is not a disk's", glia.ErrIdentityMismatch, target, m.Source)
	}
	if want == "" {
		return step{}, fmt.Errorf("disk %s is gone and the order does not name the UUID of its filesystem: nothing proves that the mount on %s was its", o.GetSerial(), target)
	}
	note := fmt.Sprintf("disk %s is gone: the dead filesystem was detached", o.GetSerial())
	has, err := mountedUUID(target, m.FSType)
	switch {
	case err == nil && !has.matches(want):
		return step{}, fmt.Errorf("%w: the filesystem on %s is %s, not %s", glia.ErrIdentityMismatch, target, has, want)
	case err != nil && !deviceGone(number):
		return step{}, fmt.Errorf("disk %s is gone, but device %s of the mount on %s is not, and its UUID can not be told: %w", o.GetSerial(), number, target, err)
	case err != nil:
		note += fmt.Sprintf(" (its UUID could not be read: %v)", err)
	}
	return h.unmountStep(m, true, note, func(context.Context) error { return notOn(target) }), nil
}

func (h *Hand) unmountStep(m *mountinfo.Info, detach bool, note string, confirm func(context.Context) error) step {
	argv := []string{"umount", m.Mountpoint}
	if detach {
		argv = []string{"umount", "--lazy", m.Mountpoint}
	}
	return step{
		commands: []string{commandLine(argv...)},
		run: func(ctx context.Context) (string, error) {
			ctx, cancel := withTimeout(ctx, h.opts.MountTimeout)
			defer cancel()
			err := h.opts.System.Unmount(ctx, m.Mountpoint, detach)
			switch {
			case errors.Is(err, unix.EBUSY):
				return "", fmt.Errorf("%w; %s", err, inUse(usersOf(m.Mountpoint, numberOf(m), mostUsers)))
			case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOENT):
				// Somebody unmounted it meanwhile; confirm tells.
			case err != nil:
				return "", err
			}
			return note, confirm(ctx)
		},
	}
}

// otherUses are the uses of a disk that unmounting the target would not end.
func otherUses(d glia.Disk, s survey, target string) []string {
	var out []string
	named := map[string]bool{target: true}
	for _, m := range s.elsewhere {
		named[m.Mountpoint] = true
		out = append(out, fmt.Sprintf("%s is mounted on %s", m.Source, m.Mountpoint))
	}
	for _, m := range d.Mounts {
		if !named[m.Target] {
			out = append(out, fmt.Sprintf("%s is mounted on %s", m.Source, m.Target))
		}
	}
	return append(out, usesOf(d)...)
}

// single says why what is on the target can not be unmounted alone.
func single(s survey, target string) error {
	switch {
	case len(s.on) > 1:
		return fmt.Errorf("several filesystems are mounted on top of each other on %s: %s", target, describe(s.on))
	case len(s.below) > 0:
		return fmt.Errorf("other filesystems are mounted below %s: %s; unmount them first", target, describe(s.below))
	}
	return nil
}

// released is the postcondition of unmount: the disk is mounted nowhere, and the kernel would give it
// to somebody else. A disk that can not even be opened is held by nobody.
func released(ctx context.Context, d glia.Disk, numbers map[string]string, target string) error {
	table, err := mountTable()
	if err != nil {
		return err
	}
	owned := ownedBy(numbers)
	for _, m := range table {
		if owned(m) {
			return fmt.Errorf("still mounted: %s", describe([]*mountinfo.Info{m}))
		}
	}
	dev, err := claimDevice(ctx, d.Location)
	if err == nil {
		return dev.Close()
	}
	if !errors.Is(err, unix.EBUSY) {
		return nil
	}
	var users []string
	for number := range numbers {
		users = append(users, usersOf(target, number, mostUsers-len(users))...)
	}
	return fmt.Errorf("%s is unmounted here, but the kernel still holds %s; %s", target, d.DevicePath(), inUse(users))
}

func notOn(target string) error {
	table, err := mountTable()
	if err != nil {
		return err
	}
	if s := look(table, target, ownedBy(nil)); len(s.on) > 0 {
		return fmt.Errorf("still mounted: %s", describe(s.on))
	}
	return nil
}

func mountedOn(d glia.Disk, target string) bool {
	for _, m := range d.Mounts {
		if m.Target == target {
			return true
		}
	}
	return false
}

func inUse(users []string) string {
	if len(users) == 0 {
		return "no process was found that uses it (an NFS export, a swap file or a loop device may)"
	}
	return "used by " + strings.Join(users, ", ") + "; stop them or drain the disk, then send the order again"
}
