package hand

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"glia"
	gliav1 "glia/api/glia/v1"
)

// mount prepares mounting the filesystem of a disk, or of one of its partitions, where the order says.
func (h *Hand) mount(ctx context.Context, o *gliav1.Order) (step, error) {
	want := o.GetFilesystem()
	disks, err := h.disks(ctx)
	if err != nil {
		return step{}, err
	}
	d, err := ordered(disks, o)
	if err != nil {
		return step{}, err
	}
	name, number, err := carrier(d, want)
	if err != nil {
		return step{}, err
	}
	numbers, err := numbersOf(d)
	if err != nil {
		return step{}, err
	}
	table, err := mountTable()
	if err != nil {
		return step{}, err
	}
	s := look(table, want.GetTarget(), ownedBy(numbers))
	switch {
	case len(s.on) == 1 && numberOf(s.on[0]) == number && len(s.elsewhere) == 0:
		return step{run: func(context.Context) (string, error) { return "was mounted already", nil }}, nil
	case len(s.on) > 0:
		return step{}, fmt.Errorf("on %s is mounted already: %s", want.GetTarget(), describe(s.on))
	case len(s.elsewhere) > 0:
		return step{}, fmt.Errorf("disk %s is mounted elsewhere: %s", d.Serial(), describe(s.elsewhere))
	case len(s.below) > 0:
		return step{}, fmt.Errorf("the mount would hide %s", describe(s.below))
	}
	if uses := usesOf(d); len(uses) > 0 {
		return step{}, fmt.Errorf("disk %s: %s", d.Serial(), inWords(uses))
	}
	create, err := mustMake(want.GetTarget())
	if err != nil {
		return step{}, err
	}
	diskNumber, err := deviceNumber(d.Location.Device)
	if err != nil {
		return step{}, err
	}
	if err := h.still(ctx, d, o, diskNumber); err != nil {
		return step{}, err
	}

	kept, left := keepOptions(want.GetType(), want.GetOptions())
	argv := []string{"mount", "-t", want.GetType()}
	if len(kept) > 0 {
		argv = append(argv, "-o", strings.Join(kept, ","))
	}
	argv = append(argv, "/dev/"+name, want.GetTarget())

	var st step
	if create {
		st.commands = append(st.commands, commandLine("mkdir", "-m", "0755", want.GetTarget()))
	}
	st.commands = append(st.commands, commandLine(argv...))
	st.run = func(ctx context.Context) (string, error) {
		if create {
			if err := h.opts.System.MakeDir(want.GetTarget()); err != nil && !errors.Is(err, fs.ErrExist) {
				return "", fmt.Errorf("mount point: %w", err)
			}
		}
		out, err := h.run(ctx, h.opts.MountTimeout, argv, toolEnv)
		if len(left) > 0 {
			out = strings.TrimPrefix(out+"\nleft out of the old options: "+strings.Join(left, ","), "\n")
		}
		if err != nil {
			return out, err
		}
		return out, mountedFrom(number, want.GetTarget())
	}
	return st, nil
}

// carrier finds the device of a disk that carries the filesystem of an order: the disk itself or one
// of its partitions. It returns the kernel name and the number.
func carrier(d glia.Disk, want *gliav1.Filesystem) (name, number string, err error) {
	var seen []string
	for _, n := range namesOf(d) {
		found, err := filesystemsOn(n)
		if err != nil {
			return "", "", err
		}
		for _, s := range found {
			seen = append(seen, n+" carries "+s.String())
			if !s.is(want.GetType(), want.GetUuid()) {
				continue
			}
			if name != "" {
				return "", "", fmt.Errorf("%w: both %s and %s carry the filesystem %s", glia.ErrIdentityMismatch, name, n, want.GetUuid())
			}
			name = n
		}
	}
	if name == "" {
		return "", "", fmt.Errorf("%w: disk %s does not carry the %s with UUID %s (%s)", glia.ErrIdentityMismatch, d.Serial(), want.GetType(), want.GetUuid(), orNone(inWords(seen)))
	}
	number, err = deviceNumber(name)
	return name, number, err
}

// mustMake says whether the mount point is still to be made. Its parent must exist, so that nothing is
// made below a directory that is itself waiting for its mount; and no part of it may be a symbolic
// link, which would lead the mount to a place that was not checked.
func mustMake(target string) (bool, error) {
	parent := filepath.Dir(target)
	if real, err := filepath.EvalSymlinks(parent); err != nil {
		return false, fmt.Errorf("mount point: %w; make the directory first", err)
	} else if real != parent {
		return false, fmt.Errorf("mount point: %s leads to %s through a symbolic link; order the real path", parent, real)
	}
	st, err := os.Lstat(target)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("mount point: %w", err)
	}
	if !st.IsDir() {
		return false, fmt.Errorf("mount point: %s is not a directory", target)
	}
	return false, nil
}

// mountedFrom is the postcondition of mount.
func mountedFrom(number, target string) error {
	table, err := mountTable()
	if err != nil {
		return err
	}
	s := look(table, target, ownedBy(nil))
	if len(s.on) != 1 || numberOf(s.on[0]) != number {
		return fmt.Errorf("after mount, %s should be mounted from device %s but shows: %s", target, number, orNone(describe(s.on)))
	}
	return nil
}
