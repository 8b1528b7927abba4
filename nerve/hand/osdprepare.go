package hand

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"glia"
	gliav1 "glia/api/glia/v1"
	"glia/nerve/disk/bluestore"
)

// prepareOSD prepares making the OSD of an order again, under its id, on a disk that is proven blank here.
// There is one exception, as with format: if the journal says that this very order began on this very disk,
// and nothing is recognised on it but an OSD of that id and cluster that is not the old one, then what is on
// it is our own work. It stands if it is finished and its making was never told to have failed; else it is
// wiped away first.
//
// When ceph-volume itself fails after it has claimed the id, it gives the id away by `osd purge-new`, and
// zaps the LVs with that id, a DB LV on another disk included. What can be seen to go wrong is therefore
// looked at before.
func (h *Hand) prepareOSD(ctx context.Context, o *gliav1.Order) (step, error) {
	c := h.opts.Ceph
	if c == nil {
		return step{}, errNoCeph
	}
	if shared(partsOf(o)) {
		return h.prepareShared(ctx, o)
	}
	disks, err := h.disks(ctx)
	if err != nil {
		return step{}, err
	}
	d, err := ordered(disks, o)
	if err != nil {
		return step{}, err
	}
	r := osdsOf(o)[0]
	before, known := h.journal.Lookup(o.GetKey())
	if made, ok := madeOn(d, r); ok && known && before.stands(made.UUID) && r.Mode == glia.ModeLVM {
		return madeAlready(r, made.UUID), nil
	}
	if known { // what the attempt before has left running claims the disk, which then seems to be nobody's own
		if err := openForWriting(d); err != nil {
			return step{}, err
		}
	}
	if findings := candidateFindings(d, o.GetMinSize(), o.GetRetired()); len(findings) > 0 {
		return step{}, fmt.Errorf("disk %s: %s", d.Serial(), inWords(findings))
	}
	p := prove(ctx, d)
	st := step{}
	var commands [][]string
	if !p.blank() {
		own, ours := ownOSD(d, p, r)
		if !known || !ours {
			return step{}, fmt.Errorf("%w: %s: %s", glia.ErrNotBlank, d, inWords(p.findings()))
		}
		if own.Finished() && before.stands(own.OSD) {
			return madeAlready(r, own.OSD), nil
		}
		st.stale = []string{own.OSD}
		commands = append(commands, wipeCommand(d.DevicePath()))
	}
	if err := openForWriting(d); err != nil {
		return step{}, err
	}
	if err := c.ready(r); err != nil {
		return step{}, err
	}
	leftover, err := leftoverMounts(r)
	if err != nil {
		return step{}, err
	}
	reused, err := reuse(disks, r, known)
	if err != nil {
		return step{}, err
	}
	for _, device := range reused {
		commands = append(commands, c.cleanCommand(r, device))
	}
	if err := h.still(ctx, d, o, p.number); err != nil {
		return step{}, err
	}
	commands = append(commands, c.prepareCommand(r, d.DevicePath()))
	for range leftover {
		st.commands = append(st.commands, commandLine("umount", r.dir()))
	}
	for _, argv := range commands {
		st.commands = append(st.commands, commandLine(argv...))
	}
	st.run = func(ctx context.Context) (string, error) {
		for range leftover {
			ctx, cancel := withTimeout(ctx, h.opts.MountTimeout)
			err := h.opts.System.Unmount(ctx, r.dir(), false)
			cancel()
			if err != nil {
				return "", err
			}
		}
		var out []string
		for _, argv := range commands {
			words, err := h.run(ctx, c.MakeTimeout, argv, c.env())
			out = append(out, nonEmpty(words)...)
			if err != nil {
				return strings.Join(out, "\n"), err
			}
		}
		uuid, err := h.made(ctx, o, r)
		if err == nil {
			out = append(out, fmt.Sprintf("%s is %s on %s", r, uuid, d.DevicePath()))
		}
		return strings.Join(out, "\n"), err
	}
	return st, nil
}

func madeAlready(r osdRef, uuid string) step {
	return step{run: func(context.Context) (string, error) {
		return fmt.Sprintf("%s was made already: %s", r, uuid), nil
	}}
}

