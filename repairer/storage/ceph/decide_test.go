package ceph_test

import (
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"glia"
	gliav1 "glia/api/glia/v1"
	"glia/repairer"
	"glia/repairer/storage/ceph"
)

func TestUnfitness_NamesWhatIsAgainstIt(t *testing.T) {
	t.Parallel()
	osd := func(l *ceph.Look, id int, change func(*ceph.OSDState)) {
		l.Map.OSDs = maps.Clone(l.Map.OSDs)
		o := l.Map.OSDs[id]
		change(&o)
		l.Map.OSDs[id] = o
	}
	raised := func(name, severity string) func(*ceph.Look) {
		return func(l *ceph.Look) { l.Status.Checks = map[string]ceph.Check{name: {Severity: severity}} }
	}
	states := func(text string, n int) func(*ceph.Look) {
		return func(l *ceph.Look) { l.Status.States = map[string]int{"active+clean": l.Status.PGs - n, text: n} }
	}
	for _, tt := range []struct {
		name   string
		change func(*ceph.Look)
		policy ceph.Policy
		want   string // empty: nothing
	}{
		{"a healthy cluster", func(*ceph.Look) {}, ceph.Policy{}, ""},
		{"noout", func(l *ceph.Look) { l.Map.Flags = []string{"sortbitwise", "noout"} }, ceph.Policy{}, "noout"},
		{"noscrub says nothing about moving data", func(l *ceph.Look) { l.Map.Flags = []string{"noscrub", "nodeep-scrub"} }, ceph.Policy{}, ""},
		{"noout of its host", func(l *ceph.Look) { l.Map.NodeFlags = map[string][]string{"h3": {"noout"}} }, ceph.Policy{}, "noout of h3"},
		{"noout of another host", func(l *ceph.Look) { l.Map.NodeFlags = map[string][]string{"h1": {"noout"}} }, ceph.Policy{}, ""},
		{"noout of its class", func(l *ceph.Look) { l.Map.ClassFlags = map[string][]string{"hdd": {"noout"}} }, ceph.Policy{}, "noout of class hdd"},
		{"noup of itself", func(l *ceph.Look) { osd(l, 3, func(o *ceph.OSDState) { o.State = append(o.State, "noup") }) }, ceph.Policy{}, "noup of osd.3"},
		{"no manager", func(l *ceph.Look) { l.Status.MgrAvailable = false }, ceph.Policy{}, "no active manager"},
		{"a manager that knows half", func(l *ceph.Look) { l.Status.States = map[string]int{"active+clean": 3} }, ceph.Policy{}, "does not know the state"},
		{"a monitor away", func(l *ceph.Look) { l.Status.Mons = 3 }, ceph.Policy{}, "1 of 3 monitors"},
		{"a monitor away, allowed", func(l *ceph.Look) { l.Status.Mons = 3 }, ceph.Policy{Allow: []string{"MON_DOWN"}}, ""},
		{"Rook", func(l *ceph.Look) { l.Status.Modules = []string{"iostat", "rook"} }, ceph.Policy{}, "Rook"},
		{"cephadm", func(l *ceph.Look) { l.Status.Modules = []string{"cephadm"} }, ceph.Policy{}, "ceph orch osd rm"},
		{"an inactive PG", states("undersized+degraded+peered", 1), ceph.Policy{}, "undersized+degraded+peered"},
		{"a PG of which nobody tells", states("stale+active+clean", 1), ceph.Policy{}, "stale+active+clean"},
		{"none of that kind", states("stale+active+clean", 0), ceph.Policy{}, ""},
		{"unfound objects", func(l *ceph.Look) { l.Status.Unfound = 1 }, ceph.Policy{}, "unfound"},
		{"another OSD down", func(l *ceph.Look) { osd(l, 1, func(o *ceph.OSDState) { o.Up = false }) }, ceph.Policy{}, "osd.1 down"},
		{"another OSD down and out", func(l *ceph.Look) { osd(l, 1, func(o *ceph.OSDState) { o.Up, o.In = false, false }) }, ceph.Policy{}, ""},
		{"itself down", func(l *ceph.Look) { osd(l, 3, func(o *ceph.OSDState) { o.Up = false }) }, ceph.Policy{}, ""},
		{"an upgrade", func(l *ceph.Look) { l.Versions = map[string]int{"16.2.15": 3, "17.2.7": 1} }, ceph.Policy{}, "upgrade"},
		{"nearfull", raised("OSD_NEARFULL", "HEALTH_WARN"), ceph.Policy{}, "OSD_NEARFULL"},
		{"nearfull, allowed", raised("OSD_NEARFULL", "HEALTH_WARN"), ceph.Policy{Allow: []string{"OSD_NEARFULL"}}, ""},
		{"a latched alert", raised("BLUESTORE_SLOW_OP_ALERT", "HEALTH_WARN"), ceph.Policy{}, ""},
		{"the same, denied", raised("BLUESTORE_SLOW_OP_ALERT", "HEALTH_WARN"), ceph.Policy{Deny: []string{"BLUESTORE_SLOW_OP_ALERT"}}, "BLUESTORE_SLOW_OP_ALERT"},
		{"an error that nobody knows", raised("NEW_IN_THE_NEXT_RELEASE", "HEALTH_ERR"), ceph.Policy{}, "NEW_IN_THE_NEXT_RELEASE"},
		{"degraded by the drain itself", raised("PG_DEGRADED", "HEALTH_WARN"), ceph.Policy{}, ""},
	} {
		l := lookRecorded(t)
		if l.Status.PGs != 32 { // the recorded status is of a smaller cluster
			l.Status.PGs, l.Status.States = 32, map[string]int{"active+clean": 32}
		}
		tt.change(&l)
		r := ceph.Unfitness(l, []int{3}, tt.policy, false)
		switch {
		case tt.want == "" && len(r) > 0:
			t.Errorf("%s: %v", tt.name, r)
		case tt.want != "" && (len(r) == 0 || !strings.Contains(r[0].String(), tt.want)):
			t.Errorf("%s: %v, want %q", tt.name, r, tt.want)
		}
	}
}

