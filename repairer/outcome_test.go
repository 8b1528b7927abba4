package repairer_test

import (
	"slices"
	"strings"
	"testing"

	"connectrpc.com/connect"

	"glia"
	gliav1 "glia/api/glia/v1"
	"glia/repairer"
)

func request[T any](m *T) *connect.Request[T] { return connect.NewRequest(m) }

func TestService_OutcomeIsKeptAfterTheEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	api := w.serve()
	record := func(id, outcome, person, comment string) (*gliav1.Case, error) {
		r, err := api.RecordOutcome(t.Context(), request(&gliav1.RecordOutcomeRequest{CaseId: id, Outcome: outcome, Person: person, Comment: comment}))
		if err != nil {
			return nil, err
		}
		return r.Msg.GetCase(), nil
	}
	w.fail("node-1", "2")
	c := w.phase("N1S2", repairer.PhaseAwaitingReplacement)
	_, err := record(c.ID, "bad", "ann", "")
	wantCode(t, err, connect.CodeFailedPrecondition, "the disk was not taken out yet")
	w.swap("node-1", "2", blank("NEW1"))
	c = w.phase("N1S2", repairer.PhaseClosed)

	_, err = record(c.ID, "broken", "ann", "")
	wantCode(t, err, connect.CodeInvalidArgument, `outcome "broken" is not one of bad, false-alarm, wrong-disk`)
	_, err = record(c.ID, "bad", "", "")
	wantCode(t, err, connect.CodeInvalidArgument, "name of the person")
	_, err = record("c99", "bad", "ann", "")
	wantCode(t, err, connect.CodeNotFound, "c99")

	got, err := record(c.ID, "false-alarm", "ann", "passed all tests")
	if err != nil || got.GetOutcome() != "false-alarm" || got.GetPhase() != "closed" || !got.GetClosedAt().AsTime().Equal(c.ClosedAt) {
		t.Fatalf("%v, %v", got, err)
	}
	if got, err = record(c.ID, "bad", "bob", "failed after a day"); err != nil || got.GetOutcome() != "bad" {
		t.Fatalf("%v, %v", got, err)
	}
	after, _ := w.store.Case(t.Context(), c.ID)
	if _, err := record(c.ID, "bad", "bob", ""); err != nil {
		t.Fatal(err)
	}
	if again, _ := w.store.Case(t.Context(), c.ID); again.Seq != after.Seq {
		t.Error("the same again is one more event")
	}
	if log := w.texts(c); !strings.Contains(log, "false-alarm, says ann: passed all tests") || !strings.Contains(log, "bad, says bob: failed after a day") {
		t.Errorf("log\n%s", log)
	}
	// Nothing else may follow the end.
	for _, k := range []repairer.Kind{repairer.KindBegun, repairer.KindParked, repairer.KindCancel, repairer.KindEnded} {
		if _, err := w.store.Append(t.Context(), repairer.Event{Case: c.ID, At: w.now, Kind: k}); err == nil {
			t.Errorf("%s was taken after the end", k)
		}
	}
	if open, _ := w.store.Cases(t.Context(), false); len(open) > 0 {
		t.Errorf("open again: %v", open)
	}
	r, err := api.ScoreRules(t.Context(), request(&gliav1.ScoreRulesRequest{}))
	if err != nil || len(r.Msg.GetRules()) != 2 || r.Msg.GetRules()[0].GetBad() != 1 || r.Msg.GetRules()[0].GetPrecision() != 1 {
		t.Errorf("%v, %v", r, err)
	}
}

func TestScoreCases_CountsWhatIsKnown(t *testing.T) {
	t.Parallel()
	c := func(p repairer.Phase, o repairer.Outcome, rules ...string) repairer.Case {
		out := repairer.Case{Phase: p, Outcome: o}
		for _, r := range rules {
			out.Verdict.Reasons = append(out.Verdict.Reasons, glia.Reason{Rule: r})
		}
		return out
	}
	out := c(repairer.PhaseAwaitingReplacement, "", "read")
	out.Removed = true
	cases := []repairer.Case{
		c(repairer.PhaseClosed, repairer.OutcomeBad, "read", "read", "smart"), // a rule counts once a case
		c(repairer.PhaseClosed, repairer.OutcomeBad, "read"),
		c(repairer.PhaseClosed, repairer.OutcomeFalseAlarm, "read"),
		c(repairer.PhaseClosed, repairer.OutcomeWrongDisk, "read"),
		c(repairer.PhaseClosed, "", "read", "slow"),
		c(repairer.PhaseCancelled, "", "read"),
		c(repairer.PhaseSuperseded, "", "read"),
		c(repairer.PhaseDraining, "", "read"),
		c(repairer.PhaseCancelled, repairer.OutcomeFalseAlarm, "smart"),
		out,
	}
	got := repairer.ScoreCases(cases)
	want := []repairer.Score{
		{Rule: "read", Cases: 6, Bad: 2, FalseAlarms: 1, Unknown: 3},
		{Rule: "slow", Cases: 1, Unknown: 1},
		{Rule: "smart", Cases: 2, Bad: 1, FalseAlarms: 1},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %+v", got)
	}
	for i, p := range []float64{2.0 / 3, -1, 0.5} {
		if got[i].Precision() != p {
			t.Errorf("%s: precision %v, want %v", got[i].Rule, got[i].Precision(), p)
		}
	}
}
