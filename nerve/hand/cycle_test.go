package hand_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gliav1 "glia/api/glia/v1"
	"glia/nerve/hand"
)

// A whole repair of one disk, as the repairer orders it, on real devices.
func TestHand_RepairsADisk(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		fsType string
		size   int64
		mkfs   []string
		keep   string
	}{
		{"ext4", 64 * mib, []string{"mkfs.ext4", "-q", "-U", oldUUID}, "noatime"},
		{"xfs", 320 * mib, []string{"mkfs.xfs", "-q", "-m", "uuid=" + oldUUID}, "noatime"},
	} {
		t.Run(c.fsType, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			l.alone(c.fsType)
			old, target := l.attach("OLD", 3, c.size), l.mkdir("data 1")
			l.sh(append(c.mkfs, "/dev/"+old)...)
			l.sh("mount", "-o", "noatime", "/dev/"+old, target)

			opts := l.options(&recorder{to: hand.Linux()})
			env := filepath.Join(l.dir, "env")
			opts.DrainHook = []string{"/bin/sh", "-c", "env | grep ^GLIA_ | sort > '" + env + "'; echo drained"}
			opts.RejoinHook = []string{"/bin/sh", "-c", "echo rejoined at $GLIA_MOUNT on $GLIA_DEVICE"}
			h := l.hand(opts)
			oldFS := filesystem(&gliav1.Filesystem{Type: c.fsType, Uuid: oldUUID, Target: target})
			newFS := filesystem(&gliav1.Filesystem{Type: c.fsType, Uuid: newUUID, Target: target, Label: "data 1", Options: "rw,noatime,relatime,seclabel,ro,stripe=64"})
			size := func(o *gliav1.Order) { o.MinSize = uint64(c.size) }
			retired := func(o *gliav1.Order) { o.Retired = []string{"OLD"} }

			r := finish(t, h, order(drain, "OLD", 3, oldFS))
			wantDone(t, r)
			if r.Output != "drained" {
				t.Errorf("output is %q", r.Output)
			}
			got, _ := os.ReadFile(env)
			want := "GLIA_CASE=case-1\nGLIA_DEVICE=/dev/" + old + "\nGLIA_HOST=node-1\nGLIA_MOUNT=" + target + "\nGLIA_PLACE=enc0 slot 3\nGLIA_SERIAL=OLD\n"
			if string(got) != want {
				t.Errorf("hook got %s\nwant %s", got, want)
			}

			off := order(unmount, "OLD", 3, oldFS)
			wantDone(t, finish(t, h, off))
			wantDone(t, finish(t, h, off))
			again := finish(t, h, order(unmount, "OLD", 3, oldFS))
			wantDone(t, again)
			if len(again.Commands) > 0 {
				t.Errorf("unmounted twice: %q", again.Commands)
			}

			look := order(inspect, "OLD", 3, size)
			wantFindings(t, finish(t, h, look), "still the old disk")
			l.pull("OLD")
			wantFindings(t, finish(t, h, look), "enc0 slot 3 is empty")
			fresh := l.attach("NEW", 3, c.size)
			in := finish(t, h, look)
			wantFindings(t, in)
			if s := in.Inspection.Disk.GetIdentity().GetSerial(); s != "NEW" {
				t.Errorf("inspected %q", s)
			}

			make := order(format, "NEW", 3, newFS, size, retired)
			r = finish(t, h, make)
			wantDone(t, r)
			if len(r.Commands) != 1 || !strings.HasSuffix(r.Commands[0], "/dev/"+fresh) || strings.Contains(r.Commands[0], " -f ") || strings.Contains(r.Commands[0], " -F ") {
				t.Errorf("ran %q", r.Commands)
			}
			before := l.hash("NEW")
			wantDone(t, finish(t, h, make))
			wantNo(t, finish(t, h, order(format, "NEW", 3, newFS, size, retired)), refused, "not blank", newUUID)
			if l.hash("NEW") != before {
				t.Error("the new filesystem was written again")
			}

			attach := order(mount, "NEW", 3, newFS)
			r = finish(t, h, attach)
			wantDone(t, r)
			if !strings.Contains(r.Output, "left out of the old options: rw,relatime,seclabel,ro,stripe=64") {
				t.Errorf("output is %q", r.Output)
			}
			wantDone(t, finish(t, h, order(mount, "NEW", 3, newFS)))
			var options string
			for _, m := range l.inventory()[0].Mounts {
				options += m.Options
			}
			if !slices.Contains(strings.Split(options, ","), c.keep) || !strings.HasPrefix(options, "rw") {
				t.Errorf("mounted with %q", options)
			}

			r = finish(t, h, order(rejoin, "NEW", 3, newFS))
			wantDone(t, r)
			if r.Output != "rejoined at "+target+" on /dev/"+fresh {
				t.Errorf("output is %q", r.Output)
			}
		})
	}
}

func wantFindings(t *testing.T, r *gliav1.ExecuteResponse, words ...string) {
	t.Helper()
	wantDone(t, r)
	in := r.Inspection
	if in.GetAcceptable() != (len(words) == 0) || len(in.GetFindings()) < len(words) || len(words) == 0 && len(in.GetFindings()) > 0 {
		t.Fatalf("acceptable=%t, findings %q; want %q", in.GetAcceptable(), in.GetFindings(), words)
	}
	for _, w := range words {
		if !strings.Contains(strings.Join(in.GetFindings(), "\n"), w) {
			t.Errorf("findings %q do not say %q", in.GetFindings(), w)
		}
	}
}

// The operator cancels after the unmount: the old filesystem comes back, as it was.
func TestHand_MountsTheOldDiskBack(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	old, target := l.attach("OLD", 1, 32*mib), filepath.Join(l.dir, "made")
	l.sh("mkfs.ext4", "-q", "-U", oldUUID, "/dev/"+old)
	h := l.hand(l.options(hand.Linux()))
	r := finish(t, h, order(mount, "OLD", 1, filesystem(&gliav1.Filesystem{Type: "ext4", Uuid: oldUUID, Target: target})))
	wantDone(t, r)
	if len(r.Commands) != 2 || !strings.HasPrefix(r.Commands[0], "mkdir ") {
		t.Errorf("ran %q", r.Commands)
	}
	if m := l.inventory()[0].Mounts; len(m) != 1 || m[0].Target != target {
		t.Errorf("mounts are %v", m)
	}
}
