package ceph_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"glia/repairer/storage/ceph"
)

func recorded(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "pacific", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// must decodes a recorded answer.
func must[T any](t testing.TB, decode func([]byte) (T, error), name string) T {
	t.Helper()
	v, err := decode(recorded(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// lookRecorded is the look that the recorded answers make.
func lookRecorded(t testing.TB) ceph.Look {
	t.Helper()
	return ceph.Look{
		Status: must(t, ceph.DecodeStatus, "status"), Map: must(t, ceph.DecodeMap, "osd-dump"), Tree: must(t, ceph.DecodeTree, "osd-tree"),
		Rules: must(t, ceph.DecodeRules, "osd-crush-rule-dump"), Versions: must(t, ceph.DecodeVersions, "versions"), Usage: must(t, ceph.DecodeUsage, "osd-df"),
		Latency: must(t, ceph.DecodeLatency, "osd-perf"),
	}
}

func TestDecode_RecordedAnswers(t *testing.T) {
	t.Parallel()
	l := lookRecorded(t)
	if o := l.Map.OSDs[3]; !o.Up || !o.In || o.Weight != 1 || !o.Is("exists") || len(o.UUID) != 36 {
		t.Errorf("osd.3 is %+v", o)
	}
	if p := l.Map.Pools[0]; p.Name != "data" || p.Size != 3 || p.MinSize != 2 || p.PGs != 32 {
		t.Errorf("pool %+v", p)
	}
	if got := strings.Join(l.Tree.Place(3), " "); got != "root=default host=h3" {
		t.Errorf("osd.3 is at %q", got)
	}
	if r := l.Rules[0]; !r.Simple || r.Root != "default" || r.Domain != "host" {
		t.Errorf("rule %+v", r)
	}
	if u := l.Usage[3]; u.Total != 2<<20 || u.PGs == 0 {
		t.Errorf("usage %+v", u)
	}
	if l.Latency[3] != 87 || len(l.Versions) != 1 || !l.Status.MgrAvailable || l.Status.States["active+clean"] != l.Status.PGs {
		t.Errorf("latency %v, versions %v, status %+v", l.Latency, l.Versions, l.Status)
	}
	pgs := must(t, ceph.DecodePGs, "pg-ls")
	if len(pgs) != 3 || !pgs[0].Settled() || !pgs[0].Touches([]int{3}) || pgs[0].Reported == 0 || pgs[0].Bytes == 0 {
		t.Errorf("PGs %+v", pgs)
	}
	if busy := must(t, ceph.DecodeStatus, "status-during-backfill"); busy.States["active+recovering"] != 3 || busy.Checks["PG_DEGRADED"].Severity != "HEALTH_WARN" {
		t.Errorf("status %+v", busy)
	}
}

// Whatever a decision needs and is not there is an error, never a zero.
func TestDecode_RefusesAnswersThatLackWhatIsNeeded(t *testing.T) {
	t.Parallel()
	decoders := map[string]func([]byte) error{
		"status":              func(b []byte) error { _, err := ceph.DecodeStatus(b); return err },
		"osd-dump":            func(b []byte) error { _, err := ceph.DecodeMap(b); return err },
		"osd-tree":            func(b []byte) error { _, err := ceph.DecodeTree(b); return err },
		"osd-df":              func(b []byte) error { _, err := ceph.DecodeUsage(b); return err },
		"osd-perf":            func(b []byte) error { _, err := ceph.DecodeLatency(b); return err },
		"versions":            func(b []byte) error { _, err := ceph.DecodeVersions(b); return err },
		"pg-ls":               func(b []byte) error { _, err := ceph.DecodePGs(b); return err },
		"osd-crush-rule-dump": func(b []byte) error { _, err := ceph.DecodeRules(b); return err },
	}
	for _, tt := range []struct{ name, field string }{
		{"status", "fsid"}, {"status", "health"}, {"status", "quorum_names"}, {"status", "monmap"}, {"status", "mgrmap"}, {"status", "pgmap"},
		{"osd-dump", "epoch"}, {"osd-dump", "fsid"}, {"osd-dump", "osds"}, {"osd-dump", "backfillfull_ratio"},
		{"osd-tree", "nodes"}, {"osd-df", "nodes"}, {"osd-perf", "osdstats"}, {"versions", "overall"}, {"pg-ls", "pg_ready"},
	} {
		var doc map[string]any
		if err := json.Unmarshal(recorded(t, tt.name), &doc); err != nil {
			t.Fatal(err)
		}
		delete(doc, tt.field)
		b, _ := json.Marshal(doc)
		if err := decoders[tt.name](b); err == nil {
			t.Errorf("%s without %s is taken", tt.name, tt.field)
		}
	}
	for name, decode := range decoders {
		for _, b := range []string{"", "null", "{}", "[]", `"x"`, "{\"nodes\":[{}]}", "[{}]"} {
			if err := decode([]byte(b)); err == nil && !(name == "osd-crush-rule-dump" && (b == "[]" || b == "null")) {
				t.Errorf("%s: %q is taken", name, b)
			}
		}
	}
}

func TestSafeToDestroy_HasThreeAnswersAndNeverGuesses(t *testing.T) {
	t.Parallel()
	m := must(t, ceph.DecodeMap, "osd-dump")
	yes, no := string(recorded(t, "osd-safe-to-destroy-yes")), string(recorded(t, "osd-safe-to-destroy-no"))
	for _, tt := range []struct {
		name   string
		ids    []int
		answer string
		err    error
		want   ceph.Truth
	}{
		{"empty and safe", []int{3}, yes, nil, ceph.Yes},
		{"PGs are mapped to it", []int{3}, no, nil, ceph.No},
		{"PGs are stored on it", []int{3}, `{"safe_to_destroy":[],"active":[],"missing_stats":[],"stored_pgs":[3]}`, nil, ceph.No},
		{"no statistics", []int{3}, `{"safe_to_destroy":[],"active":[],"missing_stats":[3],"stored_pgs":[]}`, nil, ceph.Unknown},
		{"one of two only", []int{2, 3}, yes, nil, ceph.Unknown},
		{"one safe, one active", []int{2, 3}, `{"safe_to_destroy":[3],"active":[2],"missing_stats":[],"stored_pgs":[]}`, nil, ceph.No},
		{"an id that does not exist", []int{77}, `{"safe_to_destroy":[77],"active":[],"missing_stats":[],"stored_pgs":[]}`, nil, ceph.Unknown},
		{"no ids", nil, yes, nil, ceph.Unknown},
		{"the manager says try again", []int{3}, "", &ceph.CommandError{Errno: 11}, ceph.Unknown},
		{"no answer", []int{3}, yes, ceph.ErrSilent, ceph.Unknown},
		{"a field is missing", []int{3}, `{"safe_to_destroy":[3],"active":[],"stored_pgs":[]}`, nil, ceph.Unknown},
		{"an empty object", []int{3}, `{}`, nil, ceph.Unknown},
		{"nothing", []int{3}, ``, nil, ceph.Unknown},
	} {
		if got := ceph.SafeToDestroy(m, tt.ids, []byte(tt.answer), tt.err); got.Is != tt.want || tt.want != ceph.Yes && got.Why == "" {
			t.Errorf("%s: %s (%s), want %s", tt.name, got.Is, got.Why, tt.want)
		}
	}
	destroyed := m
	destroyed.OSDs = map[int]ceph.OSDState{3: {ID: 3, State: []string{"destroyed", "exists"}}}
	if got := ceph.SafeToDestroy(destroyed, []int{3}, []byte(yes), nil); got.Is != ceph.Unknown {
		t.Errorf("a destroyed OSD is %s", got.Is)
	}
}

func TestOkToStop_HasThreeAnswers(t *testing.T) {
	t.Parallel()
	m := must(t, ceph.DecodeMap, "osd-dump")
	no := recorded(t, "osd-ok-to-stop-no")
	for _, tt := range []struct {
		name   string
		ids    []int
		answer []byte
		err    error
		want   ceph.Truth
	}{
		{"it is", []int{3}, recorded(t, "osd-ok-to-stop-yes"), nil, ceph.Yes},
		{"it is not", []int{0, 1}, no, nil, ceph.No},
		{"it is not, with an error", []int{0, 1}, no, &ceph.CommandError{Errno: 16}, ceph.No},
		{"another error", []int{0, 1}, no, errors.New("x"), ceph.Unknown},
		{"of other OSDs", []int{2}, no, nil, ceph.Unknown},
		{"of one that does not exist", []int{77}, []byte(`{"ok_to_stop":true,"osds":[77],"num_not_ok_pgs":0}`), nil, ceph.Unknown},
		{"no JSON, as before Pacific", []int{3}, []byte("OSD(s) 3 are ok to stop"), nil, ceph.Unknown},
	} {
		if got := ceph.OkToStop(m, tt.ids, tt.answer, tt.err); got.Is != tt.want {
			t.Errorf("%s: %s (%s), want %s", tt.name, got.Is, got.Why, tt.want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, name := range []string{"status", "status-during-backfill", "osd-dump", "osd-tree", "osd-df", "osd-perf", "versions", "pg-ls", "osd-crush-rule-dump", "osd-ok-to-stop-no", "osd-safe-to-destroy-yes"} {
		f.Add(recorded(f, name))
	}
	m := must(f, ceph.DecodeMap, "osd-dump")
	f.Fuzz(func(t *testing.T, b []byte) {
		if tree, err := ceph.DecodeTree(b); err == nil {
			for id := range 5 {
				tree.Place(id)
				tree.Domain(id, "host")
			}
			tree.Under("default", "")
		}
		if pgs, err := ceph.DecodePGs(b); err == nil {
			for _, p := range pgs {
				p.Left()
				p.Settled()
			}
		}
		_, _ = ceph.DecodeStatus(b)
		_, _ = ceph.DecodeMap(b)
		_, _ = ceph.DecodeUsage(b)
		_, _ = ceph.DecodeLatency(b)
		_, _ = ceph.DecodeVersions(b)
		_, _ = ceph.DecodeRules(b)
		ceph.OkToStop(m, []int{3}, b, nil)
		if a := ceph.SafeToDestroy(m, []int{3}, b, nil); a.Is == ceph.Yes && !strings.Contains(string(b), "3") {
			t.Errorf("%s is taken for a yes about osd.3", b)
		}
	})
}
