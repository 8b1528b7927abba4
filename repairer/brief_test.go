package repairer_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"glia/repairer"
)

// Between two looks a case that waits is kept without the steps of its plan. Whoever is asked about it
// before it starts gets all of it, and the verdict of that moment.
func TestEngine_AsksAboutTheWholePlanOfACaseThatHasWaited(t *testing.T) {
	t.Parallel()
	for _, restarted := range []bool{false, true} {
		asked := map[string]string{}
		tell := func(who string, p *repairer.Plan) {
			asked[who] = fmt.Sprint(p.Disk.Serial(), " ", len(p.Steps), " ", p.Hash())
		}
		w := newWorld(t, func(o *repairer.Options) {
			o.Drivers = map[string]repairer.Driver{"": scripted{
				do: func(repairer.Act) (repairer.Progress, error) { return repairer.Progress{Waits: "noout is set"}, nil },
				check: func(c repairer.Case, _ string, _ []repairer.Case) []repairer.Refusal {
					tell("storage", c.Plan)
					if !slices.Contains(c.Verdict.Witnesses(), "media") {
						t.Errorf("verdict %+v", c.Verdict)
					}
					return nil
				},
			}}
			o.Hook = func(_ context.Context, p repairer.Plan) string { tell("hook", &p); return "" }
		})
		if _, err := w.store.AddPause(t.Context(), repairer.Pause{Scope: "fleet", Owner: "ops", Reason: "r", Since: w.now}); err != nil {
			t.Fatal(err)
		}
		w.fail("node-1", "2")
		w.held("N1S2", repairer.GatePause)
		if restarted {
			w.open()
		}
		w.quiet("it is paused")
		if len(asked) > 0 {
			t.Fatalf("asked while it is paused: %v", asked)
		}
		if _, err := w.store.EndPauses(t.Context(), "fleet", "ops", "r", w.now); err != nil {
			t.Fatal(err)
		}
		c := w.phase("N1S2", repairer.PhaseDraining)
		want := fmt.Sprint("N1S2 4 ", c.Plan.Hash())
		if len(c.Plan.Steps) != 4 || asked["storage"] != want || asked["hook"] != want {
			t.Errorf("restarted %t: asked about %v, want %s", restarted, asked, want)
		}
	}
}
