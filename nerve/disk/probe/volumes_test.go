package probe_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"glia"
	"glia/nerve/disk/kmsg"
	"glia/nerve/disk/probe"
)

// volumeTree is a disk sdk with a member of md0 on sdk1, and LVM on sdk2: a volume, a snapshot of it and a
// thin volume, made of its pool.
func volumeTree(t *testing.T) (string, glia.Disk) {
	t.Helper()
	sys := t.TempDir()
	for name, text := range map[string]string{
		"block/md0/md/dev-sdk1/state": "in_sync\n", "block/md0/md/dev-sdk1/errors": "0\n", "block/md0/md/degraded": "0\n", "block/md0/md/mismatch_cnt": "0\n",
		"class/block/sdk/dev": "8:160\n",
		"block/dm-0/dm/name":  "vg-data\n", "block/dm-0/slaves/sdk2": "",
		"block/dm-1/dm/name": "vg-snap\n", "block/dm-1/slaves/dm-0": "",
		"block/dm-2/dm/name": "vg-pool-tpool\n", "block/dm-2/slaves/sdk2": "",
		"block/dm-3/dm/name": "vg-thin\n", "block/dm-3/slaves/dm-2": "",
		"block/dm-4/dm/name": "mpatha\n",
	} {
		write(t, filepath.Join(sys, name), text)
	}
	d := glia.Disk{Identity: glia.Identity{Serial: "K"}, Location: glia.Location{Device: "sdk"}, Partitions: []glia.Partition{{Name: "sdk1"}, {Name: "sdk2"}},
		Holders: []glia.Holder{{Name: "md0", Kind: "md", On: "sdk1"}, {Name: "dm-0", Kind: "lvm", On: "sdk2"}, {Name: "dm-1", Kind: "lvm", On: "dm-0"},
			{Name: "dm-2", Kind: "lvm", On: "sdk2"}, {Name: "dm-3", Kind: "lvm", On: "dm-2"}, {Name: "dm-4", Kind: "multipath", On: "sdk"}}}
	return sys, d
}

const volumesWell = `vg-data: 0 8 linear 
vg-snap: 0 8 snapshot 16/2048 16
vg-pool-tpool: 0 8 thin-pool 1 12/1024 100/1600 - rw discard_passdown queue_if_no_space - 1024
vg-thin: 0 8 thin 1024 7
mpatha: 0 8 multipath 2 0 0 0 1 1 A 0 2 0 8:160 A 0 8:32 A 0
`

func answers(s string, err error) func(context.Context) ([]byte, error) {
	return func(context.Context) ([]byte, error) { return []byte(s), err }
}

func TestVolumes_Tells(t *testing.T) {
	t.Parallel()
	const well = "md.faulty=0 md.read_errors=0 md.degraded=0 md.mismatches=0 volume.full=0 volume.full=0 multipath.failed=0"
	for _, c := range []struct {
		name, attr, text, old, new string
		want                       string
	}{
		{"all is well", "", "", "", "", well},
		{"thrown out", "block/md0/md/dev-sdk1/state", "faulty,write_error\n", "", "", strings.Replace(well, "faulty=0", "faulty=1", 1)},
		{"corrected errors", "block/md0/md/dev-sdk1/errors", "20\n", "", "", strings.Replace(well, "read_errors=0", "read_errors>1", 1)},
		{"another member is missing", "block/md0/md/degraded", "1\n", "", "", strings.Replace(well, "degraded=0", "degraded=1", 1)},
		{"no number", "block/md0/md/mismatch_cnt", "none\n", "", "", strings.Replace(well, "mismatches=0", "mismatches?", 1)},
		{"the snapshot has overflowed", "", "", "snapshot 16/2048 16", "snapshot Invalid", strings.Replace(well, "volume.full=0", "volume.full=1", 1)},
		{"the kernel does not know", "", "", "snapshot 16/2048 16", "snapshot Unknown", strings.Replace(well, "volume.full=0", "volume.full?", 1)},
		{"this path has failed", "", "", "8:160 A", "8:160 F", strings.Replace(well, "multipath.failed=0", "multipath.failed=1", 1)},
		{"another path has failed", "", "", "8:32 A", "8:32 F", well},
	} {
		sys, d := volumeTree(t)
		if c.attr != "" {
			write(t, filepath.Join(sys, c.attr), c.text)
		}
		v := &probe.Volumes{Roots: probe.Roots{Sys: sys}, Status: answers(strings.Replace(volumesWell, c.old, c.new, 1), nil)}
		if got := v.Probe(t.Context(), d); say(got) != c.want {
			t.Errorf("%s: %s\nwant %s\n%s", c.name, say(got), c.want, details(got))
		}
	}
	v := &probe.Volumes{Status: answers("", errors.New("must not be asked"))}
	if got := v.Probe(t.Context(), glia.Disk{Location: glia.Location{Device: "sdz"}}); len(got) != 0 {
		t.Errorf("a disk without anything on it: %+v", got)
	}
}

