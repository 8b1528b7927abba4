package hand_test

import (
	"context"
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

// A program by the name of ceph-osd, which has the disk open, is stopped and started through the real runit
// that runs it. Killed by its pid, it would come back at once.
func TestHand_StopsAnOSDThroughRunit(t *testing.T) {
	t.Parallel()
	for _, program := range []string{"sv", "runsv", "bash"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip("needs runit: ", err)
		}
	}
	l := newLab(t)
	disk := l.attach("DISK", 1, 32*mib)
	osd := glia.OSD{ID: 31000, UUID: osdUUID, Cluster: cephFSID, Role: glia.RoleBlock, Mode: glia.ModeRaw, Device: disk}
	l.change("DISK", func(d *glia.Disk) { d.OSDs = []glia.OSD{osd} })
	cluster := fmt.Sprintf("runit%d", os.Getpid())

	service := l.mkdir("sv/osd")
	program := filepath.Join(l.dir, "ceph-osd")
	l.sh("cp", "/bin/bash", program)
	// bash passes what is behind the script on; it only stands on the command line, as ceph-osd's does.
	script := fmt.Sprintf("#!/bin/sh\nexec %s -c 'trap \"exit 0\" TERM; exec 9<>/dev/%s; while :; do sleep 0.05; done' -i %d --cluster %s\n", program, disk, osd.ID, cluster)
	if err := os.WriteFile(filepath.Join(service, "run"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	runsv := exec.Command("runsv", service)
	runsv.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGTERM}
	if err := runsv.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = exec.Command("sv", "force-shutdown", service).Run()
		_ = runsv.Process.Signal(unix.SIGTERM)
		_ = runsv.Wait()
	})

	sys := &recorder{}
	sys.run = func(ctx context.Context, argv, env []string) (string, error) {
		if argv[0] == "ceph-volume" { // there is no BlueStore on the disk
			return "", nil
		}
		return hand.Linux().Run(ctx, argv, env)
	}
	opts := l.options(sys)
	opts.Ceph = &hand.Ceph{Manager: hand.ManagerRunit, Service: service, StopTimeout: 20 * time.Second, MakeTimeout: 20 * time.Second}
	h := l.hand(opts)
	named := func(o *gliav1.Order) { ofOSDs(osd)(o); o.ClusterName = cluster }

	// It runs once start has found it with the disk open.
	wantDone(t, finish(t, h, order(gliav1.Verb_VERB_OSD_START, "DISK", 1, named)))
	r := finish(t, h, order(gliav1.Verb_VERB_OSD_STOP, "DISK", 1, named))
	wantCommands(t, r, []string{"sv -w 20 stop " + service})
	if status := l.sh("sh", "-c", "sv status "+service+" || true"); !strings.HasPrefix(status, "down:") {
		t.Errorf("runit says %q", status)
	}
	r = finish(t, h, order(gliav1.Verb_VERB_OSD_START, "DISK", 1, named))
	wantDone(t, r)
	if len(r.Commands) != 2 || r.Commands[1] != "sv start "+service {
		t.Errorf("ran %q", r.Commands)
	}
	if status := l.sh("sv", "status", service); !strings.HasPrefix(status, "run:") {
		t.Errorf("runit says %q", status)
	}
}
