package hand_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"glia"
	gliav1 "glia/api/glia/v1"
	"glia/nerve/hand"
)

// mounted is a lab with the disk OLD in slot 1, mounted.
func mounted(t *testing.T, fsType string) (l *lab, device, target string) {
	l = newLab(t)
	l.alone(fsType)
	size, uuid := int64(32*mib), []string{"-U", oldUUID}
	if fsType == "xfs" {
		size, uuid = 320*mib, []string{"-m", "uuid=" + oldUUID}
	}
	device, target = l.attach("OLD", 1, size), l.mkdir("data")
	l.sh(append(append([]string{"mkfs." + fsType, "-q"}, uuid...), "/dev/"+device)...)
	l.sh("mount", "/dev/"+device, target)
	return l, device, target
}

func is(fsType, target string) func(*gliav1.Order) {
	return filesystem(&gliav1.Filesystem{Type: fsType, Uuid: oldUUID, Target: target})
}

func isMounted(l *lab, target string) bool {
	l.t.Helper()
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		l.t.Fatal(err)
	}
	return strings.Contains(string(table), " "+target+" ")
}

func TestHand_BusyFilesystemNamesItsUsers(t *testing.T) {
	t.Parallel()
	l, _, target := mounted(t, "ext4")
	f, err := os.Create(filepath.Join(target, "open"))
	if err != nil {
		t.Fatal(err)
	}
	sleeper := exec.Command("sleep", "1000")
	sleeper.Dir = target
	if err := sleeper.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sleeper.Process.Kill(); sleeper.Wait() })

	h := l.hand(l.options(hand.Linux()))
	o := order(unmount, "OLD", 1, is("ext4", target))
	wantNo(t, finish(t, h, o), failed, "busy",
		fmt.Sprintf("pid %d hand.test (open file)", os.Getpid()), fmt.Sprintf("pid %d sleep (cwd)", sleeper.Process.Pid), "send the order again")
	if !isMounted(l, target) {
		t.Fatal("a busy filesystem was detached")
	}
	f.Close()
	sleeper.Process.Kill()
	sleeper.Wait()
	// A process that another test is just forking may still share our file.
	for deadline := time.Now().Add(time.Minute); ; {
		if r := finish(t, h, o); r.State != failed || time.Now().After(deadline) {
			wantDone(t, r)
			return
		}
	}
}

func TestHand_UnmountRefusesWhatTheOrderDoesNotName(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		make func(l *lab, device, target string)
		says string
	}{
		{"bind mount elsewhere", func(l *lab, device, target string) {
			l.sh("mount", "--bind", target, l.mkdir("bind"))
		}, "is mounted on"},
		{"nested mount", func(l *lab, device, target string) {
			os.Mkdir(target+"/sub", 0o755)
			l.sh("mount", "-t", "tmpfs", "none", target+"/sub")
			l.t.Cleanup(func() { unix.Unmount(target+"/sub", unix.MNT_DETACH) })
		}, "are mounted below"},
		{"mounted over", func(l *lab, device, target string) {
			l.sh("mount", "-t", "tmpfs", "none", target)
			l.t.Cleanup(func() { unix.Unmount(target, unix.MNT_DETACH) })
		}, "on top of each other"},
		{"another disk there", func(l *lab, device, target string) {
			l.sh("umount", target)
			other := l.attach("OTHER", 2, 32*mib)
			l.sh("mkfs.ext4", "-q", "/dev/"+other)
			l.sh("mount", "/dev/"+other, target)
		}, "which is not of disk OLD"},
		{"another filesystem", func(l *lab, device, target string) {
			l.sh("umount", target)
			l.sh("mkfs.ext4", "-q", "-F", "-U", newUUID, "/dev/"+device)
			l.sh("mount", "/dev/"+device, target)
		}, "is " + newUUID + ", not " + oldUUID},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l, device, target := mounted(t, "ext4")
			c.make(l, device, target)
			rec := &recorder{to: hand.Linux()}
			h := l.hand(l.options(rec))
			wantNo(t, finish(t, h, order(unmount, "OLD", 1, is("ext4", target))), refused, c.says)
			if calls := rec.Calls(); len(calls) > 0 || !isMounted(l, target) {
				t.Errorf("ran %q", calls)
			}
		})
	}
}

// A container that kept the mount must be seen before somebody pulls the disk.
func TestHand_UnmountSeesOtherNamespaces(t *testing.T) {
	t.Parallel()
	l, _, target := mounted(t, "ext4")
	// The new namespace has a copy of every mount of the machine; those of other tests are dropped at once,
	// or it would hold their disks too.
	box := exec.Command("unshare", "--mount", "--propagation", "private", "sh", "-c",
		`while read -r _ _ _ _ at _; do case $at in "$1") ;; "$2"/*) umount --lazy "$at";; esac; done </proc/self/mountinfo; echo in; exec sleep 1000`,
		"sh", target, os.TempDir())
	out, err := box.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := box.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { box.Process.Kill(); box.Wait() })
	if _, err := out.Read(make([]byte, 3)); err != nil {
		t.Fatal(err)
	}
	h := l.hand(l.options(hand.Linux()))
	o := order(unmount, "OLD", 1, is("ext4", target))
	for range 2 {
		wantNo(t, finish(t, h, o), failed, "the kernel still holds", fmt.Sprintf("pid %d sleep (its mount namespace)", box.Process.Pid))
	}
	box.Process.Kill()
	box.Wait()
	wantDone(t, finish(t, h, o))
}