func TestVolumes_Excuse(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, device, old, new string
		err                    error
		want                   string
	}{
		{"all is well", "dm-1", "", "", nil, ""},
		{"the snapshot has overflowed", "dm-1", "snapshot 16/2048 16", "snapshot Invalid", nil, "the snapshot vg-snap has run out of space: Invalid, which is no fault of the disk"},
		{"which its origin does not mind", "dm-0", "snapshot 16/2048 16", "snapshot Invalid", nil, ""},
		{"the pool below it is full", "dm-3", "- rw", "- out_of_data_space", nil, "the thin-pool vg-pool-tpool has run out of space"},
		{"the pool has failed for another reason", "dm-3", "1 12/1024 100/1600 - rw discard_passdown queue_if_no_space - 1024", "Fail", nil, ""},
		{"nothing can be said", "dm-3", "", "", errors.New("dmsetup status: exit status 1"), "whether a snapshot or thin pool below it has run out of space"},
		{"not mapped", "sdk1", "snapshot 16/2048 16", "snapshot Invalid", nil, ""},
	} {
		sys, _ := volumeTree(t)
		v := &probe.Volumes{Roots: probe.Roots{Sys: sys}, Status: answers(strings.Replace(volumesWell, c.old, c.new, 1), c.err)}
		if got := v.Excuse(t.Context(), glia.Disk{}, glia.Mount{Source: c.device}); !strings.HasPrefix(got, c.want) || (got == "") != (c.want == "") {
			t.Errorf("%s: %q", c.name, got)
		}
	}
}

// A filesystem on a snapshot that has overflowed fails, and the disk is well.
func TestVolumes_OverflowIsNoFaultOfTheDisk(t *testing.T) {
	t.Parallel()
	sys, d := volumeTree(t)
	mountInfo := filepath.Join(sys, "mountinfo")
	write(t, mountInfo, "40 1 253:1 / /snap rw - ext4 /dev/mapper/vg-snap ro\n")
	write(t, filepath.Join(sys, "class/block/dm-1/dev"), "253:1\n")
	d.Mounts = []glia.Mount{{Source: "dm-1", Target: "/snap", FSType: "ext4"}}
	roots := probe.Roots{Sys: sys, MountInfo: mountInfo}
	well := &probe.Volumes{Roots: roots, Status: answers(volumesWell, nil)}
	overflown := &probe.Volumes{Roots: roots, Status: answers(strings.Replace(volumesWell, "snapshot 16/2048 16", "snapshot Invalid", 1), nil)}

	log := &fakeLog{}
	k, err := probe.OpenKernelLog(log, filepath.Join(t.TempDir(), "log.json"))
	if err != nil {
		t.Fatal(err)
	}
	k.Roots = roots
	look(k, d)
	log.records = []kmsg.Record{{Seq: 1, Text: "EXT4-fs (dm-1): Remounting filesystem read-only"}}
	look(k, d)
	for _, c := range []struct {
		name    string
		volumes *probe.Volumes
		want    string
	}{
		{"well", well, "fs.readonly=1"},
		{"overflown", overflown, "fs.readonly?"},
	} {
		k.Excuses = probe.Excuses{c.volumes}
		if got := (&probe.FS{Roots: roots, Excuses: probe.Excuses{c.volumes}}).Probe(t.Context(), d); !strings.Contains(say(got), c.want) {
			t.Errorf("%s: %s\n%s", c.name, say(got), details(got))
		}
		if got := k.Probe(t.Context(), d); !strings.Contains(say(got), c.want) {
			t.Errorf("%s, by the log: %s\n%s", c.name, say(got), details(got))
		}
	}
}
