package service_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"glia/synapse/service"
)

func ptr[T any](v T) *T { return &v }

// list makes backends of letters: a is host a; a2 has the id 2; a* has the label az=x.
func list(words string) (out []service.Backend) {
	for w := range strings.FieldsSeq(words) {
		b := service.Backend{Host: w[:1], Port: 80}
		switch rest := w[1:]; {
		case rest == "*":
			b.Labels = map[string]string{"az": "x"}
		case rest != "":
			b.ID = ptr(uint64(rest[0] - '0'))
		}
		out = append(out, b)
	}
	return out
}

func hosts(in []service.Backend) string {
	out := make([]string, 0, len(in))
	for _, b := range in {
		out = append(out, b.Host)
	}
	return strings.Join(out, " ")
}

func TestRules_Next(t *testing.T) {
	t.Parallel()
	type R = service.Rules
	x, y := service.Filter{Label: "az", Value: "x"}, service.Filter{Label: "az", Value: "x", Not: true}
	for _, c := range []struct {
		name  string
		rules R
		steps string // discoveries, ten seconds apart
		want  string // backends after each
		why   service.Reason
	}{
		{"what is found is used", R{}, "a b|b c", "a b|b c", service.Discovered},
		{"the first of two that are the same", R{}, "a b a", "a b", service.Discovered},
		{"nothing found, nothing kept", R{}, "a|", "a|", service.Nothing},
		{"nothing found, the last are kept", R{KeepPrevious: true}, "a||", "a|a|a", service.Previous},
		{"but not for ever", R{KeepPrevious: true, MaxStale: 15 * time.Second}, "a|||", "a|a|a|", service.Stale},
		{"the age counts from their loss", R{KeepPrevious: true, MaxStale: 5 * time.Second}, "a|", "a|a", service.Previous},
		{"nothing found, but defaults", R{Defaults: list("d"), KeepPrevious: true}, "a|", "a|d", service.Default},
		{"defaults beside what is found", R{Defaults: list("d a"), KeepDefaults: true}, "a|", "a d|d a", service.Default},
		{"by label", R{Filters: []service.Filter{x}}, "a* b", "a", service.Discovered},
		{"without label", R{Filters: []service.Filter{y}}, "a* b", "b", service.Discovered},
		{"all filters count", R{Filters: []service.Filter{x, y}}, "a* b", "", service.Nothing},
		{"the leader", R{Leader: true}, "c3 a1 b2", "a", service.Discovered},
		{"no leader without ids", R{Leader: true, KeepPrevious: true}, "a1|a1 b", "a|", service.NoLeader},
		{"a sudden loss waits", R{Panic: 50, PanicHold: 15 * time.Second}, "a b c d|a|a|a", "a b c d|a b c d|a b c d|a", service.Discovered},
		{"and is forgotten when they are back", R{Panic: 50, PanicHold: 15 * time.Second}, "a b c d|a|a b c d|a", "a b c d|a b c d|a b c d|a b c d", service.Sudden},
		{"half may be lost", R{Panic: 50, PanicHold: time.Minute}, "a b c d|a b", "a b c d|a b", service.Discovered},
		{"of two any may be lost", R{Panic: 10, PanicHold: time.Minute}, "a b|", "a b|", service.Nothing},
	} {
		var s service.State
		var why service.Reason
		var got []string
		for i, step := range strings.Split(c.steps, "|") {
			s, why, _ = c.rules.Next(s, list(step), time.Unix(int64(10*i), 0))
			got = append(got, hosts(s.Backends))
		}
		if g := strings.Join(got, "|"); g != c.want || why != c.why {
			t.Errorf("%s: %s (%s), want %s (%s)", c.name, g, why, c.want, c.why)
		}
	}
	s, _, _ := service.Rules{Port: 99}.Next(service.State{}, list("a"), time.Unix(0, 0))
	if s.Backends[0].Port != 99 {
		t.Errorf("port %d", s.Backends[0].Port)
	}
	_, _, wake := service.Rules{KeepPrevious: true, MaxStale: time.Minute}.Next(service.State{Backends: list("a"), Found: time.Unix(7, 0)}, nil, time.Unix(9, 0))
	if want := time.Unix(69, 0); !wake.Equal(want) {
		t.Errorf("to be asked again at %v, want %v", wake, want)
	}
}

func TestBackend_JSON(t *testing.T) {
	t.Parallel()
	in := service.Backend{Name: "n", Host: "h", Port: 1, ID: ptr(uint64(3)), Weight: ptr(0), Options: "o", Labels: map[string]string{"a": "b"}, ServerID: 4, Draining: true}
	b, err := json.Marshal(in)
	var out service.Backend
	if err == nil {
		err = json.Unmarshal(b, &out)
	}
	if err != nil || !out.Equal(in) || !service.SameSet([]service.Backend{in, {Host: "x"}}, []service.Backend{{Host: "x"}, out}) {
		t.Errorf("%s became %+v, %v", b, out, err)
	}
	changed := out
	changed.Weight = nil
	if service.SameSet([]service.Backend{in}, []service.Backend{changed}) {
		t.Error("another weight is the same")
	}
}
