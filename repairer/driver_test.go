package repairer_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"connectrpc.com/connect"

	"glia"
	gliav1 "glia/api/glia/v1"
	"glia/repairer"
)

// scripted is a storage driver whose answers a test sets.
type scripted struct {
	do    func(a repairer.Act) (repairer.Progress, error)
	check func(c repairer.Case, step string, others []repairer.Case) []repairer.Refusal
}

func (scripted) Name() string { return "scripted" }

func (scripted) Plan(d glia.Disk) repairer.Plan {
	return repairer.Plan{Driver: "scripted", Disk: d, Steps: []repairer.PlanStep{
		{Name: "note", Stage: repairer.StageDrain, Owner: "storage", Reversible: true},
		{Name: "move", Stage: repairer.StageDrain, Owner: "storage", Reversible: true},
		{Name: "destroy", Stage: repairer.StageRelease, Owner: "storage"},
		{Name: "put-back", Stage: repairer.StageRestore, Owner: "storage", Reversible: true},
	}}
}

func (s scripted) Do(_ context.Context, a repairer.Act) (repairer.Progress, error) { return s.do(a) }

func (s scripted) Check(_ context.Context, c repairer.Case, step string, others []repairer.Case) []repairer.Refusal {
	if s.check == nil {
		return nil
	}
	return s.check(c, step, others)
}

func withDriver(d repairer.Driver) func(*repairer.Options) {
	return func(o *repairer.Options) { o.Drivers = map[string]repairer.Driver{"": d} }
}

func TestEngine_KeepsWhatADriverNotedAcrossAKill(t *testing.T) {
	t.Parallel()
	var seen string
	w := newWorld(t, withDriver(scripted{do: func(a repairer.Act) (repairer.Progress, error) {
		switch a.Step.Name {
		case "note":
			return repairer.Progress{Done: true, Facts: map[string]string{"weight": "0.125"}}, nil
		case "put-back":
			seen = a.Case.Facts["weight"]
			return repairer.Progress{Done: true}, nil
		}
		return repairer.Progress{Waits: "noout is set"}, nil
	}}))
	w.fail("node-1", "2")
	c := w.until("N1S2", "waiting in move", func(c repairer.Case) bool { return c.Step("move").Waits })
	w.open()
	if _, err := w.store.Append(t.Context(), repairer.Event{Case: c.ID, At: w.now, Kind: repairer.KindCancel, Text: "anna: a test"}); err != nil {
		t.Fatal(err)
	}
	w.phase("N1S2", repairer.PhaseCancelled)
	if seen != "0.125" {
		t.Errorf("the undoing saw weight %q", seen)
	}
}

func TestEngine_TellsOfAWaitingStepOnceAndShowsItsProgress(t *testing.T) {
	t.Parallel()
	waits, text := "", "12 PGs left"
	w := newWorld(t, withDriver(scripted{do: func(a repairer.Act) (repairer.Progress, error) {
		return repairer.Progress{Done: a.Step.Name == "note", Waits: waits, Text: text}, nil
	}}))
	w.fail("node-1", "2")
	c := w.until("N1S2", "moving", func(c repairer.Case) bool { return c.Step("move").Begun })
	w.ticks(3)
	waits = "an operator has set noout"
	w.ticks(3)
	if c, _ = w.store.Case(t.Context(), c.ID); !strings.Contains(c.WaitingFor(), "noout") {
		t.Errorf("waiting for %q", c.WaitingFor())
	}
	waits, text = "", "7 PGs left"
	w.ticks(3)
	if c, _ = w.store.Case(t.Context(), c.ID); c.WaitingFor() != "" || w.engine.Progress(c.ID) != "7 PGs left" {
		t.Errorf("waiting for %q, progress %q", c.WaitingFor(), w.engine.Progress(c.ID))
	}
	log := w.texts(c)
	if strings.Count(log, "waits move") != 1 || strings.Count(log, "goes on move") != 1 || strings.Contains(log, "PGs left") {
		t.Errorf("log\n%s", log)
	}
}

func TestEngine_ProgressEndsWithTheStep(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		end  func(w *world, c repairer.Case) error // what the driver answers from then on
	}{
		{"an attempt fails", func(*world, repairer.Case) error { return errors.New("the monitor has left") }},
		{"the host is out of reach", func(*world, repairer.Case) error { return glia.ErrUnreachable }},
		{"a person pauses everything", func(w *world, _ repairer.Case) error {
			_, err := w.store.AddPause(t.Context(), repairer.Pause{Scope: "fleet", Owner: "ann", Reason: "a test", Since: w.now})
			return err
		}},
		{"a person cancels", func(w *world, c repairer.Case) error {
			_, err := w.serve().Cancel(t.Context(), connect.NewRequest(&gliav1.CancelRequest{CaseId: c.ID, Person: "ann", Reason: "a test"}))
			return err
		}},
	} {
		var fails error
		w := newWorld(t, withDriver(scripted{do: func(a repairer.Act) (repairer.Progress, error) {
			return repairer.Progress{Done: a.Step.Name == "note", Text: map[bool]string{true: "12 PGs left"}[a.Step.Name == "move"]}, fails
		}}))
		w.fail("node-1", "2")
		c := w.until("N1S2", "moving", func(c repairer.Case) bool { return w.engine.Progress(c.ID) != "" })
		fails = tt.end(w, c)
		w.ticks(3)
		if got := w.engine.Progress(c.ID); got != "" {
			t.Errorf("%s: the progress is still told as %q", tt.name, got)
		}
	}
}

func TestEngine_AsksTheStorageBeforeStartAndBeforeWhatCanNotBeTakenBack(t *testing.T) {
	t.Parallel()
	no := map[string]bool{"": true, "destroy": true}
	var others int
	w := newWorld(t, withDriver(scripted{
		do: func(a repairer.Act) (repairer.Progress, error) {
			return repairer.Progress{Done: a.Case.Serial() != "N2S2"}, nil
		},
		check: func(c repairer.Case, step string, o []repairer.Case) []repairer.Refusal {
			if c.Serial() == "N2S2" {
				return nil
			}
			others = len(o)
			if no[step] {
				return []repairer.Refusal{{Gate: repairer.GateStorage, Value: "2 PGs are undersized"}}
			}
			return nil
		},
	}))
	w.fail("node-2", "2")
	w.until("N2S2", "started", func(c repairer.Case) bool { return c.Started })
	w.fail("node-1", "2")
	held := func(c repairer.Case) bool {
		return len(c.Refusals) == 1 && c.Refusals[0].Gate == repairer.GateStorage
	}
	if c := w.until("N1S2", "held by the storage", held); c.Started || others != 1 {
		t.Errorf("started %v, %d others", c.Started, others)
	}
	no[""] = false
	c := w.until("N1S2", "held before destroy", func(c repairer.Case) bool { return c.Step("move").Done && held(c) })
	if w.ticks(3); w.texts(c) == "" || c.Step("destroy").Begun {
		t.Error("destroy was begun")
	}
	no["destroy"] = false
	w.phase("N1S2", repairer.PhaseAwaitingReplacement)
}