// grid is a cluster of hosts h0… with two OSDs of 1000 KiB each, all used to the same share, and one pool.
func grid(hosts, size int, used uint64) (ceph.Look, []ceph.PG) {
	var nodes strings.Builder
	l := ceph.Look{
		Map:   ceph.Map{BackfillFull: 0.9, OSDs: map[int]ceph.OSDState{}, Pools: []ceph.Pool{{ID: 1, Name: "data", Size: size, MinSize: 2, PGs: 8}}},
		Rules: map[int]ceph.Rule{0: {Root: "default", Domain: "host", Simple: true}}, Usage: map[int]ceph.Usage{},
	}
	children := ""
	for h := range hosts {
		a, b := strconv.Itoa(2*h), strconv.Itoa(2*h+1)
		nodes.WriteString(`,{"id":-1` + strconv.Itoa(h) + `,"name":"h` + strconv.Itoa(h) + `","type":"host","children":[` + a + `,` + b + `]}`)
		children += `,-1` + strconv.Itoa(h)
		for id := 2 * h; id < 2*h+2; id++ {
			nodes.WriteString(`,{"id":` + strconv.Itoa(id) + `,"name":"osd.` + strconv.Itoa(id) + `","type":"osd","crush_weight":1.0,"device_class":"hdd"}`)
			l.Map.OSDs[id] = ceph.OSDState{ID: id, Up: true, In: true, Weight: 1, State: []string{"exists", "up"}}
			l.Usage[id] = ceph.Usage{ID: id, Total: 1000, Used: used, Data: used}
		}
	}
	var err error
	if l.Tree, err = ceph.DecodeTree([]byte(`{"nodes":[{"id":-1,"name":"default","type":"root","children":[` + children[1:] + `]}` + nodes.String() + `]}`)); err != nil {
		panic(err)
	}
	return l, []ceph.PG{{ID: "1.0", Pool: "1", State: "active+clean", Up: []int{0, 2, 4}, Acting: []int{0, 2, 4}, Objects: 1, Bytes: 100}}
}

