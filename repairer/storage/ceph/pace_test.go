package ceph_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"glia"
	"glia/repairer"
	"glia/repairer/storage/ceph"
)

func TestPace_LowersAndRaisesAsManyPGsAsThereIsRoomFor(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name                    string
		now                     ceph.Weight
		staying, moving, budget int
		want                    ceph.Weight
	}{
		{"all at once", 1, 8, 0, 16, 0},
		{"half of them", 1, 32, 0, 16, 0.5},
		{"half of what stays at half the weight", 0.5, 16, 0, 8, 0.25},
		{"no room", 1, 32, 16, 16, 1},
		{"more in motion than allowed", 1, 32, 40, 16, 1},
		{"too little room to be worth a map", 1, 32, 13, 16, 1},
		{"a quarter of the budget is", 1, 32, 12, 16, 0.875},
		{"the last ones are", 0.2, 2, 14, 16, 0},
		{"no PG at all", 1, 0, 0, 16, 0},
		{"no PG that stays", 0.4, 0, 16, 16, 0},
		{"next to nothing", 0.011, 4, 0, 3, 0},
		{"one at a time", 1, 4, 0, 1, 0.75},
	} {
		if got := ceph.Lower(tt.now, tt.staying, tt.moving, tt.budget); got != tt.want {
			t.Errorf("lower, %s: %v, want %v", tt.name, got, tt.want)
		}
	}
	for _, tt := range []struct {
		name                string
		now, goal           ceph.Weight
		pgs, moving, budget int
		want                ceph.Weight
	}{
		{"all at once", 0, 1, 8, 0, 16, 1},
		{"half of them", 0, 1, 32, 0, 16, 0.5},
		{"the rest", 0.5, 1, 32, 0, 16, 1},
		{"a goal below 1", 0, 0.5, 32, 0, 16, 0.25},
		{"no room", 0.5, 1, 32, 16, 16, 0.5},
		{"too little room to be worth a map", 0.5, 1, 32, 13, 16, 0.5},
		{"none to have", 0, 1, 0, 0, 16, 1},
	} {
		if got := ceph.Raise(tt.now, tt.goal, tt.pgs, tt.moving, tt.budget); got != tt.want {
			t.Errorf("raise, %s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// What was asked to move counts as moving until reports show it, or the quiet time is over.
func TestPace_CountsWhatNoReportShowsYet(t *testing.T) {
	t.Parallel()
	var c ceph.Course
	c.Changed(8, 20)
	for _, tt := range []struct {
		staying int
		heard   bool
		want    int
	}{{20, false, 8}, {15, false, 3}, {12, false, 0}, {10, false, 0}, {15, true, 0}} {
		if got := c.Unseen(tt.staying, tt.heard); got != tt.want {
			t.Errorf("%d stay: %d, want %d", tt.staying, got, tt.want)
		}
	}
	c.Changed(4, 15)
	if got := c.Unseen(15, false); got != 7 {
		t.Errorf("4 more, while 3 are not seen: %d", got)
	}
}

// Each letter is one quiet time: s for slow commits, f for fast ones, u for unknown ones.
func TestPace_BacksOffWhenClientsSuffer(t *testing.T) {
	t.Parallel()
	look := func(at time.Time, kind rune) ceph.Look {
		l := ceph.Look{At: at, Map: ceph.Map{OSDs: map[int]ceph.OSDState{}}, Latency: map[int]float64{}}
		for id := range 11 {
			l.Map.OSDs[id] = ceph.OSDState{Up: true}
			switch {
			case id == 0:
				l.Latency[id] = 1000 // the OSD itself has no say
			case kind == 's':
				l.Latency[id] = 150
			case kind == 'f':
				l.Latency[id] = 10
			}
		}
		if kind == 'u' {
			l.Latency = nil
		} else if kind == 'f' {
			l.Latency[1] = 900 // one of ten may be slow for its own reasons
		}
		return l
	}
	for _, tt := range []struct {
		name, kinds string
		limit       time.Duration
		want        string
	}{
		{"halved each time, down to one", "sssss", 100 * time.Millisecond, "8 4 2 1 1"},
		{"an eighth more when it is over", "ssfff", 100 * time.Millisecond, "8 4 6 8 10"},
		{"never more than configured", "fff", 100 * time.Millisecond, "16 16 16"},
		{"not watched", "sss", 0, "16 16 16"},
		{"unknown is not suffering", "uu", 100 * time.Millisecond, "16 16"},
	} {
		var c ceph.Course
		p := ceph.Pacing{PGs: 16, Latency: tt.limit, Quiet: time.Second}
		at := time.Unix(1000, 0)
		c.Allow(look(at, 'u'), []int{0}, p)
		got := ""
		for _, k := range tt.kinds {
			at = at.Add(p.Quiet)
			budget, suffering := c.Allow(look(at, k), []int{0}, p)
			got += fmt.Sprint(" ", budget)
			if suffering != (k == 's' && tt.limit > 0) {
				t.Errorf("%s: suffering is %v at %c", tt.name, suffering, k)
			}
		}
		if got[1:] != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got[1:], tt.want)
		}
	}
}

func TestPace_AdaptsTheTimeToGo(t *testing.T) {
	t.Parallel()
	var c ceph.Course
	at, left := time.Unix(1000, 0), int64(100_000_000)
	if eta := c.Measure(at, left, 9); eta != "" {
		t.Errorf("nothing is known yet, and it says %q", eta)
	}
	var said []string
	for _, step := range []int64{1_000_000, 1_000_000, 100_000, 100_000, 100_000, 100_000, 100_000, 100_000} {
		at, left = at.Add(time.Second), left-step
		said = append(said, strings.TrimSuffix(strings.TrimPrefix(c.Measure(at, left, 9), ", about "), " to go"))
	}
	if got := strings.Join(said, " "); got != "2m 2m 2m 2m 3m 3m 4m 5m" {
		t.Errorf("%s", got)
	}
	if eta := c.Measure(at.Add(time.Second), 0, 9); eta != "" {
		t.Errorf("nothing is left, and it says %q", eta)
	}
}

// slow is a cluster of canned answers whose OSDs commit as slowly as is said, and which keeps the weights
// that it is given.
type slow struct {
	canned
	ms      float64
	writes  int // of clients, of each PG
	weights []ceph.Weight
	answer  error // to a new weight, which is taken all the same
}

func (s *slow) Mon(ctx context.Context, cmd ceph.Command, in []byte) ([]byte, error) {
	if cmd["prefix"] == "osd reweight" {
		s.weights = append(s.weights, cmd["weight"].(ceph.Weight))
		return nil, s.answer
	}
	return s.canned.Mon(ctx, cmd, in)
}

func (s *slow) Mgr(ctx context.Context, cmd ceph.Command) ([]byte, error) {
	var doc []string
	switch cmd["prefix"] {
	case "osd perf":
		for id := range 24 {
			doc = append(doc, fmt.Sprintf(`{"id":%d,"perf_stats":{"commit_latency_ms":%g,"apply_latency_ms":0}}`, id, s.ms))
		}
		return []byte(`{"osdstats":{"osd_perf_infos":[` + strings.Join(doc, ",") + `]}}`), nil
	case "pg ls-by-osd":
		for n := range 40 {
			doc = append(doc, fmt.Sprintf(`{"pgid":"1.%x","state":"active+clean","reported_epoch":1000000,"up":[3,4,5],"acting":[3,4,5],"stat_sum":{"num_bytes":1048576,"num_objects":4,"num_write":%d}}`, n, s.writes))
		}
		return []byte(`{"pg_ready":true,"pg_stats":[` + strings.Join(doc, ",") + `]}`), nil
	}
	return s.canned.Mgr(ctx, cmd)
}

// suffering is a healthy cluster of 24 OSDs that are slow to commit, a driver on it with its clock, and the
// case of osd.3.
func suffering(t *testing.T) (*slow, *ceph.Driver, repairer.Case, *time.Time) {
	t.Helper()
	c := &slow{canned: grown(t, 24), ms: 300}
	m := must(t, ceph.DecodeMap, "osd-dump")
	var status map[string]any
	if err := json.Unmarshal(c.canned["status"], &status); err != nil {
		t.Fatal(err)
	}
	pgmap := status["pgmap"].(map[string]any)
	pgs := 0
	for _, p := range m.Pools {
		pgs += p.PGs
	}
	pgmap["num_pgs"], pgmap["pgs_by_state"] = pgs, []any{map[string]any{"state_name": "active+clean", "count": pgs}}
	c.canned["status"], _ = json.Marshal(status)
	now := time.Unix(1000, 0)
	dr := ceph.New(nil, []ceph.Settings{{
		Name: "test", FSID: m.FSID, HostName: "ceph", Cluster: c, Drains: 1, Pacing: ceph.Pacing{PGs: 16, Latency: 100 * time.Millisecond, Quiet: time.Second},
	}}, func() time.Time { return now }, slog.New(slog.DiscardHandler))
	d := glia.Disk{Identity: glia.Identity{Serial: "S"}, OSDs: []glia.OSD{{ID: 3, UUID: m.OSDs[0].UUID, Cluster: m.FSID, Role: glia.RoleBlock, Mode: glia.ModeRaw}}}
	p := dr.Plan(d)
	return c, dr, repairer.Case{ID: "c", Disk: d, Plan: &p, Started: true, Facts: map[string]string{
		"osd.3.crush_weight": "7.27", "osd.3.reweight": "1.0", "osd.3.goal": "1.0",
	}}, &now
}

// The label of a raw OSD names no DB: one whose DB disk is gone would be made again without it.
func TestDriver_RefusesAnOSDWhoseDBNoDiskTells(t *testing.T) {
	t.Parallel()
	c, dr, own, _ := suffering(t)
	metadata := string(recorded(t, "osd-metadata"))
	for _, tt := range []struct {
		name, answer, db, want string
	}{
		{"none", metadata, "", ""},
		{"one that is seen", strings.Replace(metadata, `dedicated_db":"0"`, `dedicated_db":"1"`, 1), "nvme0n1p3", ""},
		{"one that is not seen", strings.Replace(metadata, `dedicated_db":"0"`, `dedicated_db":"1"`, 1), "", "osd.3 has a DB on another device, and no disk of its host tells it"},
		{"a WAL that is not seen", strings.Replace(metadata, `dedicated_wal":"0"`, `dedicated_wal":"1"`, 1), "", "osd.3 has a WAL on another device"},
		{"not told", "{}", "", "whether osd.3 has a DB or WAL elsewhere is not known"},
	} {
		c.canned["osd metadata"] = []byte(tt.answer)
		own.Disk.OSDs = []glia.OSD{own.Disk.OSDs[0]}
		own.Disk.OSDs[0].DB = tt.db
		said := fmt.Sprint(dr.Check(t.Context(), own, "", nil))
		if got := strings.Contains(said, "DB") || strings.Contains(said, "WAL"); got != (tt.want != "") || !strings.Contains(said, tt.want) {
			t.Errorf("%s: %s, want %q", tt.name, said, tt.want)
		}
	}
}

// A new OSD that has all its PGs is waited for until it has served a client, or nobody has asked for long.
func TestDriver_RefillsUntilAClientIsServed(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		writes []int // of each PG, at each look, two seconds apart; the last one goes on
		looks  int
		want   string
	}{
		{"a client writes", []int{5, 5, 6}, 2, "has served 40 reads and writes"},
		{"nobody does", []int{5}, 4, "no client has asked it for anything since"},
	} {
		c, dr, own, now := suffering(t)
		for i := range 10 {
			c.writes = tt.writes[min(i, len(tt.writes)-1)]
			*now = now.Add(2 * time.Second)
			p, err := dr.Do(t.Context(), repairer.Act{Case: own, Step: repairer.PlanStep{Name: "refill"}, Epoch: 1})
			if err != nil || p.Refused != "" || p.Waits != "" {
				t.Fatalf("%s: %+v, %v", tt.name, p, err)
			}
			if p.Done {
				if i < tt.looks || !strings.Contains(p.Output, tt.want) {
					t.Errorf("%s: done at look %d: %s", tt.name, i, p.Output)
				}
				break
			}
			if i == 9 {
				t.Errorf("%s: never done: %s", tt.name, p.Text)
			}
		}
	}
}