func TestHand_DetachesTheFilesystemOfAMissingDisk(t *testing.T) {
	t.Parallel()
	for _, fsType := range []string{"ext4", "xfs"} {
		t.Run(fsType, func(t *testing.T) {
			t.Parallel()
			l, device, target := mounted(t, fsType)
			l.sh("sync", "-f", target)
			f, err := os.Create(filepath.Join(target, "open")) // busy: only detaching helps
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			rec := &recorder{to: hand.Linux()}
			h := l.hand(l.options(rec))
			hide := func(gone bool) {
				l.change("OLD", func(d *glia.Disk) {
					d.Location.Device = device
					if gone {
						d.Location.Device = ""
					}
				})
			}
			hide(true)
			defer hide(false) // for the cleanup

			for name, o := range map[string]*gliav1.Order{
				"not " + newUUID:     order(unmount, "OLD", 1, is(fsType, target), func(o *gliav1.Order) { o.Filesystem.Uuid = newUUID }),
				"does not name":      order(unmount, "OLD", 1, is(fsType, target), func(o *gliav1.Order) { o.Filesystem.Uuid = "" }),
				fsType + ", not zfs": order(unmount, "OLD", 1, is(fsType, target), func(o *gliav1.Order) { o.Filesystem.Type = "zfs" }),
			} {
				wantNo(t, finish(t, h, o), refused, name)
			}
			l.add("BYSTANDER", 7, device, 0) // the name went to another disk
			wantNo(t, finish(t, h, order(unmount, "OLD", 1, is(fsType, target))), refused, "which is of disk BYSTANDER, not of OLD")
			l.change("BYSTANDER", func(d *glia.Disk) { d.Location.Device = "" })
			l.attach("LVM", 8, mib)
			l.change("LVM", func(d *glia.Disk) { d.Mounts = []glia.Mount{{Source: "dm-3", Target: target}} })
			wantNo(t, finish(t, h, order(unmount, "OLD", 1, is(fsType, target))), refused, "which is of disk LVM, not of OLD")
			l.change("LVM", func(d *glia.Disk) { d.Mounts = nil })
			bind := l.mkdir("bind")
			l.sh("mount", "--bind", target, bind)
			wantNo(t, finish(t, h, order(unmount, "OLD", 1, is(fsType, target))), refused, "is mounted elsewhere too", bind)
			l.sh("umount", bind)
			if calls := rec.Calls(); len(calls) > 0 {
				t.Fatalf("ran %q", calls)
			}

			r := finish(t, h, order(unmount, "OLD", 1, is(fsType, target)))
			wantDone(t, r)
			if !strings.Contains(r.Output, "disk OLD is gone: the dead filesystem was detached") || isMounted(l, target) {
				t.Errorf("output %q, still mounted %t", r.Output, isMounted(l, target))
			}
			wantDone(t, finish(t, h, order(unmount, "OLD", 1, is(fsType, target))))
		})
	}
}

// An XFS that has shut down does not tell its UUID. While the kernel still has the device, nothing
// proves then that the mount was the missing disk's.
func TestHand_DoesNotDetachWhatItCanNotIdentify(t *testing.T) {
	t.Parallel()
	l, device, target := mounted(t, "xfs")
	l.sh("xfs_io", "-x", "-c", "shutdown", target)
	l.change("OLD", func(d *glia.Disk) { d.Location.Device = "" })
	defer l.change("OLD", func(d *glia.Disk) { d.Location.Device = device })
	rec := &recorder{to: hand.Linux()}
	h := l.hand(l.options(rec))
	wantNo(t, finish(t, h, order(unmount, "OLD", 1, is("xfs", target))), refused, "its UUID can not be told")
	if calls := rec.Calls(); len(calls) > 0 {
		t.Errorf("ran %q", calls)
	}
	// With the disk in the inventory its device proves it, and a shut-down XFS is unmounted as usual.
	l.change("OLD", func(d *glia.Disk) { d.Location.Device = device })
	wantDone(t, finish(t, h, order(unmount, "OLD", 1, is("xfs", target))))
}

func TestMountedUUID_OfEveryKernel(t *testing.T) {
	t.Parallel()
	for _, fsType := range []string{"ext4", "xfs"} {
		t.Run(fsType, func(t *testing.T) {
			t.Parallel()
			_, _, target := mounted(t, fsType)
			dir, err := os.Open(target)
			if err != nil {
				t.Fatal(err)
			}
			defer dir.Close()
			for uuid, want := range map[string]bool{oldUUID: true, newUUID: false} {
				if ok, err := hand.MountedUUIDMatches(target, fsType, uuid); err != nil || ok != want {
					t.Errorf("%s: %t, %v; want %t", uuid, ok, err, want)
				}
				if ok, err := hand.OlderUUIDMatches(int(dir.Fd()), fsType, uuid); err != nil || ok != want {
					t.Errorf("%s on an old kernel: %t, %v; want %t", uuid, ok, err, want)
				}
			}
		})
	}
}
