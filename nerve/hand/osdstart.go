package hand

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"glia"
	gliav1 "glia/api/glia/v1"
)

// startOSDs prepares bringing up the OSDs that are on a disk. For start they must be the very ones of the
// order; for activate it must be the one that was made in place of the ordered one, under its id.
func (h *Hand) startOSDs(ctx context.Context, o *gliav1.Order) (step, error) {
	c := h.opts.Ceph
	if c == nil {
		return step{}, errNoCeph
	}
	disks, err := h.disks(ctx)
	if err != nil {
		return step{}, err
	}
	d, err := ordered(disks, o)
	if err != nil {
		return step{}, err
	}
	numbers, err := numbersAbove(d)
	if err != nil {
		return step{}, err
	}
	refs := osdsOf(o)
	if o.GetVerb() == gliav1.Verb_VERB_OSD_ACTIVATE {
		refs, err = successors(d, refs)
	} else {
		err = standing(d, refs, numbers)
	}
	if err != nil {
		return step{}, err
	}
	st := step{}
	var commands [][]string
	for _, r := range refs {
		running, err := daemonsOf(r)
		if err != nil {
			return step{}, err
		}
		if len(running) > 0 {
			continue
		}
		primed, err := c.primed(disks, d, r)
		if err != nil {
			return step{}, err
		}
		if !primed {
			commands = append(commands, c.activateCommand(r))
		}
		argv, err := c.startCommand(r)
		if err != nil {
			return step{}, err
		}
		commands = append(commands, argv)
	}
	for _, argv := range commands {
		st.commands = append(st.commands, commandLine(argv...))
	}
	st.run = func(ctx context.Context) (string, error) {
		var out []string
		if len(commands) == 0 {
			out = append(out, "was running already")
		}
		for _, argv := range commands {
			words, err := h.run(ctx, c.MakeTimeout, argv, c.env())
			out = append(out, nonEmpty(words)...)
			if err != nil {
				return strings.Join(out, "\n"), err
			}
		}
		return strings.Join(out, "\n"), await(ctx, c.MakeTimeout, func() (string, error) { return waitsForDaemons(refs, d, numbers) })
	}
	return st, nil
}

// primed says whether the directory of an OSD leads to its block device, which may be on another disk than the
// ordered one.
func (c *Ceph) primed(disks []glia.Disk, d glia.Disk, r osdRef) (bool, error) {
	if r.Role != glia.RoleBlock {
		var err error
		if d, err = find(disks, r.BlockSerial); err != nil {
			return false, fmt.Errorf("block device of %s: %w", r, err)
		}
	}
	numbers, err := numbersAbove(d)
	if err != nil {
		return false, err
	}
	return leadsTo(filepath.Join(r.dir(), "block"), numbers), nil
}

// data is the path of the OSD's block device.
func (r osdRef) data() string {
	if r.Role == glia.RoleBlock {
		return "/dev/" + r.Device
	}
	return r.Block
}

// successors are the OSDs on a disk that took the ids of the ordered ones. An ordered one itself is none:
// the old disk came back.
func successors(d glia.Disk, refs []osdRef) ([]osdRef, error) {
	var out []osdRef
	for _, r := range refs {
		for _, has := range d.OSDs {
			if has.ID == r.ID && has.Role == r.Role {
				old := r
				r.OSD = has
				switch {
				case has.Unknown != "":
					return nil, fmt.Errorf("%s on disk %s: %s", r, d.Serial(), has.Unknown)
				case has.Cluster != old.Cluster:
					return nil, fmt.Errorf("%w: %s on disk %s is of cluster %s, not of %s", glia.ErrIdentityMismatch, r, d.Serial(), has.Cluster, old.Cluster)
				case has.UUID == old.UUID:
					return nil, fmt.Errorf("%w: disk %s has the old %s (%s), not one that was made after it", glia.ErrIdentityMismatch, d.Serial(), r, has.UUID)
				}
				out = append(out, r)
			}
		}
	}
	of := func(has glia.OSD) bool {
		return slices.ContainsFunc(out, func(r osdRef) bool { return r.UUID == has.UUID })
	}
	if len(out) != len(refs) || slices.ContainsFunc(d.OSDs, func(has glia.OSD) bool { return !of(has) }) {
		return nil, fmt.Errorf("%w: disk %s has %s, not the ordered OSD", glia.ErrIdentityMismatch, d.Serial(), orNone(osdNames(d.OSDs)))
	}
	return out, nil
}

// activateCommand makes the directory of an OSD. With systemd, activating an OSD on LVs also enables the
// unit that does it at boot.
func (c *Ceph) activateCommand(r osdRef) []string {
	if r.Mode == glia.ModeLVM {
		args := []string{"lvm", "activate", "--bluestore"}
		if argv, err := c.startCommand(r); err != nil || argv[0] != "systemctl" {
			args = append(args, "--no-systemd")
		}
		return c.volume(r.cluster, append(args, strconv.Itoa(r.ID), r.UUID)...)
	}
	args := []string{"raw", "activate", "--no-systemd", "--device", r.data()}
	switch r.Role { // the others' places are told by this part
	case glia.RoleDB:
		r.DB = "/dev/" + r.Device
	case glia.RoleWAL:
		r.WAL = "/dev/" + r.Device
	}
	if r.DB != "" {
		args = append(args, "--block.db", r.DB)
	}
	if r.WAL != "" {
		args = append(args, "--block.wal", r.WAL)
	}
	return c.volume(r.cluster, append(args, "--osd-id", strconv.Itoa(r.ID), "--osd-uuid", r.UUID)...)
}

// waitsForDaemons is the postcondition: each OSD has one daemon, and that one has the disk open.
func waitsForDaemons(refs []osdRef, d glia.Disk, numbers map[string]string) (string, error) {
	by := holdersOf(numbers)
	for _, r := range refs {
		running, err := daemonsOf(r)
		if err != nil {
			return "", err
		}
		if len(running) == 0 {
			return fmt.Sprintf("%s does not run; its log says why", r), nil
		}
		holds := false
		for _, p := range by {
			holds = holds || p.pid == running[0].pid
		}
		if !holds {
			return fmt.Sprintf("%s (%s) has not opened %s", r, running[0], d.DevicePath()), nil
		}
	}
	return "", nil
}

// leadsTo says whether a link ends at one of the devices.
func leadsTo(link string, numbers map[string]string) bool {
	var st unix.Stat_t
	if err := unix.Stat(link, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFBLK {
		return false
	}
	_, ok := numbers[fmt.Sprintf("%d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev))]
	return ok
}

// numbersAbove maps major:minor to the kernel names of a disk, its partitions and all that is built on them.
func numbersAbove(d glia.Disk) (map[string]string, error) {
	out, err := numbersOf(d)
	if err != nil {
		return nil, err
	}
	for _, h := range d.Holders {
		n, err := deviceNumber(h.Name)
		if err != nil {
			return nil, err
		}
		out[n] = h.Name
	}
	return out, nil
}
