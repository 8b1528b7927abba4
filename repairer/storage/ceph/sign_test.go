package ceph_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"glia"
	"glia/repairer/storage/ceph"
)

func TestSigns_AreWhatAClusterHasAgainstItsOSDs(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	pg := func(acting ...int) ceph.PG { return ceph.PG{Acting: acting} }
	health := func(check string, messages ...string) ceph.Symptoms {
		return ceph.Symptoms{Health: map[string][]string{check: messages}}
	}
	ends := func(in time.Duration) ceph.Symptoms {
		return ceph.Symptoms{Devices: []ceph.Device{{Name: "ACME_X1_S1", OSDs: []int{2}, Expects: now.Add(in)}, {Name: "ACME_X1_S2", OSDs: []int{3}}}}
	}
	const day = 24 * time.Hour
	for _, tt := range []struct {
		name   string
		s      ceph.Symptoms
		change func(*ceph.OSDState) // of osd.2
		osd    int                  // 0: no sign at all
		kind   ceph.SignKind
		strong bool
	}{
		{name: "a healthy cluster"},
		{name: "two boots: a restart and an upgrade", s: ceph.Symptoms{Boots: map[int]int{2: 2}}},
		{name: "three boots", s: ceph.Symptoms{Boots: map[int]int{2: 3}}, osd: 2, kind: ceph.Flapping, strong: true},
		{name: "taken for dead today", change: func(o *ceph.OSDState) { o.Laggy, o.DownAt = 0.66, now.Add(-time.Hour) }, osd: 2, kind: ceph.Flapping, strong: true},
		{name: "taken for dead long ago", change: func(o *ceph.OSDState) { o.Laggy, o.DownAt = 0.66, now.Add(-2*day) }},
		{name: "taken for dead once", change: func(o *ceph.OSDState) { o.Laggy, o.DownAt = 0.3, now.Add(-time.Hour) }},
		{name: "slow ops", s: health("SLOW_OPS", "3 slow ops, oldest one blocked for 37 sec, osd.2 has slow ops"), osd: 2, kind: ceph.SlowOps, strong: true},
		{name: "slow ops of a mon", s: health("SLOW_OPS", "1 slow ops, oldest one blocked for 37 sec, mon.a has slow ops")},
		{name: "slow ops of an OSD that is gone", s: health("SLOW_OPS", "osd.77 has slow ops")},
		{name: "a check that is not about disks", s: health("OSD_DOWN", "osd.2 is down")},
		{name: "reads repaired", s: health("OSD_TOO_MANY_REPAIRS", "osd.2 had 11 reads repaired"), osd: 2, kind: ceph.BadCopies, strong: true},
		{name: "a copy mended", s: ceph.Symptoms{Repaired: map[int]int{2: 1, 3: 0}}, osd: 2, kind: ceph.BadCopies},
		{name: "copies mended", s: ceph.Symptoms{Repaired: map[int]int{2: 3}}, osd: 2, kind: ceph.BadCopies, strong: true},
		{name: "one inconsistent PG may be anybody's", s: ceph.Symptoms{Inconsistent: []ceph.PG{pg(2, 3, 4)}}},
		{name: "two that share one OSD", s: ceph.Symptoms{Inconsistent: []ceph.PG{pg(2, 3, 4), pg(5, 2, 1)}}, osd: 2, kind: ceph.BadCopies, strong: true},
		{name: "two that share two", s: ceph.Symptoms{Inconsistent: []ceph.PG{pg(2, 3, 4), pg(3, 2, 1)}}},
		{name: "life ends in three weeks", s: ends(21 * day), osd: 2, kind: ceph.EndOfLife},
		{name: "life ends in five weeks", s: ends(35 * day)},
	} {
		l, _ := grid(3, 3, 100)
		l.At = now
		if tt.change != nil {
			o := l.Map.OSDs[2]
			tt.change(&o)
			l.Map.OSDs[2] = o
		}
		got := ceph.Signs(l, tt.s)
		switch {
		case tt.osd == 0 && len(got) > 0:
			t.Errorf("%s: %+v", tt.name, got)
		case tt.osd > 0 && (len(got) != 1 || got[0].OSD != tt.osd || got[0].Kind != tt.kind || got[0].Strong != tt.strong):
			t.Errorf("%s: %+v", tt.name, got)
		}
	}
}

