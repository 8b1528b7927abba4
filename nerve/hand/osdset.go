package hand

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"glia"
	gliav1 "glia/api/glia/v1"
)

// An order may make several OSDs again at once: those that shared a disk, and those whose DB or WAL was on one
// that many shared. The new disk is then divided as the old one was; what each OSD has on other disks is used
// again, its block device too, once that has shown that it is the very OSD's.

// shared says whether the new disk of an order is divided.
func shared(parts []osdRef) bool {
	return len(parts) != 1 || parts[0].Role != glia.RoleBlock || parts[0].Partition > 0
}

// newOSD is one that is to be made in place of an ordered one, and its devices: paths, or VG/LV.
type newOSD struct {
	osdRef
	data, db, wal string
	fresh         []string // those of them that are on the new disk
	kept          osdRef   // the old one, without what comes to lie there
}

// place gives an ordered OSD its devices: on the new disk what it had on the old one, and all else where it was.
func (b berths) place(r osdRef) newOSD {
	n := newOSD{osdRef: r, data: r.Block, db: r.DB, wal: r.WAL, kept: r}
	for _, part := range []struct {
		role     glia.OSDRole
		to, kept *string
	}{{glia.RoleBlock, &n.data, &n.kept.Block}, {glia.RoleDB, &n.db, &n.kept.DB}, {glia.RoleWAL, &n.wal, &n.kept.WAL}} {
		r.Role = part.role
		if device, ok := b.devices[partName(r)]; ok {
			*part.to, *part.kept = device, "" // it may have the name of the old one
			n.fresh = append(n.fresh, device)
		}
	}
	return n
}

// made finds the finished OSD that was made in place of the ordered one.
func (n newOSD) made(disks []glia.Disk) (uuid string, err error) {
	if n.Mode == glia.ModeLVM {
		for _, d := range disks {
			for _, has := range d.OSDs {
				if has.Device == n.data && has.Role == glia.RoleBlock && has.ID == n.ID && has.Cluster == n.Cluster && has.UUID != n.UUID && has.Unknown == "" {
					return has.UUID, nil
				}
			}
		}
		return "", fmt.Errorf("%s should have %s of cluster %s, and no disk tells of it", n.data, n, n.Cluster)
	}
	l, err := labelOf(n.data)
	if err != nil {
		return "", fmt.Errorf("look at %s on %s: %w", n, n.data, err)
	}
	if l.OSD == n.UUID || !l.Finished() || l.Meta["whoami"] != strconv.Itoa(n.ID) || l.Meta["ceph_fsid"] != n.Cluster {
		return "", fmt.Errorf("%s should show a finished %s of cluster %s, but shows osd %q (%s) of %q, finished: %t", n.data, n, n.Cluster, l.Meta["whoami"], l.OSD, l.Meta["ceph_fsid"], l.Finished())
	}
	return l.OSD, nil
}

