package hand

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"glia"
	gliav1 "glia/api/glia/v1"
)

// osdDisk finds the disk of an order of OSDs. A disk that is gone is none, and a note: what is left of its
// OSDs on the host can still be cleared away.
func (h *Hand) osdDisk(ctx context.Context, o *gliav1.Order) (d glia.Disk, note string, err error) {
	disks, err := h.disks(ctx)
	if err != nil {
		return glia.Disk{}, "", err
	}
	d, err = ordered(disks, o)
	if !errors.Is(err, glia.ErrNotFound) {
		return d, "", err
	}
	// Nobody may have its parts of OSDs now: else it is not the disk that is gone, but its serial that is wrong.
	for _, other := range disks {
		for _, has := range other.OSDs {
			for _, r := range partsOf(o) {
				if has.UUID == r.UUID && has.Role == r.Role {
					return glia.Disk{}, "", fmt.Errorf("%w: the %s of %s is on disk %s, not on %s", glia.ErrIdentityMismatch, r.Role, r, other.Serial(), o.GetSerial())
				}
			}
		}
	}
	return glia.Disk{}, err.Error(), nil
}

// stopOSDs prepares stopping the daemons of the OSDs on a disk, through whoever runs them.
func (h *Hand) stopOSDs(ctx context.Context, o *gliav1.Order) (step, error) {
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
	}
	st := step{}
	type stopping struct {
		p    process
		argv []string
	}
	var daemons []stopping
	for _, r := range refs {
		running, err := daemonsOf(r)
		if err != nil {
			return step{}, err
		}
		if len(running) > 1 {
			return step{}, fmt.Errorf("%w: several processes run %s: %s", glia.ErrIdentityMismatch, r, inProcesses(running))
		}
		for _, p := range running {
			argv, err := c.stopCommand(r, p)
			if err != nil {
				return step{}, fmt.Errorf("%s: %w", r, err)
			}
			daemons = append(daemons, stopping{p, argv})
			st.commands = append(st.commands, commandLine(argv...))
		}
	}
	st.run = func(ctx context.Context) (string, error) {
		var out []string
		if note != "" {
			out = append(out, note)
		}
		if len(daemons) == 0 {
			out = append(out, "was not running any more")
		}
		for _, d := range daemons {
			if !d.p.runs() { // ended meanwhile, and its pid may be another's by now
				continue
			}
			words, err := h.run(ctx, c.StopTimeout, d.argv, toolEnv)
			out = append(out, nonEmpty(words)...)
			if err != nil && d.p.runs() {
				return strings.Join(out, "\n"), err
			}
		}
		return strings.Join(out, "\n"), await(ctx, c.StopTimeout, func() (string, error) {
			for _, r := range refs {
				running, err := daemonsOf(r)
				if err != nil || len(running) > 0 {
					return fmt.Sprintf("%s still runs (%s)", r, inProcesses(running)), err
				}
			}
			if by := holdersOf(numbers); len(by) > 0 {
				return d.DevicePath() + " is still open for writing: " + inProcesses(by), nil
			}
			return "", nil
		})
	}
	return st, nil
}

// stopCommand goes by who is found to run the daemon. The configuration can only say what a plain process
// is.
func (c *Ceph) stopCommand(r osdRef, p process) ([]string, error) {
	if p.foreign != "" {
		return nil, fmt.Errorf("%w: %s; stop it there", errForeign, p.foreign)
	}
	if c.Manager != ManagerFound && c.Manager != p.manager {
		return nil, fmt.Errorf("pid %d is run by %s, but the configuration says that %s runs the OSDs", p.pid, p.manager, c.Manager)
	}
	switch {
	case p.manager == ManagerSystemd:
		return []string{"systemctl", "stop", p.service}, nil
	case p.manager == ManagerRunit:
		return []string{"sv", "-w", strconv.Itoa(int(c.StopTimeout.Seconds())), "stop", p.service}, nil
	case len(c.StopCommand) > 0:
		return fill(c.StopCommand, r.cluster, r.ID), nil
	}
	return []string{"kill", "-TERM", strconv.Itoa(p.pid)}, nil
}

// startCommand is for a daemon that does not run.
func (c *Ceph) startCommand(r osdRef) ([]string, error) {
	manager, service := c.Manager, fill([]string{c.Service}, r.cluster, r.ID)[0]
	runit := fmt.Sprintf("/etc/service/ceph-osd-%d", r.ID)
	if manager == ManagerFound {
		switch {
		case isDir("/run/systemd/system"):
			manager = ManagerSystemd
		case len(c.StartCommand) > 0:
			manager = ManagerCommand
		case isDir(runit):
			manager = ManagerRunit
		}
	}
	switch manager {
	case ManagerSystemd:
		if service == "" {
			service = fmt.Sprintf("ceph-osd@%d", r.ID)
		}
		return []string{"systemctl", "start", service}, nil
	case ManagerRunit:
		if service == "" {
			service = runit
		}
		return []string{"sv", "start", service}, nil
	case ManagerCommand:
		if len(c.StartCommand) > 0 {
			return fill(c.StartCommand, r.cluster, r.ID), nil
		}
	}
	return nil, fmt.Errorf("nothing is known that starts %s: this host has neither systemd nor %s; set start_command in [hand.ceph] of the nerve", r, runit)
}

func isDir(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.IsDir()
}
