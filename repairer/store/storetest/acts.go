package storetest

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"glia"
	"glia/repairer"
)

// actsOfNoCase checks that what is changed for the whole fleet is in the log with the change, and that
// tables which say something else are noticed.
func actsOfNoCase(t *testing.T, b Backend) {
	s := b.open(t)
	c := must[repairer.Case](t)(s.Open(t.Context(), Opened("S1")))
	reset := repairer.Event{At: At, Kind: repairer.KindReset, Text: "reset by ann: looked into it", Data: repairer.Data{Person: "ann", Reason: "looked into it"}}
	if err := s.Set(t.Context(), "breaker", "shut", reset); err != nil {
		t.Fatal(err)
	}
	must[repairer.Pause](t)(s.AddPause(t.Context(), repairer.Pause{Scope: "fleet", Owner: "bob", Reason: "racks \x00 move", Since: At, Until: At.Add(time.Hour)}))
	must[repairer.Pause](t)(s.AddPause(t.Context(), repairer.Pause{Scope: "fleet", Owner: "eve", Reason: "network", Since: At}))
	must[[]repairer.Pause](t)(s.EndPauses(t.Context(), "fleet", "dan", "all is done", At))
	must[repairer.Pause](t)(s.AddPause(t.Context(), repairer.Pause{Scope: "host:a", Owner: "bob", Reason: "r", Since: At}))
	must[repairer.Case](t)(s.Append(t.Context(), Waits(c.ID, "for data")))

	var got []string
	if err := s.Export(t.Context(), func(line []byte) error {
		var e struct {
			Case, Kind string
			Data       struct{ Person, Reason string }
		}
		err := json.Unmarshal(line, &e)
		got = append(got, strings.TrimSpace(e.Case+" "+e.Kind+" "+e.Data.Person+" "+e.Data.Reason))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	want := []string{"c1 opened", "breaker reset ann looked into it", "paused bob racks \uFFFD move", "paused eve network",
		"resumed dan all is done", "resumed dan all is done", "paused bob r", "c1 waits"}
	if !slices.Equal(got, want) {
		t.Errorf("the log has\n%q, want\n%q", got, want)
	}
	wantWhole(t, s, 8)
	for _, tc := range []struct {
		do, undo string
		at       uint64
		problem  string
	}{
		{`UPDATE values_ SET value = 'open'`, `UPDATE values_ SET value = 'shut'`, 2, "the row of the breaker is not what event 2 says"},
		{`UPDATE values_ SET key = 'x'`, `UPDATE values_ SET key = 'breaker'`, 2, "the breaker is in the log up to event 2, and has no row"},
		{`UPDATE pauses SET ended_at = 1 WHERE id = 3`, `UPDATE pauses SET ended_at = 0 WHERE id = 3`, 7, "the row of pause p3 is not what event 7 says"},
		{`UPDATE pauses SET scope = 'host:b' WHERE id = 3`, `UPDATE pauses SET scope = 'host:a' WHERE id = 3`, 7, "pause p3"},
		{`UPDATE pauses SET ended_at = 0 WHERE id = 1`, `UPDATE pauses SET ended_at = 1 WHERE id = 1`, 5, "pause p1"},
	} {
		if err := b.Exec(tc.do); err != nil {
			t.Fatal(err)
		}
		if r, err := s.Verify(t.Context()); err != nil || r.BrokenAt != tc.at || !strings.Contains(r.Problem, tc.problem) {
			t.Errorf("%s: %+v, %v; want %d, %q", tc.do, r, err, tc.at, tc.problem)
		}
		if err := b.Exec(tc.undo); err != nil {
			t.Fatal(err)
		}
		wantWhole(t, s, 8)
	}
}

// forgives checks that a forgiven serial stays so whatever is noted about its old case, and no longer once
// the disk has failed again.
func forgives(t *testing.T, b Backend) {
	s := b.open(t)
	retired := func() []string { return must[[]string](t)(s.Retired(t.Context())) }
	forgive := func() error {
		return s.Forgive(t.Context(), "S1", repairer.Event{At: At, Kind: repairer.KindForgiven, Text: "repaired", Data: repairer.Data{Person: "ann", Reason: "repaired"}})
	}
	if err := forgive(); !errors.Is(err, glia.ErrNotFound) {
		t.Errorf("a serial that nobody retired: %v", err)
	}
	c := must[repairer.Case](t)(s.Open(t.Context(), Opened("S1")))
	must[repairer.Case](t)(s.Append(t.Context(), Ended(c.ID)))
	if got := retired(); !slices.Equal(got, []string{"S1"}) {
		t.Fatalf("retired %v", got)
	}
	if err := forgive(); err != nil || len(retired()) != 0 {
		t.Fatalf("forgiven: %v; still retired %v", err, retired())
	}
	if err := forgive(); !errors.Is(err, glia.ErrNotFound) {
		t.Errorf("forgiven twice: %v", err)
	}
	must[repairer.Case](t)(s.Append(t.Context(), repairer.Event{Case: c.ID, At: At, Kind: repairer.KindOutcome, Data: repairer.Data{Outcome: repairer.OutcomeBad}}))
	if got := retired(); len(got) != 0 {
		t.Errorf("an outcome that came late buries it again: %v", got)
	}
	c = must[repairer.Case](t)(s.Open(t.Context(), Opened("S1")))
	must[repairer.Case](t)(s.Append(t.Context(), Ended(c.ID)))
	if got := retired(); !slices.Equal(got, []string{"S1"}) {
		t.Errorf("it failed again: retired %v", got)
	}
	wantWhole(t, s, 6)
}

func pauses(t *testing.T, b Backend) {
	s := b.open(t)
	add := func(scope string, until time.Time) {
		must[repairer.Pause](t)(s.AddPause(t.Context(), repairer.Pause{Scope: scope, Owner: "ops", Reason: "r", Since: At, Until: until}))
	}
	add("fleet", time.Time{})
	add("fleet", At.Add(time.Hour))
	add("host:a", time.Time{})
	in := func(now time.Time) int { return len(must[[]repairer.Pause](t)(s.Pauses(t.Context(), now))) }
	if in(At) != 3 || in(At.Add(time.Hour)) != 2 {
		t.Errorf("%d now, %d in an hour", in(At), in(At.Add(time.Hour)))
	}
	ended, err := s.EndPauses(t.Context(), "fleet", "ops", "r", At)
	if err != nil || len(ended) != 2 || in(At) != 1 {
		t.Errorf("ended %v, %v; %d left", ended, err, in(At))
	}
}