// prepareShared prepares making all OSDs of an order again. What is there already decides what is still to be
// done, OSD by OSD, so that the order can be sent again after a crash at any point: a table of partitions or a
// volume group that carries the marks of this order is our own, and an OSD that is finished there stands,
// unless its making was told to have failed.
func (h *Hand) prepareShared(ctx context.Context, o *gliav1.Order) (step, error) {
	disks, err := h.disks(ctx)
	if err != nil {
		return step{}, err
	}
	d, err := ordered(disks, o)
	if err != nil {
		return step{}, err
	}
	before, known := h.journal.Lookup(o.GetKey())
	b, err := h.berths(ctx, o, d, known)
	if err != nil {
		return step{}, err
	}
	list := b.make
	var all []newOSD
	var stale []string
	for _, r := range osdsOf(o) {
		n := b.place(r)
		all = append(all, n)
		if uuid, err := n.made(disks); err == nil {
			if known && before.stands(uuid) {
				continue
			}
			stale = append(stale, uuid)
		}
		more, err := h.making(disks, n, b, known)
		if err != nil {
			return step{}, err
		}
		list = append(list, more...)
	}
	if err := h.still(ctx, d, o, b.number); err != nil {
		return step{}, err
	}
	st := inTurn(list, func(ctx context.Context) (string, error) {
		disks, err := h.disks(ctx)
		if err != nil {
			return "", err
		}
		var out []string
		for _, n := range all {
			uuid, err := n.made(disks)
			if err != nil {
				return strings.Join(out, "\n"), fmt.Errorf("after prepare: %w", err)
			}
			out = append(out, fmt.Sprintf("%s is %s on %s", n, uuid, n.data))
		}
		return strings.Join(out, "\n"), nil
	})
	st.stale = stale
	run := st.run
	st.run = func(ctx context.Context) (string, error) {
		dev, err := openDevice(d.Location, false) // what is run goes by the name, which stays this disk's meanwhile
		if err != nil {
			return "", err
		}
		defer dev.Close()
		return run(ctx)
	}
	return st, nil
}

// making is what makes one OSD on its devices, whatever an attempt before has left there.
func (h *Hand) making(disks []glia.Disk, n newOSD, b berths, known bool) ([]act, error) {
	c := h.opts.Ceph
	if n.data == "" {
		return nil, fmt.Errorf("where the block device of %s is was not told", n)
	}
	if err := c.ready(n.osdRef); err != nil {
		return nil, err
	}
	leftover, err := leftoverMounts(n.osdRef)
	if err != nil {
		return nil, err
	}
	reused, err := reuse(disks, n.kept, known)
	if err != nil {
		return nil, err
	}
	var out []act
	for range leftover {
		out = append(out, h.unmountOSD(n.osdRef))
	}
	for _, device := range n.fresh {
		// A partition may begin further in than what proves a disk blank; a new LV is made zero at its beginning.
		if n.Mode == glia.ModeRaw || slices.Contains(b.used, device) {
			reused = append(reused, device)
		}
	}
	for _, device := range reused {
		out = append(out, h.tool(c.cleanCommand(n.osdRef, device)))
	}
	made := n.osdRef
	made.DB, made.WAL = n.db, n.wal
	return append(out, h.tool(c.prepareCommand(made, n.data))), nil
}

// cleanCommand makes a device that was an OSD's free for the next one.
func (c *Ceph) cleanCommand(r osdRef, device string) []string {
	if r.Mode == glia.ModeLVM {
		return c.volume(r.cluster, "lvm", "zap", device)
	}
	return wipeCommand(device)
}

// act is one thing that a step does, as one would type it and as it is done.
type act struct {
	words string
	run   func(ctx context.Context) (output string, err error)
}

// inTurn is the step that does all of them in turn, and then proves what came of it.
func inTurn(list []act, proof func(ctx context.Context) (string, error)) step {
	st := step{}
	for _, a := range list {
		st.commands = append(st.commands, a.words)
	}
	st.run = func(ctx context.Context) (string, error) {
		var out []string
		for _, a := range list {
			words, err := a.run(ctx)
			out = append(out, nonEmpty(words)...)
			if err != nil {
				return strings.Join(out, "\n"), err
			}
		}
		words, err := proof(ctx)
		return strings.Join(append(out, nonEmpty(words)...), "\n"), err
	}
	return st
}

func (h *Hand) tool(argv []string) act {
	c := h.opts.Ceph
	return act{commandLine(argv...), func(ctx context.Context) (string, error) { return h.run(ctx, c.MakeTimeout, argv, c.env()) }}
}

func (h *Hand) unmountOSD(r osdRef) act {
	return act{commandLine("umount", r.dir()), func(ctx context.Context) (string, error) {
		ctx, cancel := withTimeout(ctx, h.opts.MountTimeout)
		defer cancel()
		return "", h.opts.System.Unmount(ctx, r.dir(), false)
	}}
}