func TestRoom_IsCountedPerFailureDomain(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		hosts   int
		size    int
		used    uint64
		leaving []int
		want    string
	}{
		{"plenty", 5, 3, 300, []int{0}, ""},
		{"full everywhere", 5, 3, 860, []int{0}, "% full"},
		{"room in total, but only its own host may take it", 3, 3, 500, []int{0}, "osd.1 would become 100% full, it is 50% full now"},
		{"the same with a host more", 4, 3, 500, []int{0}, ""},
		{"the whole host, and none to spare", 3, 3, 100, []int{0, 1}, "only 2 of type host"},
		{"the whole host, and one to spare", 4, 3, 100, []int{0, 1}, ""},
		{"one copy for each host", 3, 4, 100, []int{0}, "only 3 of type host"},
	} {
		l, pgs := grid(tt.hosts, tt.size, tt.used)
		pgs = append(pgs, ceph.PG{ID: "1.1", Pool: "1", State: "active+clean", Up: []int{1, 2, 4}, Acting: []int{1, 2, 4}, Objects: 1, Bytes: 100})
		r := ceph.Room(l, tt.leaving, pgs, 0.02)
		switch {
		case tt.want == "" && r != nil:
			t.Errorf("%s: %v", tt.name, r)
		case tt.want != "" && (r == nil || !strings.Contains(r.Value, tt.want)):
			t.Errorf("%s: %v, want %q", tt.name, r, tt.want)
		}
	}
	l, pgs := grid(5, 3, 300)
	l.Rules[0] = ceph.Rule{Root: "default", Domain: "host"}
	if r := ceph.Room(l, []int{0}, pgs, 0.02); r == nil || !strings.Contains(r.Value, "not known") {
		t.Errorf("a rule of an unknown form: %v", r)
	}
	pgs[0].Pool = "9"
	if r := ceph.Room(l, []int{0}, pgs, 0.02); r == nil || !strings.Contains(r.Value, "not known") {
		t.Errorf("a pool that is not in the map: %v", r)
	}
}

