package hand_test

import (
	"strings"
	"testing"

	"glia/nerve/hand"
)

func TestOSDOfCommand(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ line, id, cluster string }{
		{"ceph-osd -f --cluster ceph --id 12 --setuser ceph --setgroup ceph", "12", "ceph"}, // Debian's unit
		{"ceph-osd -i 3 -f", "3", "ceph"},
		{"ceph-osd -n osd.7 -f --setuser ceph", "7", "ceph"}, // cephadm
		{"ceph-osd --name=osd.7 --cluster=backup", "7", "backup"},
		{"ceph-osd --foreground --id=0", "0", "ceph"},
		{"ceph-osd --cluster ceph --osd-objectstore bluestore --mkfs -i 3", "", "ceph"}, // makes one
		{"ceph-osd --version", "", "ceph"},
		{"ceph-osd -i", "", "ceph"},
		{"", "", "ceph"},
	} {
		if id, cluster := hand.OSDOfCommand(strings.Split(c.line, " ")); id != c.id || cluster != c.cluster {
			t.Errorf("%q: got %q of %q, want %q of %q", c.line, id, cluster, c.id, c.cluster)
		}
	}
}

// The lines of systemd and of podman are as these write them; no system of the tests runs either.
func TestRunBy(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, cgroups, parent, dir string
		by                         hand.Manager
		service                    string
		foreign                    bool
	}{
		{"systemd", "0::/system.slice/system-ceph\\x2dosd.slice/ceph-osd@3.service\n", "systemd", "/", hand.ManagerSystemd, "ceph-osd@3.service", false},
		{"systemd on a kernel with cgroups of version 1", "12:pids:/system.slice/ceph-osd@3.service\n1:name=systemd:/system.slice/ceph-osd@3.service\n", "systemd", "/", hand.ManagerSystemd, "ceph-osd@3.service", false},
		{"a shell in a session", "0::/user.slice/user-0.slice/session-4.scope\n", "bash", "/root", hand.ManagerCommand, "", false},
		{"a service of another kind", "0::/system.slice/ssh.service\n", "sshd", "/", hand.ManagerCommand, "", false},
		{"runit", "0::/\n", "runsv", "/etc/service/ceph-osd-3", hand.ManagerRunit, "/etc/service/ceph-osd-3", false},
		{"runit below systemd", "0::/system.slice/runit.service\n", "runsv", "/srv/osd-3", hand.ManagerRunit, "/srv/osd-3", false},
		{"cephadm with podman", "0::/system.slice/ceph-6f1c1de2@osd.3.service/libpod-payload-2ab\n", "conmon", "/", hand.ManagerSystemd, "ceph-6f1c1de2@osd.3.service", true},
		{"docker", "0::/system.slice/docker-77ee.scope\n", "containerd-shim", "/", hand.ManagerCommand, "", true},
		{"Rook", "0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-3.scope\n", "containerd-shim", "/", hand.ManagerCommand, "", true},
	} {
		by, service, foreign := hand.RunBy(c.cgroups, c.parent, c.dir)
		if by != c.by || service != c.service || (foreign != "") != c.foreign {
			t.Errorf("%s: got %q %q %q", c.name, by, service, foreign)
		}
	}
}

func FuzzOSDOfCommand(f *testing.F) {
	f.Add("ceph-osd\x00-f\x00--id\x0012\x00--cluster=x")
	f.Fuzz(func(t *testing.T, line string) {
		if id, cluster := hand.OSDOfCommand(strings.Split(line, "\x00")); !strings.Contains(line, id) || cluster != "ceph" && !strings.Contains(line, cluster) {
			t.Errorf("%q tells %q of %q", line, id, cluster)
		}
	})
}
