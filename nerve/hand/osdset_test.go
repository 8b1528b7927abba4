package hand_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"

	"glia"
	gliav1 "glia/api/glia/v1"
	"glia/nerve/hand"
)

// marks are the uuids by which a hand knows what it made for an order: of a part of an OSD on a new disk.
func mark(o glia.OSD, serial string) string {
	return uuid.NewSHA1(uuid.MustParse(o.UUID), []byte(string(o.Role)+" on "+serial)).String()
}

// Two OSDs share a volume group, and the DB of a third is on the same disk. The tools for LVs are not run here,
// as there is no device mapper: what is shown is which commands the hand would run, from an inventory as lvs and
// the kernel tell it.
func TestHand_DividesANewDiskAmongOSDsOnLogicalVolumes(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	name := l.attach("NEW", 1, 64*mib)
	part := func(id int, uuid string, role glia.OSDRole) glia.OSD {
		return glia.OSD{ID: id, UUID: uuid, Cluster: cephFSID, Role: role, Mode: glia.ModeLVM, Device: fmt.Sprintf("ceph-old/%s-%d", role, id), Size: 16 * mib}
	}
	first, second := part(4000, osdUUID, glia.RoleBlock), part(4001, newUUID, glia.RoleBlock)
	db := part(4002, "11111111-2222-4333-8444-555555555555", glia.RoleDB)
	db.Block, db.BlockSerial = "ceph-data/block-4002", "DATA"
	l.add("DATA", 2, "none1", 64*mib)
	tell := func(o glia.OSD) { l.change("DATA", func(d *glia.Disk) { d.OSDs = []glia.OSD{o} }) }
	data := db
	data.Role, data.Device = glia.RoleBlock, "ceph-data/block-4002"
	tell(data)

	opts := l.options(&recorder{})
	opts.Ceph = &hand.Ceph{Prefix: []string{"podman", "exec", "ceph"}}
	opts.LVs = func(context.Context) ([]byte, error) { return nil, errors.New("a blank disk has none") }
	h := l.hand(opts)
	prepare := order(gliav1.Verb_VERB_OSD_PREPARE, "NEW", 1, ofOSDs(first, second, db))
	prepare.DryRun, prepare.MinSize = true, 64*mib
	group := "ceph-" + mark(first, "NEW")
	lv := func(o glia.OSD) string { return fmt.Sprintf("osd-%d-%s-%s", o.ID, o.Role, mark(o, "NEW")) }
	volume := "podman exec ceph ceph-volume --cluster ceph lvm "
	wantCommands(t, finish(t, h, prepare), []string{
		"podman exec ceph vgcreate --yes " + group + " /dev/" + name,
		"podman exec ceph lvcreate --yes --name " + lv(first) + " --size 16777216b " + group,
		"podman exec ceph lvcreate --yes --name " + lv(second) + " --size 16777216b " + group,
		"podman exec ceph lvcreate --yes --name " + lv(db) + " --size 16777216b " + group,
		volume + "prepare --bluestore --data " + group + "/" + lv(first) + " --osd-id 4000",
		volume + "prepare --bluestore --data " + group + "/" + lv(second) + " --osd-id 4001",
		volume + "zap ceph-data/block-4002",
		volume + "prepare --bluestore --data ceph-data/block-4002 --osd-id 4002 --block.db " + group + "/" + lv(db),
	})

	data.UUID = osdUUID
	tell(data)
	wantNo(t, finish(t, h, prepare), refused, "is of OSD "+osdUUID)
	data.UUID = db.UUID
	tell(data)
	l.change("DATA", func(d *glia.Disk) { d.Protected = "carries /" })
	wantNo(t, finish(t, h, prepare), refused, "carries /")
}

// What is not this order's own is never written to, whoever has made it.
func TestHand_DividesNoDiskThatIsNotBlank(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	name := l.attach("NEW", 1, 64*mib)
	opts := l.options(&recorder{})
	opts.Ceph = &hand.Ceph{Prefix: []string{"true"}}
	h := l.hand(opts)
	part := func(id, n int, size uint64) glia.OSD {
		return glia.OSD{ID: id, UUID: osdUUID, Cluster: cephFSID, Role: glia.RoleBlock, Mode: glia.ModeRaw, Partition: n, Size: size}
	}
	prepare := func(second uint64) *gliav1.Order {
		o := order(gliav1.Verb_VERB_OSD_PREPARE, "NEW", 1, ofOSDs(part(4000, 1, 16*mib), part(4001, 2, second)))
		o.MinSize = 64 * mib
		return o
	}
	wantNo(t, finish(t, h, prepare(60*mib)), refused, "has no room for the block of osd.4001")

	o := prepare(16 * mib)
	o.DryRun = true
	r := finish(t, h, o)
	wantDone(t, r)
	if !strings.HasPrefix(r.Commands[0], "sgdisk --new=1:0:+16M ") || !strings.HasSuffix(r.Commands[0], "'--change-name=2:osd.4001 block' /dev/"+name) {
		t.Errorf("would run %q", r.Commands)
	}
	l.must(hand.Linux().Partition("/dev/"+name, []hand.Partition{{GUID: uuid.New(), Type: uuid.New(), Name: "somebody's", Size: 16 * mib}}))
	wantNo(t, finish(t, h, prepare(16*mib)), refused, "has partitions: "+name+"p1")
}

func (l *lab) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}
