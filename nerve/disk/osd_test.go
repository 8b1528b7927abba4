package disk_test

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"glia"
	"glia/nerve/disk"
	"glia/nerve/disk/bluestore"
)

const (
	osdA    = "2f0ab2fd-2bd0-4a6a-9f1e-6f6a3f6d7007" // of the golden labels
	osdB    = "99999999-2bd0-4a6a-9f1e-6f6a3f6d7008"
	cluster = "6f1c1de2-54a4-4ab2-9f2b-0a3cf7b1a001"
)

// golden is a label that ceph-osd --mkfs wrote.
func golden(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("bluestore", "testdata", name+".bin"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// label makes one, with meta data in pairs.
func label(uuid, description string, meta ...string) string {
	text := func(b []byte, s string) []byte {
		return append(binary.LittleEndian.AppendUint32(b, uint32(len(s))), s...)
	}
	id, _ := hex.DecodeString(strings.ReplaceAll(uuid, "-", ""))
	body := append(id, make([]byte, 16)...)
	body = binary.LittleEndian.AppendUint32(text(body, description), uint32(len(meta)/2))
	for _, m := range meta {
		body = text(body, m)
	}
	out := append([]byte("bluestore block device\n"+uuid+"\n"), 2, 1)
	out = append(binary.LittleEndian.AppendUint32(out, uint32(len(body))), body...)
	out = binary.LittleEndian.AppendUint32(out, ^crc32.Checksum(out, crc32.MakeTable(crc32.Castagnoli)))
	return string(append(out, make([]byte, bluestore.Size-len(out))...))
}

func finished(uuid, id string) string {
	return label(uuid, bluestore.Main, "whoami", id, "ceph_fsid", cluster, "ready", "ready", "mkfs_done", "yes")
}

// Two data disks, S1 (sda) and S2 (sdb), and N1 (nvme0n1) with two partitions.
func osdHost(t *testing.T) *host {
	h := newHost(t)
	h.sata("sda", "S1", 1)
	h.sata("sdb", "S2", 2)
	nvme := h.nvme(0, "N1")
	h.part(nvme, "nvme0n1p1", 1, 2048, 1<<20)
	h.part(nvme, "nvme0n1p2", 2, 1<<21, 1<<20)
	return h
}

func TestSource_TellsTheRawOSDsOfADisk(t *testing.T) {
	t.Parallel()
	const whole, half = 8001563222016, 1 << 29 // bytes of sda and sdb, and of each partition
	block := glia.OSD{ID: 7, UUID: osdA, Cluster: cluster, Role: glia.RoleBlock, Mode: glia.ModeRaw, Device: "sda", Size: whole}
	second := glia.OSD{ID: 8, UUID: osdB, Cluster: cluster, Role: glia.RoleBlock, Mode: glia.ModeRaw, Device: "sdb", Size: whole}
	with := func(o glia.OSD, change func(*glia.OSD)) glia.OSD { change(&o); return o }
	for _, c := range []struct {
		name string
		make func(*host)
		want map[string][]glia.OSD
	}{
		{"block alone", func(h *host) { h.file("dev/sda", golden(t, "main")) }, map[string][]glia.OSD{"S1": {block}}},
		{"DB and WAL of two OSDs on one disk", func(h *host) {
			h.file("dev/sda", golden(t, "main"))
			h.file("dev/sdb", finished(osdB, "8"))
			h.file("dev/nvme0n1p1", golden(t, "db"))
			h.file("dev/nvme0n1p2", label(osdB, bluestore.WAL))
			h.link("dev/disk/by-partuuid/1234-01", "dev/nvme0n1p1")
		}, map[string][]glia.OSD{
			"S1": {with(block, func(o *glia.OSD) { o.DB, o.DBSerial = "/dev/disk/by-partuuid/1234-01", "N1" })},
			"S2": {with(second, func(o *glia.OSD) { o.WAL, o.WALSerial = "/dev/nvme0n1p2", "N1" })},
			"N1": {
				{ID: 7, UUID: osdA, Cluster: cluster, Role: glia.RoleDB, Mode: glia.ModeRaw, Device: "nvme0n1p1", Partition: 1, Size: half, Block: "/dev/sda", BlockSerial: "S1"},
				{ID: 8, UUID: osdB, Cluster: cluster, Role: glia.RoleWAL, Mode: glia.ModeRaw, Device: "nvme0n1p2", Partition: 2, Size: half, Block: "/dev/sdb", BlockSerial: "S2"},
			},
		}},
		{"two OSDs on one disk", func(h *host) {
			h.file("dev/nvme0n1p1", golden(t, "main"))
			h.file("dev/nvme0n1p2", finished(osdB, "8"))
		}, map[string][]glia.OSD{"N1": {
			with(block, func(o *glia.OSD) { o.Device, o.Partition, o.Size = "nvme0n1p1", 1, half }),
			with(second, func(o *glia.OSD) { o.Device, o.Partition, o.Size = "nvme0n1p2", 2, half }),
		}}},
		{"a DB whose OSD is elsewhere", func(h *host) { h.file("dev/sda", golden(t, "db")) }, map[string][]glia.OSD{"S1": {
			{ID: -1, UUID: osdA, Role: glia.RoleDB, Mode: glia.ModeRaw, Device: "sda", Size: whole, Unknown: "the block device of the OSD " + osdA + " was not found on this host"},
		}}},
		{"half-made", func(h *host) { h.file("dev/sda", label(osdA, bluestore.Main, "whoami", "7", "ceph_fsid", cluster)) }, map[string][]glia.OSD{"S1": {
			with(block, func(o *glia.OSD) { o.Unknown = "the label on sda says that its making was not finished" }),
		}}},
		{"hardly begun", func(h *host) { h.file("dev/sda", label(osdA, bluestore.Main)) }, map[string][]glia.OSD{"S1": {
			{ID: -1, UUID: osdA, Role: glia.RoleBlock, Mode: glia.ModeRaw, Device: "sda", Size: whole, Unknown: "the label on sda tells no OSD id: its making was not finished"},
		}}},
		{"a copied disk", func(h *host) { h.file("dev/sda", golden(t, "main")); h.file("dev/sdb", golden(t, "main")) }, map[string][]glia.OSD{
			"S1": {with(block, func(o *glia.OSD) { o.Unknown = "the block of the same OSD is on disk S2 too" })},
			"S2": {with(block, func(o *glia.OSD) { o.Device, o.Unknown = "sdb", "the block of the same OSD is on disk S1 too" })},
		}},
		{"dm-crypt", func(h *host) {
			h.file("dev/sda", "LUKS\xba\xbe"+strings.Repeat("\x00", 4090))
			h.mapped("dm-0", "ceph-"+osdA+"-sda-block-dmcrypt", "CRYPT-LUKS1-aa", "sda")
			h.file("dev/dm-0", golden(t, "main"))
		}, map[string][]glia.OSD{"S1": {with(block, func(o *glia.OSD) { o.Device, o.Size, o.Encrypted = "dm-0", half, true })}}},
		{"of what udev knows to be another thing nothing is read", func(h *host) {
			h.file("dev/sda", golden(t, "main"))
			h.udev("sda", "E:ID_FS_TYPE=xfs")
		}, nil},
		{"what is mounted is not read", func(h *host) { h.file("dev/sda", golden(t, "main")); h.mount("sda", "/srv", "xfs") }, nil},
		{"no OSD", func(h *host) { h.file("dev/sda", strings.Repeat("\x00", 4096)) }, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := osdHost(t)
			c.make(h)
			wantOSDs(t, h.disks(), c.want)
		})
	}
}

func wantOSDs(t *testing.T, disks map[string]glia.Disk, want map[string][]glia.OSD) {
	t.Helper()
	for serial, d := range disks {
		equal(t, serial+": number of OSDs", len(d.OSDs), len(want[serial]))
		for i := range min(len(d.OSDs), len(want[serial])) {
			equal(t, serial, d.OSDs[i], want[serial][i])
		}
	}
}

// A label that is damaged, and one that udev has seen and can not be read, are OSDs that nothing is known
// of: no disk with one may be taken for a disk without.
func TestSource_DoesNotGuessWhatALabelSays(t *testing.T) {
	t.Parallel()
	h := osdHost(t)
	h.file("dev/sda", golden(t, "main")[:300]+"x"+golden(t, "main")[301:])
	h.udev("sdb", "E:ID_FS_TYPE=ceph_bluestore")
	disks := h.disks()
	for serial, word := range map[string]string{"S1": "checksum", "S2": "can not be read"} {
		o := disks[serial].OSDs
		if len(o) != 1 || o[0].ID != -1 || !strings.Contains(o[0].Unknown, word) {
			t.Errorf("%s: got %+v, want one unknown for its %q", serial, o, word)
		}
	}
}

// The last good answer stands while the same disk can not be read any more; another disk in its place
// inherits nothing.
func TestSource_RemembersTheOSDOfADiskThatDies(t *testing.T) {
	t.Parallel()
	h := osdHost(t)
	h.attr("sda", "diskseq", "11\n")
	h.udev("sda", "E:ID_FS_TYPE=ceph_bluestore")
	h.file("dev/sda", golden(t, "main"))
	s := disk.Source{Host: "node-1", Root: h.root}
	look := func() glia.OSD {
		t.Helper()
		disks, err := s.Scan(context.Background())
		h.must(err)
		o := bySerial(disks)["S1"].OSDs
		if len(o) != 1 {
			t.Fatalf("OSDs: %+v", o)
		}
		return o[0]
	}
	before := look()
	h.must(os.Remove(filepath.Join(h.root, "dev/sda")))
	equal(t, "broken", look(), before)
	h.attr("sda", "diskseq", "12\n")
	if o := look(); o.ID != -1 || o.Unknown == "" {
		t.Errorf("another disk is taken for the old one: %+v", o)
	}
}

func TestSource_ReadsADiskAgainOnceItWasWritten(t *testing.T) {
	t.Parallel()
	h := osdHost(t)
	stat := func(writes string) {
		h.attr("sda", "stat", "1 0 8 0 "+writes+" 0 0 0 0 0 0 0 0 0 0 0 0\n")
	}
	h.attr("sda", "diskseq", "11\n")
	s := disk.Source{Host: "node-1", Root: h.root}
	osds := func() int {
		t.Helper()
		disks, err := s.Scan(context.Background())
		h.must(err)
		return len(bySerial(disks)["S1"].OSDs)
	}
	stat("5")
	h.file("dev/sda", strings.Repeat("\x00", 4096))
	equal(t, "blank", osds(), 0)
	h.file("dev/sda", golden(t, "main"))
	equal(t, "no write was counted, so it was not read", osds(), 0)
	stat("6")
	equal(t, "written", osds(), 1)
}

// The answers have the form of LVM 2.03.16 and the tags that ceph-volume 16.2.15 sets; they were put
// together by hand, as device-mapper is not at hand where the tests run. TestListLVs_ReadsRealVolumes
// reads real ones.
func TestSource_TellsTheOSDsOnLogicalVolumes(t *testing.T) {
	t.Parallel()
	tags := func(kind, id, uuid, more string) string {
		return "ceph.type=" + kind + ",ceph.osd_id=" + id + ",ceph.osd_fsid=" + uuid + ",ceph.cluster_fsid=" + cluster + ",ceph.cluster_name=ceph" + more
	}
	const db = ",ceph.db_device=/dev/ceph-db/db-7,ceph.db_uuid=ddd"
	row := func(tags, vg, lv, uuid, devices string) string {
		return `{"lv_tags":"` + tags + `","vg_name":"` + vg + `","lv_name":"` + lv + `","lv_uuid":"` + uuid + `","lv_size":"4096","devices":"` + devices + `"}`
	}
	report := func(rows ...string) string {
		return `{"report":[{"lv":[` + strings.Join(rows, ",") + `]}]}`
	}
	blockRow := row(tags("block", "7", osdA, db+",ceph.encrypted=1,ceph.crush_device_class=hdd"), "ceph-a", "block-7", "bbb", "/dev/sda(0)")
	dbRow := row(tags("db", "7", osdA, ""), "ceph-db", "db-7", "ddd", "/dev/nvme0n1p1(0),/dev/nvme0n1p1(100)")
	other := row("", "system", "root", "rrr", "/dev/nvme0n1p2(0)")
	block := glia.OSD{ID: 7, UUID: osdA, Cluster: cluster, Role: glia.RoleBlock, Mode: glia.ModeLVM, Device: "ceph-a/block-7", Size: 4096, Class: "hdd", Encrypted: true, DB: "ceph-db/db-7", DBSerial: "N1"}
	lost := block
	lost.DB, lost.DBSerial, lost.Unknown = "/dev/ceph-db/db-7", "", "its DB /dev/ceph-db/db-7 was not found on a disk of this host"
	silent := glia.OSD{ID: -1, Mode: glia.ModeLVM, Unknown: "whether its logical volumes are of an OSD: lvs: exit status 5"}
	for _, c := range []struct {
		name, report string
		err          error
		want         map[string][]glia.OSD
	}{
		{"block and DB", report(blockRow, dbRow, other), nil, map[string][]glia.OSD{
			"S1": {block}, "N1": {{ID: 7, UUID: osdA, Cluster: cluster, Role: glia.RoleDB, Mode: glia.ModeLVM, Device: "ceph-db/db-7", Size: 4096, Block: "ceph-a/block-7", BlockSerial: "S1"}},
		}},
		{"the DB is gone", report(blockRow, other), nil, map[string][]glia.OSD{"S1": {lost}}},
		{"no OSD", report(other), nil, nil},
		{"lvs fails", "", errors.New("lvs: exit status 5"), map[string][]glia.OSD{"S1": {silent}, "N1": {silent}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := osdHost(t)
			h.mapped("dm-0", "ceph--a-block--7", "LVM-aa", "sda")
			h.udev("nvme0n1p1", "E:ID_FS_TYPE=LVM2_member") // its LV is not active
			s := disk.Source{Host: "node-1", Root: h.root, LVs: func(context.Context) ([]byte, error) { return []byte(c.report), c.err }}
			disks, err := s.Scan(context.Background())
			h.must(err)
			wantOSDs(t, bySerial(disks), c.want)
		})
	}
}

func TestSource_AsksLVMOnlyWhereItIsInUse(t *testing.T) {
	t.Parallel()
	h := osdHost(t)
	calls := 0
	s := disk.Source{Host: "node-1", Root: h.root, LVs: func(context.Context) ([]byte, error) {
		calls++
		return []byte(`{"report":[{"lv":[]}]}`), nil
	}}
	scan := func() { t.Helper(); _, err := s.Scan(context.Background()); h.must(err) }
	scan()
	equal(t, "asked without LVM", calls, 0)
	h.mapped("dm-0", "ceph--a-block--7", "LVM-aa", "sda")
	scan()
	scan()
	equal(t, "asked in two scans", calls, 1)
	h.mapped("dm-1", "ceph--b-block--8", "LVM-bb", "sdb")
	scan()
	equal(t, "asked after a change", calls, 2)
}

func FuzzDecodeLVs(f *testing.F) {
	f.Add([]byte(`{"report":[{"lv":[{"lv_tags":"ceph.type=db,ceph.osd_id=3","lv_name":"a","vg_name":"b","lv_uuid":"c","devices":"/dev/sda(0)"}]}]}`))
	f.Fuzz(func(t *testing.T, report []byte) {
		lvs, err := disk.DecodeLVs(report)
		for _, v := range lvs {
			if err != nil || v.UUID == "" || v.Name == "" {
				t.Errorf("LV %+v with error %v", v, err)
			}
		}
	})
}
