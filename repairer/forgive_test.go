package repairer_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"connectrpc.com/connect"

	gliav1 "glia/api/glia/v1"
	"glia/internal/sim"
	"glia/repairer"
)

// A disk that its vendor has repaired comes back with the same serial.
func TestService_ForgivenDiskMayBeAReplacement(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	api := w.serve()
	forgive := func(serial, person, reason string) error {
		_, err := api.ForgiveDisk(t.Context(), connect.NewRequest(&gliav1.ForgiveDiskRequest{Serial: serial, Person: person, Reason: reason}))
		return err
	}
	w.fail("node-1", "2")
	w.phase("N1S2", repairer.PhaseAwaitingReplacement)
	w.fleet.Do("node-1", func(h *sim.Host) { delete(h.Slots, "2") })
	w.until("N1S2", "removed", func(c repairer.Case) bool { return c.Removed })
	wantCode(t, forgive("N1S2", "ann", "r"), connect.CodeFailedPrecondition, "N1S2 is under repair in case c1")
	w.swap("node-1", "2", blank("NEW1"))
	w.phase("N1S2", repairer.PhaseClosed)

	w.fail("node-2", "2")
	w.phase("N2S2", repairer.PhaseAwaitingReplacement)
	w.swap("node-2", "2", blank("N1S2"))
	w.until("N2S2", "rejected", func(c repairer.Case) bool { return c.Rejected != nil })
	list, err := api.ListGraveyard(t.Context(), connect.NewRequest(&gliav1.ListGraveyardRequest{}))
	if err != nil || len(list.Msg.GetGraves()) != 2 || list.Msg.GetGraves()[0].GetSerial() != "N1S2" || list.Msg.GetGraves()[0].GetCaseId() != "c1" {
		t.Fatalf("graveyard %v, %v", list, err)
	}
	wantCode(t, forgive("N1S2", "ann", ""), connect.CodeInvalidArgument, "a person and a reason")
	wantCode(t, forgive("NOPE", "ann", "r"), connect.CodeNotFound, "NOPE is not in the graveyard")
	if err := forgive("N1S2", "ann", "RMA 4711"); err != nil {
		t.Fatal(err)
	}
	if c := w.phase("N2S2", repairer.PhaseClosed); c.Replacement.Serial() != "N1S2" {
		t.Errorf("replaced by %s", c.Replacement.Serial())
	}
}

// What a person changes for the whole fleet is in the log that glia audit verifies and exports.
func TestService_ActsOfNoCaseAreAudited(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *repairer.Options) { o.Breakers = repairer.BreakerLimits{Window: 1e15, Openings: 1} })
	api := w.serve()
	w.fail("node-1", "2")
	w.fail("node-2", "2")
	w.until("N2S2", "there", func(repairer.Case) bool { return true })
	w.ticks(3)
	if _, err := api.ResetBreaker(t.Context(), connect.NewRequest(&gliav1.ResetBreakerRequest{Person: "ann", Reason: "two real ones"})); err != nil {
		t.Fatal(err)
	}
	if _, err := api.Pause(t.Context(), connect.NewRequest(&gliav1.PauseRequest{Scope: "fleet", Owner: "bob", Reason: "lunch"})); err != nil {
		t.Fatal(err)
	}
	_, err := api.Resume(t.Context(), connect.NewRequest(&gliav1.ResumeRequest{Scope: "fleet", Person: "bob"}))
	wantCode(t, err, connect.CodeInvalidArgument, "a person and a reason")
	if _, err := api.Resume(t.Context(), connect.NewRequest(&gliav1.ResumeRequest{Scope: "fleet", Person: "bob", Reason: "back"})); err != nil {
		t.Fatal(err)
	}
	stream, err := api.ExportAudit(t.Context(), connect.NewRequest(&gliav1.ExportAuditRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for stream.Receive() {
		var e struct {
			Case, Kind string
			Data       struct{ Person, Reason string }
		}
		if err := json.Unmarshal([]byte(stream.Msg().GetJson()), &e); err != nil {
			t.Fatal(err)
		}
		if e.Case == "" {
			got = append(got, strings.TrimSpace(e.Kind+" "+e.Data.Person+" "+e.Data.Reason))
		}
	}
	if want := []string{"breaker tripped", "breaker reset ann two real ones", "paused bob lunch", "resumed bob back"}; !slices.Equal(got, want) || stream.Err() != nil {
		t.Errorf("the log has %q (%v), want %q", got, stream.Err(), want)
	}
	v, err := api.VerifyAudit(t.Context(), connect.NewRequest(&gliav1.VerifyAuditRequest{}))
	if err != nil || v.Msg.GetProblem() != "" {
		t.Errorf("verify: %v, %v", v, err)
	}
}
