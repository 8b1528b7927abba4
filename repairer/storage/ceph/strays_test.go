package ceph_test

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"testing"
	"time"

	"glia"
	"glia/repairer/storage/ceph"
)

func TestStrays_AreWhereTheClusterAndTheDisksDoNotAgree(t *testing.T) {
	t.Parallel()
	l, _ := grid(3, 3, 100) // osd.0 and osd.1 on h0, and so on
	for id, o := range l.Map.OSDs {
		o.UUID = "U" + string(rune('0'+id))
		l.Map.OSDs[id] = o
	}
	disk := func(serial string, osds ...glia.OSD) glia.Disk {
		return glia.Disk{Identity: glia.Identity{Serial: serial}, Location: glia.Location{Host: "h"}, OSDs: osds}
	}
	osd := func(id int) glia.OSD {
		return glia.OSD{ID: id, UUID: "U" + string(rune('0'+id)), Cluster: "F", Role: glia.RoleBlock, Mode: glia.ModeRaw}
	}
	with := func(o glia.OSD, change func(*glia.OSD)) glia.OSD { change(&o); return o }
	host := func(ids ...int) []glia.Disk {
		out := []glia.Disk{}
		for _, id := range ids {
			out = append(out, disk("S", osd(id)))
		}
		return out
	}
	type world = map[string][]glia.Disk
	state := func(id int, change func(*ceph.OSDState)) func(*ceph.Look) {
		return func(l *ceph.Look) { o := l.Map.OSDs[id]; change(&o); l.Map.OSDs[id] = o }
	}
	for _, tt := range []struct {
		name   string
		h0     []glia.Disk
		change func(*ceph.Look)
		want   string // empty: nothing
	}{
		{"all is told", host(0, 1), nil, ""},
		{"an OSD of another cluster", append(host(0, 1), disk("X", with(osd(7), func(o *glia.OSD) { o.Cluster = "G" }))), nil, ""},
		{"an id that the map does not have", append(host(0, 1), disk("X", osd(7))), nil, "a part of osd.7 (U7) that the cluster does not know"},
		{"the disk of an OSD that was made anew", append(host(0, 1), disk("X", with(osd(1), func(o *glia.OSD) { o.UUID = "OLD" }))), nil, "a part of osd.1 (OLD)"},
		{"a DB alone is not its disk", []glia.Disk{disk("S", osd(0)), disk("D", with(osd(1), func(o *glia.OSD) { o.Role = glia.RoleDB }))}, nil, "osd.1 is up and on no disk that h0 tells"},
		{"up, and no disk", host(0), nil, "osd.1 is up and on no disk that h0 tells"},
		{"down, and no disk", host(0), state(1, func(o *ceph.OSDState) { o.Up = false }), "osd.1 is down and on no disk"},
		{"destroyed, and no disk", host(0), state(1, func(o *ceph.OSDState) { o.State = []string{"destroyed", "exists"} }), ""},
		{"a disk that can not be read", append(host(0), disk("X", glia.OSD{ID: -1, Unknown: "input/output error"})), nil, "1 of them can not be read"},
		{"a nerve that does not answer", nil, nil, "the disks of h0 are not known, because no nerve of that name answers: osd.0, osd.1"},
	} {
		l := l
		l.Map.OSDs = maps.Clone(l.Map.OSDs)
		if tt.change != nil {
			tt.change(&l)
		}
		got := ceph.Strays(l, "F", world{"h0": tt.h0, "h1": host(2, 3), "h2": host(4, 5)})
		switch {
		case tt.want == "" && len(got) > 0:
			t.Errorf("%s: %q", tt.name, got)
		case tt.want != "" && (len(got) != 1 || !strings.Contains(got[0], tt.want)):
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// watched is a cluster whose hosts' disks are read while something happens.
type watched struct {
	*attempts
	disks []glia.DiskStatus
}

func (w watched) Disks(context.Context, string) ([]glia.DiskStatus, error) {
	if w.during != nil {
		w.during()
	}
	return w.disks, nil
}

// An OSD that is made while the disks are read is no stray: who is told to make its disk blank would do so.
func TestSurvey_TellsNobodyToWipeAnOSDThatIsBeingMade(t *testing.T) {
	t.Parallel()
	for name, made := range map[string]bool{"made meanwhile": true, "not known": false} {
		w := watched{attempts: &attempts{canned: grown(t, 24)}}
		m := must(t, ceph.DecodeMap, "osd-dump")
		for id := range 24 {
			osd := glia.OSD{ID: id, UUID: m.OSDs[0].UUID, Cluster: m.FSID, Role: glia.RoleBlock, Mode: glia.ModeRaw}
			if id == 2 {
				osd.UUID = newUUID
			}
			w.disks = append(w.disks, glia.DiskStatus{Disk: glia.Disk{Identity: glia.Identity{Serial: fmt.Sprint("S", id)}, OSDs: []glia.OSD{osd}}})
		}
		w.say("exists", "destroyed")
		if made {
			w.during = func() { w.say("exists", "new") }
		}
		d := ceph.New(w, []ceph.Settings{{Name: "test", FSID: m.FSID, Cluster: w, Fresh: time.Hour}}, time.Now, slog.New(slog.DiscardHandler))
		found := strings.Join(d.Survey(t.Context()).Findings, "; ")
		if strings.Contains(found, "S2") == made {
			t.Errorf("%s: %s", name, found)
		}
	}
}

func TestMetadata_TellsOfADBThatNoDiskHas(t *testing.T) {
	t.Parallel()
	b := string(recorded(t, "osd-metadata"))
	if m, err := ceph.DecodeMetadata([]byte(b)); err != nil || m.DB || m.WAL || m.Host != "h1" {
		t.Errorf("%+v, %v", m, err)
	}
	m, err := ceph.DecodeMetadata([]byte(strings.Replace(b, `"bluefs_dedicated_db":"0"`, `"bluefs_dedicated_db":"1"`, 1)))
	if err != nil || !m.DB || m.WAL {
		t.Errorf("%+v, %v", m, err)
	}
	for _, wrong := range []string{"", "null", "{}", "[]", strings.Replace(b, "bluefs_dedicated_db", "x", 1), strings.Replace(b, `"bluestore"`, `"filestore"`, 1), strings.Replace(b, `"bluefs_dedicated_wal":"0"`, `"bluefs_dedicated_wal":0`, 1)} {
		if _, err := ceph.DecodeMetadata([]byte(wrong)); err == nil {
			t.Errorf("taken: %.60s", wrong)
		}
	}
}

func TestServed_CountsWhatClientsAskedOfTheOSD(t *testing.T) {
	t.Parallel()
	pg := func(primary int, acting []int) ceph.PG {
		return ceph.PG{Acting: acting, Primary: primary, Reads: 100, Writes: 7}
	}
	for name, tt := range map[string]struct {
		pgs  []ceph.PG
		want int64
	}{
		"no PG":                     {nil, 0},
		"it leads":                  {[]ceph.PG{pg(3, []int{3, 4, 5})}, 107},
		"it follows":                {[]ceph.PG{pg(4, []int{4, 3, 5})}, 7},
		"it is still to have it":    {[]ceph.PG{pg(4, []int{4, 5})}, 0},
		"it leads one of two":       {[]ceph.PG{pg(3, []int{3, 4, 5}), pg(4, []int{4, 3, 5})}, 114},
		"a release that tells none": {[]ceph.PG{pg(-1, []int{4, 3, 5})}, 7},
	} {
		if got := ceph.Served(tt.pgs, []int{3}); got != tt.want {
			t.Errorf("%s: %d, want %d", name, got, tt.want)
		}
	}
}
