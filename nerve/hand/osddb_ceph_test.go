//go:build ceph

package hand_test

import (
	"encoding/json"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"glia"
	"glia/internal/testbed/ceph"
	"glia/nerve/disk/bluestore"
)

// The DB of an OSD on another disk is taken over by the OSD that comes in its place.
func TestHand_UsesTheOldDBAgain(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	c := ceph.For(t, ceph.Options{Hosts: 3})
	const id, host = 3, "h3"
	l := newCephLab(t, c, host)
	data, err := c.Plug(host, "bay0", "DATA", 4<<30)
	l.must(err)
	db, err := c.Plug(host, "nvme", "DB", 2<<30)
	l.must(err)
	// As an operator made it once.
	if out, err := exec.CommandContext(ctx, "ceph-volume", "--cluster", c.Name, "raw", "prepare", "--bluestore", "--data", data.Device(), "--block.db", db.Device()).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	l.must(c.StartOSDOn(id, host), c.WaitUp(ctx, id), c.WaitClean(ctx))
	objects, err := c.Write(ctx, "o", 12, 256<<10)
	l.must(err)

	old := l.disk("DATA")
	if len(old.OSDs) != 1 || old.OSDs[0].DB != db.Device() || old.OSDs[0].DBSerial != "DB" {
		t.Fatalf("the inventory tells %+v", old.OSDs)
	}
	if part := l.disk("DB").OSDs; len(part) != 1 || part[0].Role != glia.RoleDB || part[0].ID != id || part[0].UUID != old.OSDs[0].UUID {
		t.Fatalf("the inventory tells %+v of the DB's disk", part)
	}
	for _, d := range []*ceph.Disk{data, db} {
		sameAsTool(t, l.disk(d.Serial).OSDs[0], d.Device())
	}

	l.do(l.order(osdStop, old, old))
	l.must(c.WaitDown(ctx, id))
	l.do(l.order(osdDeactivate, old, old))
	l.ceph("osd", "destroy", strconv.Itoa(id), "--yes-i-really-mean-it")
	l.must(c.Pull(data))
	_, err = c.Plug(host, "bay0", "FRESH", 4<<30)
	l.must(err)
	fresh := l.disk("FRESH")
	// A DB that is another OSD's is not touched.
	foreign := old
	foreign.OSDs = []glia.OSD{old.OSDs[0]}
	foreign.OSDs[0].UUID = "11111111-2222-4333-8444-555555555555"
	wantNo(t, finish(t, l.hand, l.order(osdPrepare, foreign, fresh)), refused, "is of OSD "+old.OSDs[0].UUID)

	r := l.do(l.order(osdPrepare, old, fresh))
	if len(r.Commands) != 2 || !strings.HasPrefix(r.Commands[0], "dd if=/dev/zero of="+db.Device()+" ") || !strings.HasSuffix(r.Commands[1], " --osd-id 3 --block.db "+db.Device()) {
		t.Errorf("ran %q", r.Commands)
	}
	l.must(unix.Unmount(c.OSDDir(id), 0)) // as after a reboot
	l.do(l.order(osdActivate, old, fresh))
	l.must(c.WaitUp(ctx, id), c.WaitClean(ctx), c.Verify(ctx, objects))
	if now := l.disk("FRESH").OSDs; len(now) != 1 || now[0].DBSerial != "DB" || now[0].UUID == old.OSDs[0].UUID {
		t.Errorf("the inventory tells %+v", now)
	}
}

// sameAsTool compares what the inventory tells with ceph-bluestore-tool.
func sameAsTool(t *testing.T, has glia.OSD, device string) {
	t.Helper()
	out, err := exec.Command("ceph-bluestore-tool", "show-label", "--dev", device).Output()
	if err != nil {
		t.Fatal(err)
	}
	var labels map[string]struct {
		UUID        string `json:"osd_uuid"`
		Description string `json:"description"`
		Cluster     string `json:"ceph_fsid"`
		ID          string `json:"whoami"`
	}
	if err := json.Unmarshal(out, &labels); err != nil {
		t.Fatal(err)
	}
	l := labels[device]
	role := map[string]glia.OSDRole{bluestore.Main: glia.RoleBlock, bluestore.DB: glia.RoleDB, bluestore.WAL: glia.RoleWAL}[l.Description]
	if has.UUID != l.UUID || has.Role != role || l.Description == bluestore.Main && (has.Cluster != l.Cluster || strconv.Itoa(has.ID) != l.ID) {
		t.Errorf("%s: the inventory tells %+v, ceph-bluestore-tool %s", device, has, out)
	}
}
