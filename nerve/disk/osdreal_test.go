package disk_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"glia"
	"glia/internal/loop/looptest"
	"glia/nerve/disk"
)

// LVM writes its metadata without the device mapper when it is told that there is no driver, so that what
// lvs says of volumes that are not active can be read for real. It is not parallel, for LVM's environment.
func TestListLVs_ReadsRealVolumes(t *testing.T) {
	if _, err := exec.LookPath("lvs"); err != nil {
		t.Skip("needs LVM: ", err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "bay1", "GLIA-LVM.img")
	if err := os.Mkdir(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	run(t, "truncate", "-s", "64M", file)
	device := looptest.Attach(t, file, 0).Path()
	only := `["a|^` + device + `$|","r|.*|"]`
	conf := "devices { filter=" + only + " global_filter=" + only + " use_devicesfile=0 }\nactivation { udev_sync=0 udev_rules=0 }\n"
	if err := os.WriteFile(filepath.Join(dir, "lvm.conf"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("LVM_SYSTEM_DIR", dir)
	t.Setenv("LVM_SUPPRESS_FD_WARNINGS", "1")
	for _, command := range [][]string{
		{"pvcreate", "-qq", device},
		{"vgcreate", "ceph-glia", device},
		{"lvcreate", "-an", "-Zn", "-Wn", "-l", "4", "-n", "osd-block-7", "ceph-glia"},
		{"lvchange", "--addtag", "ceph.type=block", "--addtag", "ceph.osd_id=7", "--addtag", "ceph.osd_fsid=" + osdA, "--addtag", "ceph.cluster_fsid=" + cluster, "ceph-glia/osd-block-7"},
	} {
		run(t, command[0], append([]string{"--driverloaded", "n"}, command[1:]...)...)
	}
	s := disk.Source{Host: "here", Loop: []string{dir + "/*/*.img"}}
	var o glia.OSD
	for limit := time.Now().Add(time.Minute); ; { // a scan waits two seconds for lvs, and a later one has its answer
		disks, err := s.Scan(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		d := bySerial(disks)["GLIA-LVM"]
		if len(d.OSDs) != 1 {
			t.Fatalf("OSDs: %+v", d.OSDs)
		}
		if o = d.OSDs[0]; !strings.Contains(o.Unknown, "lvs has not answered") || time.Now().After(limit) {
			break
		}
	}
	if o.ID != 7 || o.UUID != osdA || o.Device != "ceph-glia/osd-block-7" || o.Size != 16<<20 || o.Unknown != "" {
		t.Errorf("got %+v", o)
	}
}