func TestSays_HoldsSignsAgainstTheRightDisk(t *testing.T) {
	t.Parallel()
	l, _ := grid(2, 2, 100) // osd.0 and osd.1 on h0
	uuid := func(id int) string { return "U" + string(rune('0'+id)) }
	for id, o := range l.Map.OSDs {
		o.UUID = uuid(id)
		l.Map.OSDs[id] = o
	}
	part := func(id int, role glia.OSDRole) glia.OSD {
		return glia.OSD{ID: id, UUID: uuid(id), Cluster: "F", Role: role}
	}
	disk := func(serial string, osds ...glia.OSD) glia.Disk {
		return glia.Disk{Identity: glia.Identity{Serial: serial}, OSDs: osds}
	}
	own := []glia.Disk{disk("S0", part(0, glia.RoleBlock)), disk("S1", part(1, glia.RoleBlock)), disk("DB", part(0, glia.RoleDB), part(1, glia.RoleDB))}
	one := []glia.Disk{disk("TWO", part(0, glia.RoleBlock), part(1, glia.RoleBlock))}
	old := part(0, glia.RoleBlock)
	old.UUID = "before"
	sign := func(id int, kind ceph.SignKind) ceph.Sign {
		return ceph.Sign{OSD: id, Kind: kind, Words: string(kind), Strong: true}
	}
	for _, tt := range []struct {
		name  string
		disks []glia.Disk
		signs []ceph.Sign
		want  string // serials with the state of the reason, in order
	}{
		{"one OSD", own, []ceph.Sign{sign(0, ceph.SlowOps)}, "S0 failing"},
		{"all OSDs of a host hang, and they have a DB disk in common", own, []ceph.Sign{sign(0, ceph.SlowOps), sign(1, ceph.SlowOps)}, "DB failing"},
		{"both have bad copies", own, []ceph.Sign{sign(0, ceph.BadCopies), sign(1, ceph.BadCopies)}, "DB failing,S0 failing,S1 failing"},
		{"two OSDs of one disk", one, []ceph.Sign{sign(0, ceph.Flapping), sign(1, ceph.Flapping)}, "TWO failing"},
		{"another host does not matter", own, []ceph.Sign{sign(0, ceph.Flapping), sign(2, ceph.Flapping)}, "S0 failing"},
		{"an OSD that was made anew since", []glia.Disk{disk("S0", old)}, []ceph.Sign{sign(0, ceph.BadCopies)}, ""},
		{"a device of the OSD that ends", own, []ceph.Sign{{OSD: 0, Kind: ceph.EndOfLife, Device: "ACME_X1_DB"}}, "DB suspect"},
	} {
		var got []string
		for serial, reasons := range ceph.Says(l, "F", tt.signs, map[string][]glia.Disk{"h0": tt.disks}) {
			for _, r := range reasons {
				got = append(got, serial+" "+r.State.String())
				if r.Class != glia.Storage || r.Evidence.Detail == "" && tt.want != "DB suspect" {
					t.Errorf("%s: %+v", tt.name, r)
				}
			}
		}
		slices.Sort(got)
		if all := strings.Join(got, ","); all != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, all, tt.want)
		}
	}
}

