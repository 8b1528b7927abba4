package hand_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"glia"
	"glia/api"
	gliav1 "glia/api/glia/v1"
	"glia/nerve/hand"
)

const (
	osdUUID   = "2f0ab2fd-2bd0-4a6a-9f1e-6f6a3f6d7007"
	cephFSID  = "6f1c1de2-54a4-4ab2-9f2b-0a3cf7b1a001"
	otherFSID = "6f1c1de2-54a4-4ab2-9f2b-0a3cf7b1a002"
)

// lvmOSD is an OSD on LVs, whose DB is on another disk.
func lvmOSD() glia.OSD {
	return glia.OSD{
		ID: 4000, UUID: osdUUID, Cluster: cephFSID, Role: glia.RoleBlock, Mode: glia.ModeLVM, Device: "ceph-a/osd-block-1", Class: "hdd",
		Encrypted: true, DB: "ceph-db/db-1", DBSerial: "NVME",
	}
}

func ofOSDs(osds ...glia.OSD) func(*gliav1.Order) {
	return func(o *gliav1.Order) {
		o.Filesystem = nil
		for _, osd := range osds {
			o.Osds = append(o.Osds, api.OSDToProto(osd))
		}
	}
}

func TestHand_RefusesAnInvalidOrderOfOSDs(t *testing.T) {
	t.Parallel()
	l := fakeLab(t)
	l.add("DISK", 1, "none0", 32*mib)
	opts := l.options(&recorder{})
	opts.Ceph = &hand.Ceph{}
	h := l.hand(opts)
	with := func(o glia.OSD, change func(*glia.OSD)) glia.OSD { change(&o); return o }
	lvm := func(change func(*glia.OSD)) func(*gliav1.Order) { return ofOSDs(with(lvmOSD(), change)) }
	part := func(id, partition int, role glia.OSDRole) glia.OSD {
		return glia.OSD{ID: id, UUID: osdUUID, Cluster: cephFSID, Role: role, Mode: glia.ModeRaw, Partition: partition, Size: 1 << 30}
	}
	for _, c := range []struct {
		name   string
		verb   gliav1.Verb
		change func(*gliav1.Order)
		word   string
	}{
		{"no OSD", gliav1.Verb_VERB_OSD_STOP, ofOSDs(), "no OSD is named"},
		{"no id", gliav1.Verb_VERB_OSD_STOP, lvm(func(o *glia.OSD) { o.ID = -1 }), "id is -1"},
		{"no cluster", gliav1.Verb_VERB_OSD_DEACTIVATE, lvm(func(o *glia.OSD) { o.Cluster = "" }), "not the fsid of a cluster"},
		{"no uuid", gliav1.Verb_VERB_OSD_START, lvm(func(o *glia.OSD) { o.UUID = "x" }), "not a uuid"},
		{"no mode", gliav1.Verb_VERB_OSD_PREPARE, lvm(func(o *glia.OSD) { o.Mode = "" }), "mode raw or lvm"},
		{"two modes on one disk", gliav1.Verb_VERB_OSD_PREPARE, ofOSDs(part(4, 1, glia.RoleBlock), with(part(5, 2, glia.RoleBlock), func(o *glia.OSD) { o.Mode = glia.ModeLVM })), "one disk has OSDs of one mode"},
		{"two on the whole disk", gliav1.Verb_VERB_OSD_PREPARE, ofOSDs(part(4, 1, glia.RoleBlock), part(5, 0, glia.RoleBlock)), "on the whole disk, and other parts are on it too"},
		{"a part twice", gliav1.Verb_VERB_OSD_PREPARE, ofOSDs(part(4, 1, glia.RoleDB), part(4, 2, glia.RoleDB)), "named twice"},
		{"a part of no size", gliav1.Verb_VERB_OSD_PREPARE, ofOSDs(part(4, 1, glia.RoleBlock), with(part(5, 2, glia.RoleBlock), func(o *glia.OSD) { o.Size = 0 })), "the size of the block of osd.5 is missing"},
		{"a part of no kind", gliav1.Verb_VERB_OSD_ACTIVATE, ofOSDs(part(4, 1, "journal")), "unknown role"},
		{"an option for a class", gliav1.Verb_VERB_OSD_PREPARE, lvm(func(o *glia.OSD) { o.Class = "--no-tmpfs" }), "is no name"},
		{"words for a DB", gliav1.Verb_VERB_OSD_PREPARE, lvm(func(o *glia.OSD) { o.DB = "a b" }), "is no name"},
		{"no size", gliav1.Verb_VERB_OSD_PREPARE, func(o *gliav1.Order) { ofOSDs(lvmOSD())(o); o.MinSize = 0 }, "min_size is missing"},
		{"a path for a cluster", gliav1.Verb_VERB_OSD_STOP, func(o *gliav1.Order) { ofOSDs(lvmOSD())(o); o.ClusterName = "../x" }, "cluster_name"},
	} {
		r := finish(t, h, order(c.verb, "DISK", 1, c.change))
		if r.State != refused || !strings.Contains(r.Reason, c.word) {
			t.Errorf("%s: got %s (%s), want a refusal with %q", c.name, r.State, r.Reason, c.word)
		}
	}
}

