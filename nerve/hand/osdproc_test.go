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

func FuzzOSDOfCommand(f *testing.F) {
	f.Add("ceph-osd\x00-f\x00--id\x0012\x00--cluster=x")
	f.Fuzz(func(t *testing.T, line string) {
		if id, cluster := hand.OSDOfCommand(strings.Split(line, "\x00")); !strings.Contains(line, id) || cluster != "ceph" && !strings.Contains(line, cluster) {
			t.Errorf("%q tells %q of %q", line, id, cluster)
		}
	})
}