func TestBoots_CountWhatWasSeenWithinADay(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	look := func(hour, upFrom int) ceph.Look {
		return ceph.Look{At: start.Add(time.Duration(hour) * time.Hour), Map: ceph.Map{OSDs: map[int]ceph.OSDState{3: {UpFrom: upFrom}}}}
	}
	for _, tt := range []struct {
		name  string
		looks []ceph.Look
		want  int
	}{
		{"the first look tells of none", []ceph.Look{look(0, 7)}, 0},
		{"nothing happens", []ceph.Look{look(0, 7), look(1, 7)}, 0},
		{"three times", []ceph.Look{look(0, 7), look(1, 9), look(2, 12), look(3, 15)}, 3},
		{"one was yesterday", []ceph.Look{look(0, 7), look(1, 9), look(26, 12), look(27, 15)}, 2},
		{"never up", []ceph.Look{look(0, 0), look(1, 0)}, 0},
	} {
		if got := ceph.Boots(tt.looks...)[3]; got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
}

func TestDecode_ReadsWhatSignsAreMadeOf(t *testing.T) {
	t.Parallel()
	h, err := ceph.DecodeHealth(recorded(t, "health-inconsistent"))
	if err != nil || !strings.Contains(strings.Join(h["PG_DAMAGED"], "\n"), "acting [2,3,0]") {
		t.Errorf("%v, %v", h, err)
	}
	if r, err := ceph.DecodeRepaired(recorded(t, "pg-dump-osds")); err != nil || len(r) != 4 {
		t.Errorf("%v, %v", r, err)
	}
	m, err := ceph.DecodeMap(recorded(t, "osd-dump-laggy"))
	if o := m.OSDs[2]; err != nil || o.UpFrom != 32 || o.Laggy < 0.65 || o.DownAt.IsZero() || !m.OSDs[1].DownAt.IsZero() {
		t.Errorf("%+v, %v", o, err)
	}
	// No device of the test bed has a serial: this is made by hand, after the manager's source.
	d, err := ceph.DecodeDevices([]byte(`[{"devid":"ACME_X1_S1","location":[{"host":"h0","dev":"sda","path":""}],"daemons":["mon.a","osd.3"],` +
		`"life_expectancy_min":"2026-12-01T00:00:00.000000+0000","life_expectancy_max":"2026-12-24T00:00:00.000000+0000"},{"devid":"ACME_X1_S2","daemons":[]}]`))
	if err != nil || len(d) != 2 || len(d[0].OSDs) != 1 || d[0].OSDs[0] != 3 || d[0].Expects.Month() != time.December || !d[1].Expects.IsZero() {
		t.Errorf("%+v, %v", d, err)
	}
	for what, decode := range map[string]func([]byte) error{
		"health":    func(b []byte) error { _, err := ceph.DecodeHealth(b); return err },
		"pg dump":   func(b []byte) error { _, err := ceph.DecodeRepaired(b); return err },
		"device ls": func(b []byte) error { _, err := ceph.DecodeDevices(b); return err },
	} {
		for _, wrong := range []string{"", "7", `[{}]`, `{"pg_ready":false,"osd_stats":[]}`, `{"osd_stats":[{}]}`} {
			if decode([]byte(wrong)) == nil {
				t.Errorf("%s: taken: %s", what, wrong)
			}
		}
	}
}

func FuzzDecodeSymptoms(f *testing.F) {
	f.Add([]byte(`{"checks":{"SLOW_OPS":{"summary":{"message":"osd.3 has slow ops"},"detail":[{"message":"osd.99999999999"}]}}}`))
	f.Add([]byte(`{"pg_ready":true,"osd_stats":[{"osd":3,"num_shards_repaired":4}]}`))
	f.Add([]byte(`[{"devid":"a_b_c","daemons":["osd.3"],"life_expectancy_max":"2026-12-24T00:00:00.000000+0000"}]`))
	f.Fuzz(func(_ *testing.T, b []byte) {
		var s ceph.Symptoms
		s.Health, _ = ceph.DecodeHealth(b)
		s.Repaired, _ = ceph.DecodeRepaired(b)
		s.Devices, _ = ceph.DecodeDevices(b)
		l, _ := grid(2, 2, 100)
		ceph.Signs(l, s)
	})
}
