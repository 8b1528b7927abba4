package repairer_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"connectrpc.com/connect"

	"glia"
	gliav1 "glia/api/glia/v1"
	"glia/repairer"
	"glia/repairer/store"
)

// meddled is a store into which somebody writes right before the engine does, or before it asks whether
// what it knows is current.
type meddled struct {
	*store.SQLite
	append  func(repairer.Event)
	current func(id string)
}

func (m *meddled) Append(ctx context.Context, events ...repairer.Event) (repairer.Case, error) {
	if m.append != nil {
		m.append(events[0])
	}
	return m.SQLite.Append(ctx, events...)
}

func (m *meddled) Current(ctx context.Context, id string, seq uint64) error {
	if m.current != nil {
		m.current(id)
	}
	return m.SQLite.Current(ctx, id, seq)
}

func newMeddledWorld(t *testing.T, change func(*repairer.Options)) (*world, *meddled) {
	t.Helper()
	m := &meddled{}
	return newWorld(t, func(o *repairer.Options) {
		if change != nil {
			change(o)
		}
		m.SQLite = o.Store.(*store.SQLite)
		o.Store = m
	}), m
}

// A person cancels in the instant between the look at the case and the act.
func TestEngine_DoesNotActOnACaseThatHasMovedOn(t *testing.T) {
	t.Parallel()
	cancel := func(t *testing.T, m *meddled, id string) {
		t.Helper()
		m.append, m.current = nil, nil
		if _, err := m.SQLite.Append(t.Context(), repairer.Event{Case: id, At: wnow, Kind: repairer.KindCancel, Text: "ann: no spare"}); err != nil {
			t.Error(err)
		}
	}
	t.Run("before a step begins", func(t *testing.T) {
		t.Parallel()
		w, m := newMeddledWorld(t, nil)
		m.append = func(e repairer.Event) {
			if e.Kind == repairer.KindBegun {
				cancel(t, m, e.Case)
			}
		}
		w.fail("node-1", "2")
		w.phase("N1S2", repairer.PhaseCancelled)
		if acts := w.fleet.Acts(); len(acts) != 0 {
			t.Errorf("%q were done after the case was cancelled", acts)
		}
	})
	t.Run("before a step goes on", func(t *testing.T) {
		t.Parallel()
		w, m := newMeddledWorld(t, nil)
		away := true
		w.fleet.Fault = func(*gliav1.Order, bool) error {
			if away {
				return fmt.Errorf("node-1: %w", glia.ErrUnreachable)
			}
			return nil
		}
		w.fail("node-1", "2")
		w.until("N1S2", "waiting for its host", func(c repairer.Case) bool { return c.Step("drain").Error != "" })
		away = false
		m.current = func(id string) { cancel(t, m, id) }
		w.phase("N1S2", repairer.PhaseCancelled)
		if acts := w.fleet.Acts(); slices.ContainsFunc(acts, func(a string) bool { return strings.HasPrefix(a, "drain") }) {
			t.Errorf("%q were done after the case was cancelled", acts)
		}
	})
}

// The case moves on while a person cancels it: the cancelling is weighed anew, and holds.
func TestService_WeighsAnewWhenTheCaseMovesOn(t *testing.T) {
	t.Parallel()
	w, m := newMeddledWorld(t, nil)
	w.fail("node-1", "2")
	c := w.phase("N1S2", repairer.PhaseAwaitingReplacement)
	moves := 0
	m.append = func(e repairer.Event) {
		if e.Kind == repairer.KindCancel && moves < 2 {
			moves++
			if _, err := m.SQLite.Append(t.Context(), repairer.Event{Case: e.Case, At: w.now, Kind: repairer.KindWaits, Step: "x", Text: "it moves"}); err != nil {
				t.Error(err)
			}
		}
	}
	s := repairer.NewService(w.engine, nil)
	if _, err := s.Cancel(t.Context(), connect.NewRequest(&gliav1.CancelRequest{CaseId: c.ID, Person: "ann", Reason: "no spare"})); err != nil || moves != 2 {
		t.Fatalf("after %d moves: %v", moves, err)
	}
	w.phase("N1S2", repairer.PhaseCancelled)
}

// What somebody else has written of cases that have ended counts at the next look.
func TestEngine_SeesWhatOthersHaveWrittenOfEndedCases(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *repairer.Options) { o.Breakers = repairer.BreakerLimits{Window: day, FalseAlarms: 2} })
	w.tick()
	for i := range 2 {
		at := repairer.Event{At: w.now, Kind: repairer.KindOpened, Data: repairer.Data{Disk: &glia.Disk{Identity: glia.Identity{Serial: fmt.Sprint("OLD", i)}}, Verdict: &glia.Verdict{}}}
		c, err := w.store.Open(t.Context(), at)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range []repairer.Event{{Kind: repairer.KindEnded, Data: repairer.Data{Phase: repairer.PhaseClosed}}, {Kind: repairer.KindOutcome, Data: repairer.Data{Outcome: repairer.OutcomeFalseAlarm}}} {
			w.tick()
			e.Case, e.At = c.ID, w.now
			if _, err := w.store.Append(t.Context(), e); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.swap("node-2", "0", blank("OLD1"))
	w.fail("node-2", "0") // so that the view has its detail
	w.fail("node-1", "2")
	c := w.held("N1S2", repairer.GateBreaker)
	if len(c.Refusals) == 0 || !strings.Contains(c.Refusals[0].Value, "2 false alarms") {
		t.Errorf("refusals %v", c.Refusals)
	}
	if f := strings.Join(w.engine.Findings(), "\n"); !strings.Contains(f, "OLD1 was taken out in case c2") {
		t.Errorf("a disk that was taken out is back, and the findings are\n%s", f)
	}
}

// The database falls back to an older state under the engine, as when a replica that lags takes over:
// what was known of the newer state counts no more.
func TestEngine_ForgetsWhatTheLogDoesNotHave(t *testing.T) {
	t.Parallel()
	w, m := newMeddledWorld(t, nil)
	newer := m.SQLite
	older, err := store.OpenSQLite(t.Context(), w.path+".older")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = older.Close() })
	w.fail("node-1", "2")
	w.phase("N1S2", repairer.PhaseAwaitingReplacement)
	m.SQLite, w.store = older, older
	w.swap("node-1", "2", blank("NEW1"))
	w.fail("node-2", "1")
	w.phase("N2S1", repairer.PhaseAwaitingReplacement)
	if cases, err := older.Cases(t.Context(), true); err != nil || len(cases) != 1 {
		t.Errorf("%d cases, %v", len(cases), err)
	}
	if err := newer.Close(); err != nil {
		t.Fatal(err)
	}
}