// madeOn is the OSD on a disk that took the id of the old one.
func madeOn(d glia.Disk, r osdRef) (glia.OSD, bool) {
	i := slices.IndexFunc(d.OSDs, func(has glia.OSD) bool {
		return has.ID == r.ID && has.Role == glia.RoleBlock && has.Cluster == r.Cluster && has.UUID != r.UUID && has.Unknown == ""
	})
	if i < 0 || len(d.OSDs) != 1 {
		return glia.OSD{}, false
	}
	return d.OSDs[i], true
}

// ownOSD says whether what was found on a disk can only come from making the OSD: a BlueStore of that id and
// cluster, or one that does not say yet, which is not the old one.
func ownOSD(d glia.Disk, p proof, r osdRef) (bluestore.Label, bool) {
	if len(p.obstacles) > 0 || len(p.signatures) == 0 {
		return bluestore.Label{}, false
	}
	for _, s := range p.signatures {
		if s.Kind != "bluestore" {
			return bluestore.Label{}, false
		}
	}
	l, err := labelOf(d.DevicePath())
	may := func(key, want string) bool { return l.Meta[key] == "" || l.Meta[key] == want }
	return l, err == nil && l.Description == bluestore.Main && l.OSD != r.UUID && may("ceph_fsid", r.Cluster) && may("whoami", strconv.Itoa(r.ID))
}

// labelOf reads the label of a device past the page cache.
func labelOf(path string) (bluestore.Label, error) {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return bluestore.Label{}, err
	}
	dev, err := openDevice(glia.Location{Device: strings.TrimPrefix(real, "/dev/")}, false)
	if err != nil {
		return bluestore.Label{}, err
	}
	defer dev.Close()
	e, err := dev.edges()
	if err != nil {
		return bluestore.Label{}, err
	}
	return bluestore.Decode(e.front[:min(bluestore.Size, len(e.front))])
}

// wipeCommand makes zero what prove and ceph-osd --mkfs look at.
func wipeCommand(device string) []string {
	return []string{"dd", "if=/dev/zero", "of=" + device, "bs=1M", fmt.Sprintf("count=%d", frontSize>>20), "oflag=direct", "conv=fsync,notrunc,nocreat", "status=none"}
}

func (c *Ceph) prepareCommand(r osdRef, device string) []string {
	args := []string{string(r.Mode), "prepare", "--bluestore", "--data", device, "--osd-id", strconv.Itoa(r.ID)}
	for _, p := range []struct{ flag, value string }{{"--crush-device-class", r.Class}, {"--block.db", r.DB}, {"--block.wal", r.WAL}} {
		if p.value != "" {
			args = append(args, p.flag, p.value)
		}
	}
	if r.Encrypted {
		args = append(args, "--dmcrypt")
	}
	return c.volume(r.cluster, args...)
}

// ready says what would make ceph-volume fail, as far as it can be seen from here.
func (c *Ceph) ready(r osdRef) error {
	if r.Encrypted && r.Mode == glia.ModeRaw {
		return fmt.Errorf("%s is raw and encrypted: its secret is known neither to the hand nor to the cluster; make it by hand", r)
	}
	if running, err := daemonsOf(osdRef{OSD: glia.OSD{ID: r.ID}, cluster: r.cluster}); err != nil || len(running) > 0 {
		return errors.Join(err, fmt.Errorf("%s runs on this host (%s)", r, inProcesses(running)))
	}
	if len(c.Prefix) > 0 {
		return nil // its files are not in this namespace
	}
	conf := c.Conf
	if conf == "" {
		conf = filepath.Join(cephConfRoot, r.cluster+".conf")
	}
	for _, file := range []string{conf, filepath.Join(bootstrapRoot, r.cluster+".keyring")} {
		if _, err := os.Stat(file); err != nil {
			return fmt.Errorf("ceph-volume needs %s: %w", file, err)
		}
	}
	if _, err := lookup("ceph-volume"); err != nil {
		return err
	}
	return nil
}

// leftoverMounts are those that an attempt left which did not come to its end.
func leftoverMounts(r osdRef) (int, error) {
	r.UUID = "" // of the attempt, and not known
	mounts, err := osdMounts(r)
	return len(mounts), err
}