func TestHand_TouchesNoOSDsWhereCephIsSwitchedOff(t *testing.T) {
	t.Parallel()
	l := fakeLab(t)
	l.add("DISK", 1, "none0", 32*mib)
	h := l.hand(l.options(&recorder{}))
	for _, verb := range []gliav1.Verb{gliav1.Verb_VERB_OSD_STOP, gliav1.Verb_VERB_OSD_START, gliav1.Verb_VERB_OSD_DEACTIVATE, gliav1.Verb_VERB_OSD_PREPARE, gliav1.Verb_VERB_OSD_ACTIVATE} {
		wantNo(t, finish(t, h, order(verb, "DISK", 1, ofOSDs(lvmOSD()))), refused, "[hand.ceph]")
	}
}

// The tools for LVs are not run for real here, as there is no device mapper: what is shown is which commands
// the hand would run, from an inventory as lvs and the kernel tell it.
func TestHand_MakesAnOSDOnLogicalVolumes(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	name := l.attach("NEW", 1, 64*mib)
	l.add("NVME", 2, "none1", 64*mib)
	l.change("NVME", func(d *glia.Disk) {
		d.OSDs = []glia.OSD{{ID: 4000, UUID: osdUUID, Cluster: cephFSID, Role: glia.RoleDB, Mode: glia.ModeLVM, Device: "ceph-db/db-1"}}
	})
	const madeUUID = "99999999-2bd0-4a6a-9f1e-6f6a3f6d7008"
	sys := &recorder{run: func(_ context.Context, argv, _ []string) (string, error) {
		if strings.Contains(strings.Join(argv, " "), "lvm prepare") {
			l.change("NEW", func(d *glia.Disk) {
				made := lvmOSD()
				made.UUID = madeUUID
				d.OSDs = []glia.OSD{made}
				d.Holders = []glia.Holder{{Name: "dm-7", Kind: "lvm", On: name}}
			})
		}
		return "", nil
	}}
	opts := l.options(sys)
	opts.Ceph = &hand.Ceph{Prefix: []string{"podman", "exec", "ceph"}, Manager: hand.ManagerCommand, StartCommand: []string{"start-osd", "{cluster}", "{id}"}}
	h := l.hand(opts)
	prepare := order(gliav1.Verb_VERB_OSD_PREPARE, "NEW", 1, ofOSDs(lvmOSD()))
	want := []string{
		"podman exec ceph ceph-volume --cluster ceph lvm zap ceph-db/db-1",
		"podman exec ceph ceph-volume --cluster ceph lvm prepare --bluestore --data /dev/" + name + " --osd-id 4000 --crush-device-class hdd --block.db ceph-db/db-1 --dmcrypt",
	}
	prepare.DryRun = true
	wantCommands(t, finish(t, h, prepare), want)
	if ran := sys.Calls(); len(ran) > 0 {
		t.Errorf("a dry run ran %q", ran)
	}
	prepare.DryRun = false
	r := finish(t, h, prepare)
	wantCommands(t, r, want)
	if !strings.HasSuffix(r.Output, "osd.4000 is "+madeUUID+" on /dev/"+name) {
		t.Errorf("output is %q", r.Output)
	}

	activate := order(gliav1.Verb_VERB_OSD_ACTIVATE, "NEW", 1, ofOSDs(lvmOSD()))
	activate.DryRun = true
	wantNo(t, finish(t, h, activate), refused, "dm-7") // the kernel of this test has none
	l.change("NEW", func(d *glia.Disk) { d.Holders = nil })
	wantCommands(t, finish(t, h, activate), []string{
		"podman exec ceph ceph-volume --cluster ceph lvm activate --bluestore --no-systemd 4000 " + madeUUID,
		"start-osd ceph 4000",
	})

	other := lvmOSD()
	other.Cluster = otherFSID
	wantNo(t, finish(t, h, order(gliav1.Verb_VERB_OSD_ACTIVATE, "NEW", 1, ofOSDs(other))), refused, "of cluster "+cephFSID)
}

func wantCommands(t *testing.T, r *gliav1.ExecuteResponse, want []string) {
	t.Helper()
	wantDone(t, r)
	if strings.Join(r.Commands, "\n") != strings.Join(want, "\n") {
		t.Errorf("commands are\n%s\nwant\n%s", strings.Join(r.Commands, "\n"), strings.Join(want, "\n"))
	}
}