func TestDriver_MovesNothingMoreWhileClientsSuffer(t *testing.T) {
	t.Parallel()
	c, dr, own, now := suffering(t)
	do := func() repairer.Progress {
		*now = now.Add(2 * time.Second)
		got, err := dr.Do(t.Context(), repairer.Act{Case: own, Step: repairer.PlanStep{Name: "drain"}, Epoch: 1})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	for range 3 {
		if got := do(); len(c.weights) > 0 || !strings.Contains(got.Text, "slow to commit") {
			t.Fatalf("at 300 ms: %+v, weights %v", got, c.weights)
		}
	}
	c.ms = 20
	if got := do(); len(c.weights) != 1 || strings.Contains(got.Text, "slow") {
		t.Fatalf("at 20 ms: %+v, weights %v", got, c.weights)
	}
	// Twice halved while it was slow (16, 8, 4), and one step up again (6): of 40 PGs.
	if want := ceph.Weight(1 - 6.0/40); c.weights[0] != want {
		t.Errorf("the weight is lowered to %v, want %v", c.weights[0], want)
	}
}

// A weight that was taken although the answer was lost has set its PGs in motion, and they are not counted yet.
func TestDriver_MovesNothingMoreUntilALostAnswerIsHeardOf(t *testing.T) {
	t.Parallel()
	c, dr, own, now := suffering(t)
	c.ms, c.answer = 20, ceph.ErrSilent
	*now = now.Add(2 * time.Second)
	do := func() repairer.Progress {
		got, err := dr.Do(t.Context(), repairer.Act{Case: own, Step: repairer.PlanStep{Name: "drain"}, Epoch: 1})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := do(); len(c.weights) != 1 || !strings.Contains(got.Waits, "does not answer") {
		t.Fatalf("%+v, weights %v", got, c.weights)
	}
	c.answer = nil
	var doc map[string]any
	if err := json.Unmarshal(c.canned["osd dump"], &doc); err != nil {
		t.Fatal(err)
	}
	doc["osds"].([]any)[3].(map[string]any)["weight"] = c.weights[0]
	doc["epoch"] = 2000000 // which no PG has reported from
	c.canned["osd dump"], _ = json.Marshal(doc)
	*now = now.Add(100 * time.Millisecond)
	if got := do(); len(c.weights) != 1 {
		t.Errorf("%+v, weights %v", got, c.weights)
	}
	*now = now.Add(2 * time.Second) // more than the quiet time
	if got := do(); len(c.weights) != 2 {
		t.Errorf("%+v, weights %v", got, c.weights)
	}
}