// reuse tells which devices on other disks the new OSD takes over from the old one, which is destroyed. Each must show that it is
// the old OSD's; when the order was begun before, it may also be clean already.
func reuse(disks []glia.Disk, r osdRef, begunBefore bool) ([]string, error) {
	var out []string
	for _, part := range []struct {
		role           glia.OSDRole
		device, serial string
	}{{glia.RoleBlock, r.Block, r.BlockSerial}, {glia.RoleDB, r.DB, r.DBSerial}, {glia.RoleWAL, r.WAL, r.WALSerial}} {
		if part.device == "" {
			continue
		}
		d, err := find(disks, part.serial)
		if err != nil {
			return nil, fmt.Errorf("%s of %s: %w", part.role, r, err)
		}
		if d.Protected != "" {
			return nil, fmt.Errorf("%w: %s: %s", glia.ErrProtected, d, d.Protected)
		}
		has := slices.IndexFunc(d.OSDs, func(has glia.OSD) bool {
			return has.Role == part.role && (has.Device == part.device || leadsToName(part.device, has.Device))
		})
		switch {
		case has >= 0 && d.OSDs[has].UUID == r.UUID:
			out = append(out, part.device)
		case has >= 0 && begunBefore && ofAttempt(d.OSDs[has], r):
			out = append(out, part.device)
		case has >= 0:
			return nil, fmt.Errorf("%w: %s on disk %s is of OSD %s, not of %s", glia.ErrIdentityMismatch, part.device, part.serial, d.OSDs[has].UUID, r.UUID)
		case !begunBefore:
			return nil, fmt.Errorf("%w: %s on disk %s does not show that it is the %s of %s", glia.ErrIdentityMismatch, part.device, part.serial, part.role, r)
		default:
			if err := bare(part.device); err != nil {
				return nil, fmt.Errorf("%s of %s: %w", part.role, r, err)
			}
		}
	}
	return out, nil
}

// ofAttempt says whether what is on a device of the old OSD may come from an attempt to make the new one that did
// not come to its end, and so may not tell its id and cluster yet.
func ofAttempt(has glia.OSD, r osdRef) bool {
	return (has.ID == r.ID || has.ID < 0) && (has.Cluster == r.Cluster || has.Cluster == "")
}

// bare proves that nothing is recognised on a device that an attempt before has cleaned.
func bare(device string) error {
	if !strings.HasPrefix(device, "/") {
		device = "/dev/" + device // VG/LV
	}
	real, err := filepath.EvalSymlinks(device)
	if err != nil {
		return err
	}
	found, err := filesystemsOn(strings.TrimPrefix(real, "/dev/"))
	if err == nil && len(found) > 0 {
		err = fmt.Errorf("%w: %s carries %s", glia.ErrNotBlank, device, found[0])
	}
	return err
}

func leadsToName(path, name string) bool {
	real, err := filepath.EvalSymlinks(path)
	return err == nil && real == "/dev/"+name
}

// made is the postcondition of prepare: the disk shows a finished OSD of that id and cluster with a uuid of
// its own.
func (h *Hand) made(ctx context.Context, o *gliav1.Order, r osdRef) (uuid string, err error) {
	disks, err := h.disks(ctx)
	if err != nil {
		return "", err
	}
	d, err := ordered(disks, o)
	if err != nil {
		return "", err
	}
	if r.Mode == glia.ModeRaw {
		l, err := labelOf(d.DevicePath())
		if err != nil {
			return "", fmt.Errorf("after prepare, look at the new OSD: %w", err)
		}
		if l.OSD == r.UUID || !l.Finished() || l.Meta["whoami"] != strconv.Itoa(r.ID) || l.Meta["ceph_fsid"] != r.Cluster {
			return "", fmt.Errorf("after prepare, %s should show a finished %s of cluster %s, but shows osd %q (%s) of %q, finished: %t", d.DevicePath(), r, r.Cluster, l.Meta["whoami"], l.OSD, l.Meta["ceph_fsid"], l.Finished())
		}
		return l.OSD, nil
	}
	has, ok := madeOn(d, r)
	if !ok {
		return "", fmt.Errorf("after prepare, disk %s should have %s of cluster %s, but has %s", d.Serial(), r, r.Cluster, orNone(osdNames(d.OSDs)))
	}
	return has.UUID, nil
}
