package hand

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"glia"
	gliav1 "glia/api/glia/v1"
)

// deactivateOSDs prepares letting go of a disk: the OSDs' directories are unmounted, what dm-crypt and LVM
// hold on the disk is closed. Nothing is written to the disk, and LVs on other disks stay as they are.
func (h *Hand) deactivateOSDs(ctx context.Context, o *gliav1.Order) (step, error) {
	c := h.opts.Ceph
	if c == nil {
		return step{}, errNoCeph
	}
	d, note, err := h.osdDisk(ctx, o)
	if err != nil {
		return step{}, err
	}
	refs := osdsOf(o)
	numbers := map[string]string{}
	if note == "" {
		if numbers, err = numbersAbove(d); err != nil {
			return step{}, err
		}
		if err := standing(d, refs, numbers); err != nil {
			return step{}, err
		}
		if len(d.Swap) > 0 {
			return step{}, fmt.Errorf("disk %s has uses that the order does not name: %s", d.Serial(), inWords(usesOf(d)))
		}
	}
	st := step{}
	var targets []string
	var commands [][]string
	for _, r := range refs {
		running, err := daemonsOf(r)
		if err != nil {
			return step{}, err
		}
		if len(running) > 0 {
			return step{}, fmt.Errorf("%s runs (%s); stop it first", r, inProcesses(running))
		}
		mounts, err := osdMounts(r)
		if err != nil {
			return step{}, err
		}
		for range mounts {
			targets = append(targets, r.dir())
			st.commands = append(st.commands, commandLine("umount", r.dir()))
		}
		if r.Mode == glia.ModeLVM && isDir("/run/systemd/system") {
			commands = append(commands, []string{"systemctl", "disable", fmt.Sprintf("ceph-volume@lvm-%d-%s", r.ID, r.UUID)})
		}
	}
	if by := holdersOf(numbers); len(by) > 0 {
		return step{}, passing{fmt.Errorf("%s is open for writing: %s", d.DevicePath(), inProcesses(by))}
	}
	// The upper ones first: an LV with dm-crypt on it can not be deactivated.
	for _, kind := range []string{"crypt", "lvm"} {
		for _, holder := range d.Holders {
			argv, err := letGo(holder, kind)
			if err != nil {
				return step{}, fmt.Errorf("disk %s: %w", d.Serial(), err)
			}
			if argv != nil {
				commands = append(commands, argv)
			}
		}
	}
	for _, argv := range commands {
		st.commands = append(st.commands, commandLine(argv...))
	}
	st.run = func(ctx context.Context) (string, error) {
		out := nonEmpty(note)
		for _, target := range targets {
			ctx, cancel := withTimeout(ctx, h.opts.MountTimeout)
			err := h.opts.System.Unmount(ctx, target, false)
			cancel()
			if err != nil {
				return strings.Join(out, "\n"), err
			}
		}
		for _, argv := range commands {
			words, err := h.run(ctx, h.opts.MountTimeout, argv, toolEnv)
			out = append(out, nonEmpty(words)...)
			if err != nil {
				return strings.Join(out, "\n"), err
			}
		}
		return strings.Join(out, "\n"), h.letGone(ctx, o, refs)
	}
	return st, nil
}

// osdMounts is what is mounted on the directory of an OSD, of which only the OSD's own may be unmounted.
func osdMounts(r osdRef) ([]*mountinfo.Info, error) {
	table, err := mountTable()
	if err != nil {
		return nil, err
	}
	s := look(table, r.dir(), ownedBy(nil))
	if len(s.below) > 0 {
		return nil, fmt.Errorf("other filesystems are mounted below %s: %s; unmount them first", r.dir(), describe(s.below))
	}
	for _, m := range s.on {
		if m.FSType != "tmpfs" {
			return nil, fmt.Errorf("on %s is %s, where ceph-volume mounts a tmpfs; the order does not name that", r.dir(), describe(s.on))
		}
	}
	if len(s.on) > 0 {
		if err := dirBelongs("", r); err != nil {
			return nil, err
		}
	}
	return s.on, nil
}

// letGo is the command that ends one use of a disk by the device mapper; nil if it is of another kind than
// the one that is asked for.
func letGo(holder glia.Holder, kind string) ([]string, error) {
	if holder.Kind != "crypt" && holder.Kind != "lvm" {
		return nil, fmt.Errorf("%s is used by %s (%s), which is not a part of an OSD", holder.On, holder.Name, holder.Kind)
	}
	if holder.Kind != kind {
		return nil, nil
	}
	b, err := os.ReadFile(filepath.Join("/sys/class/block", filepath.Base(holder.Name), "dm/name"))
	if err != nil {
		return nil, fmt.Errorf("name of %s: %w", holder.Name, err)
	}
	name := strings.TrimSpace(string(b))
	if kind == "crypt" {
		return []string{"cryptsetup", "close", name}, nil
	}
	return []string{"lvchange", "-an", "/dev/mapper/" + name}, nil
}

// letGone is the postcondition of deactivate, on a fresh inventory: nothing of the OSDs is mounted, nothing
// is built on the disk, and the kernel would give it to somebody else.
func (h *Hand) letGone(ctx context.Context, o *gliav1.Order, refs []osdRef) error {
	for _, r := range refs {
		m, err := osdMounts(r)
		if err != nil {
			return err
		}
		if len(m) > 0 {
			return fmt.Errorf("still mounted: %s", describe(m))
		}
	}
	d, note, err := h.osdDisk(ctx, o)
	if err != nil || note != "" {
		return err
	}
	if uses := usesOf(d); len(uses) > 0 {
		return fmt.Errorf("disk %s is still in use: %s", d.Serial(), inWords(uses))
	}
	dev, err := claimDevice(ctx, d.Location)
	if err == nil {
		return dev.Close()
	}
	if errors.Is(err, unix.EBUSY) {
		return fmt.Errorf("the kernel still holds %s: %w", d.DevicePath(), err)
	}
	return nil // a dead disk is held by nobody
}