func TestDriver_PlansOnlyWhatItCanCarryThrough(t *testing.T) {
	t.Parallel()
	dr := ceph.New(nil, []ceph.Settings{{Name: "main", FSID: "F", HostName: "ceph"}}, time.Now, slog.New(slog.DiscardHandler))
	disk := func(osds ...glia.OSD) glia.Disk {
		return glia.Disk{Identity: glia.Identity{Serial: "S", Size: 1 << 40}, Location: glia.Location{Host: "h", Slot: "7", Device: "sdk"}, OSDs: osds}
	}
	block := func(id int) glia.OSD {
		return glia.OSD{ID: id, UUID: "U", Cluster: "F", Role: glia.RoleBlock, Mode: glia.ModeLVM, Device: "vg/lv", Size: 1 << 30}
	}
	with := func(d glia.Disk, change func(*glia.Disk)) glia.Disk { change(&d); return d }
	db := func(id int) glia.OSD {
		o := block(id)
		o.Role, o.Block, o.BlockSerial = glia.RoleDB, "vg/data", "D"+strconv.Itoa(id)
		return o
	}
	but := func(o glia.OSD, change func(*glia.OSD)) glia.OSD { change(&o); return o }
	raw := func(id, partition int) glia.OSD {
		return but(block(id), func(o *glia.OSD) { o.Mode, o.Partition = glia.ModeRaw, partition })
	}
	parts := func(numbers ...int) func(*glia.Disk) {
		return func(d *glia.Disk) {
			for _, n := range numbers {
				d.Partitions = append(d.Partitions, glia.Partition{Name: "sdk" + strconv.Itoa(n), Number: n})
			}
		}
	}
	for _, tt := range []struct {
		name  string
		disk  glia.Disk
		want  string // of the obstacle; empty: none
		units int
	}{
		{"one OSD", disk(block(3)), "", 1},
		{"no OSD", disk(), "no Ceph OSD", 1},
		{"two OSDs", disk(block(3), block(4)), "", 2},
		{"two OSDs on partitions", with(disk(raw(3, 1), raw(4, 2)), parts(1, 2)), "", 2},
		{"one OSD on a partition", with(disk(raw(3, 1)), parts(1)), "", 1},
		{"two OSDs of unknown size", disk(block(3), but(block(4), func(o *glia.OSD) { o.Size = 0 })), "how large the block of osd.4 is was not told", 2},
		{"two OSDs of two modes", disk(block(3), raw(4, 1)), "osd.3 is lvm and osd.4 is raw", 2},
		{"a partition beside the OSDs", with(disk(raw(3, 1), raw(4, 2)), parts(1, 2, 3)), "partition 3 is no part", 2},
		{"a DB device", disk(db(1), db(2), db(3)), "", 3},
		{"a DB device of a nerve that tells no block devices", disk(but(db(1), func(o *glia.OSD) { o.BlockSerial = "" })), "where its block device is was not told", 1},
		{"a DB and the WAL of the same OSD", disk(db(1), but(db(1), func(o *glia.OSD) { o.Role = glia.RoleWAL })), "", 1},
		{"raw and encrypted", disk(but(raw(3, 0), func(o *glia.OSD) { o.Encrypted = true })), "by hand: ceph osd out 3;", 1},
		{"another cluster", with(disk(block(3)), func(d *glia.Disk) { d.OSDs[0].Cluster = "G" }), "does not name", 1},
		{"two clusters", with(disk(block(3), block(4)), func(d *glia.Disk) { d.OSDs[1].Cluster = "G" }), "several clusters", 2},
		{"not everything is known", with(disk(block(3)), func(d *glia.Disk) { d.OSDs[0].Unknown = "the label can not be read" }), "label can not be read", 1},
		{"a filesystem beside it", with(disk(block(3)), func(d *glia.Disk) { d.Mounts = []glia.Mount{{Target: "/srv"}} }), "/srv", 1},
		{"its own LVM", with(disk(block(3)), func(d *glia.Disk) { d.Holders = []glia.Holder{{Name: "dm-3", Kind: "lvm"}} }), "", 1},
		{"an array on it", with(disk(block(3)), func(d *glia.Disk) { d.Holders = []glia.Holder{{Name: "md0", Kind: "md"}} }), "md0", 1},
		{"a volume group on a partition", with(disk(block(3)), parts(1)), "partition 1 is no part", 1},
	} {
		p := dr.Plan(tt.disk)
		if (p.Obstacle == "") != (tt.want == "") || !strings.Contains(p.Obstacle, tt.want) || p.Units != tt.units {
			t.Errorf("%s: obstacle %q, %d units", tt.name, p.Obstacle, p.Units)
		}
		if p.Obstacle == "" && p.Hash() != dr.Plan(tt.disk).Hash() {
			t.Errorf("%s: the same disk has two plans", tt.name)
		}
	}
	named := raw(3, 0)
	named.Device = "sdk"
	a := dr.Plan(disk(named))
	named.Device = "sdx"
	if b := dr.Plan(with(disk(named), func(d *glia.Disk) { d.Location.Device = "sdx" })); a.Hash() != b.Hash() {
		t.Error("the plan binds a kernel name")
	}
	i := slices.IndexFunc(a.Steps, func(s repairer.PlanStep) bool { return s.Name == "destroy" })
	if s := a.Steps[i]; s.Reversible || !slices.Contains(s.Commands, "ceph osd destroy 3") {
		t.Errorf("destroy is %+v", s)
	}
	set := dr.Plan(disk(db(1), db(2)))
	for step, want := range map[string][]string{
		"destroy": {"ceph osd safe-to-destroy 1 2", "ceph osd destroy 1", "ceph osd destroy 2"},
		"prepare": {"ceph-volume lvm prepare --osd-id 1 --data <vg/data> --block.db <a part of the new disk in slot 7>", "ceph-volume lvm prepare --osd-id 2 --data <vg/data> --block.db <a part of the new disk in slot 7>"},
	} {
		i := slices.IndexFunc(set.Steps, func(s repairer.PlanStep) bool { return s.Name == step })
		if got := set.Steps[i].Commands; !slices.Equal(got, want) {
			t.Errorf("%s of two OSDs is %q", step, got)
		}
	}
	for _, s := range a.Steps {
		if s.Order != nil && s.Order.Verb != gliav1.Verb_VERB_BURN_IN && (len(s.Order.OSDs) != 1 || s.Order.ClusterName != "ceph") {
			t.Errorf("the order of %s is %+v", s.Name, s.Order)
		}
	}
}

func TestCommand_WritesWeightsWithAPoint(t *testing.T) {
	t.Parallel()
	for w, want := range map[ceph.Weight]string{0: "0.0", 1: "1.0", 0.5: "0.5", 0.79998779296875: "0.79998779296875", 7.2774810791015625: "7.2774810791015625"} {
		b, err := ceph.Command{"prefix": "osd reweight", "id": 3, "weight": w}.JSON()
		if err != nil || !strings.Contains(string(b), `"weight":`+want+`}`) {
			t.Errorf("%s: %s, %v", want, b, err)
		}
	}
}