// The DB of the ordered OSD must show that it is its own.
func TestHand_ZapsNoDBOfAnotherOSD(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.attach("NEW", 1, 64*mib)
	l.add("NVME", 2, "none1", 64*mib)
	opts := l.options(&recorder{})
	opts.Ceph = &hand.Ceph{Prefix: []string{"true"}}
	h := l.hand(opts)
	for _, c := range []struct {
		name string
		osds []glia.OSD
		word string
	}{
		{"another OSD's", []glia.OSD{{ID: 4000, UUID: newUUID, Cluster: cephFSID, Role: glia.RoleDB, Device: "ceph-db/db-1"}}, "is of OSD " + newUUID},
		{"its WAL", []glia.OSD{{ID: 4000, UUID: osdUUID, Cluster: cephFSID, Role: glia.RoleWAL, Device: "ceph-db/db-1"}}, "does not show"},
		{"nobody's", nil, "does not show"},
	} {
		l.change("NVME", func(d *glia.Disk) { d.OSDs = c.osds })
		r := finish(t, h, order(gliav1.Verb_VERB_OSD_PREPARE, "NEW", 1, ofOSDs(lvmOSD())))
		if r.State != refused || !strings.Contains(r.Reason, c.word) {
			t.Errorf("%s: got %s (%s)", c.name, r.State, r.Reason)
		}
	}
	l.change("NVME", func(d *glia.Disk) { d.Identity.Serial = "ANOTHER" })
	wantNo(t, finish(t, h, order(gliav1.Verb_VERB_OSD_PREPARE, "NEW", 1, ofOSDs(lvmOSD()))), refused, "NVME")
}

// Whoever has the disk open for writing for a while, such as smartctl, is waited for: no person is needed.
func TestHand_WaitsUntilNobodyHasTheDiskOpenForWriting(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	dev := l.attach("DISK", 1, 64*mib)
	osd := glia.OSD{ID: 4001, UUID: osdUUID, Cluster: cephFSID, Role: glia.RoleBlock, Mode: glia.ModeRaw, Device: filepath.Base(dev)}
	l.change("DISK", func(d *glia.Disk) { d.OSDs = []glia.OSD{osd} })
	opts := l.options(hand.Linux())
	opts.Ceph = &hand.Ceph{}
	h := l.hand(opts)
	open, err := os.OpenFile("/dev/"+filepath.Base(dev), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	o := order(gliav1.Verb_VERB_OSD_DEACTIVATE, "DISK", 1, ofOSDs(osd))
	wantNo(t, finish(t, h, o), waits, "is open for writing: pid")
	if err := open.Close(); err != nil {
		t.Fatal(err)
	}
	// A program that is started at this moment by another test has the file open until it is loaded.
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		if r := finish(t, h, o); r.State != waits {
			wantDone(t, r)
			return
		}
	}
	t.Error("it waits still")
}

// When a nerve is killed, the kernel ends the ceph-volume that it runs, and not what that has started: ceph-osd --mkfs
// still has the disk, and claims it. The order waits until it has ended.
func TestHand_WaitsForWhatAPreparationHasLeftRunning(t *testing.T) {
	t.Parallel()
	osd := func(id, partition int) glia.OSD {
		return glia.OSD{ID: id, UUID: osdUUID, Cluster: cephFSID, Role: glia.RoleBlock, Mode: glia.ModeRaw, Partition: partition, Size: 16 * mib}
	}
	for name, osds := range map[string][]glia.OSD{"a whole disk": {osd(4001, 0)}, "a divided disk": {osd(4001, 1), osd(4002, 2)}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			dev := l.attach("DISK", 1, 64*mib)
			rec := &recorder{to: hand.Linux(), run: func(context.Context, []string, []string) (string, error) { return "", errors.New("mkfs failed") }}
			opts := l.options(rec)
			opts.Ceph = &hand.Ceph{Prefix: []string{"podman", "exec", "ceph"}}
			h := l.hand(opts)
			o := order(gliav1.Verb_VERB_OSD_PREPARE, "DISK", 1, ofOSDs(osds...))
			o.MinSize = 64 * mib
			wantNo(t, finish(t, h, o), failed, "mkfs failed")
			left, err := os.OpenFile("/dev/"+filepath.Base(dev), os.O_RDWR|unix.O_EXCL, 0)
			if err != nil {
				t.Fatal(err)
			}
			wantNo(t, finish(t, h, o), waits, "is open for writing: pid")
			if err := left.Close(); err != nil {
				t.Fatal(err)
			}
			for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
				if r := finish(t, h, o); r.State != waits {
					wantNo(t, r, failed, "mkfs failed")
					return
				}
			}
			t.Error("it waits still")
		})
	}
}
