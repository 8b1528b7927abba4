package repairer_test

import (
	"context"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"glia"
	gliav1 "glia/api/glia/v1"
	"glia/api/glia/v1/gliav1connect"
	"glia/internal/sim"
	"glia/repairer"
)

// serve gives the world's API over HTTP.
func (w *world) serve() gliav1connect.RepairServiceClient {
	_, h := gliav1connect.NewRepairServiceHandler(repairer.NewService(w.engine, w.tickets))
	s := httptest.NewServer(h)
	w.t.Cleanup(s.Close)
	return gliav1connect.NewRepairServiceClient(s.Client(), s.URL)
}

func wantCode(t *testing.T, err error, code connect.Code, text string) {
	t.Helper()
	if connect.CodeOf(err) != code || err == nil || !strings.Contains(err.Error(), text) {
		t.Errorf("got %v, want %s with %q", err, code, text)
	}
}

func TestService_ApprovalIsBoundToThePlan(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *repairer.Options) { o.Mode = repairer.ModePropose })
	api := w.serve()
	w.fail("node-1", "2")
	c := w.phase("N1S2", repairer.PhaseAwaitingApproval)
	approve := func(hash, person string) error {
		_, err := api.Approve(t.Context(), connect.NewRequest(&gliav1.ApproveRequest{CaseId: c.ID, PlanHash: hash, Person: person}))
		return err
	}
	wantCode(t, approve("000000000000", "ann"), connect.CodeFailedPrecondition, "has the hash "+c.Plan.Hash())
	wantCode(t, approve(c.Plan.Hash(), ""), connect.CodeInvalidArgument, "name of the person")
	if err := approve(c.Plan.Hash(), "ann"); err != nil {
		t.Fatal(err)
	}
	// A fact that the plan binds changes before the repairer acts: the approval is void.
	w.fleet.Do("node-1", func(h *sim.Host) { h.Slots["2"].Mounted = "/elsewhere" })
	changed := w.until("N1S2", "planned anew", func(n repairer.Case) bool {
		return n.Plan.Hash() != c.Plan.Hash() && n.Phase == repairer.PhaseAwaitingApproval
	})
	w.ticks(10)
	if len(w.fleet.Acts()) > 0 {
		t.Fatalf("acts %v on an approval for another plan", w.fleet.Acts())
	}
	c = changed
	if err := approve(c.Plan.Hash(), "ann"); err != nil {
		t.Fatal(err)
	}
	c = w.phase("N1S2", repairer.PhaseAwaitingReplacement)
	if !strings.Contains(w.texts(c), "approved by ann") {
		t.Error("the log does not name who approved")
	}
	wantCode(t, approve(c.Plan.Hash(), "ann"), connect.CodeFailedPrecondition, "nothing left to approve")
}

func TestService_ObserveCanNotBeApproved(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *repairer.Options) { o.Mode = repairer.ModeObserve })
	w.fail("node-1", "2")
	c := w.until("N1S2", "held", func(c repairer.Case) bool { return len(c.Refusals) > 0 })
	_, err := w.serve().Approve(t.Context(), connect.NewRequest(&gliav1.ApproveRequest{CaseId: c.ID, PlanHash: c.Plan.Hash(), Person: "ann"}))
	wantCode(t, err, connect.CodeFailedPrecondition, "mode of node-1 is observe")
}

func TestService_PlanExecutesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	api := w.serve()
	orders := 0
	w.fleet.Fault = func(*gliav1.Order, bool) error { orders++; return nil }
	w.fleet.Do("node-1", func(h *sim.Host) { h.Slots["2"].Fail() }) // no tick: the engine stands still
	r, err := api.PlanRepair(t.Context(), connect.NewRequest(&gliav1.PlanRepairRequest{Serial: "N1S2"}))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range r.Msg.GetPlan().GetSteps() {
		names = append(names, s.GetName())
	}
	if want := []string{"drain", "unmount", "ticket", "swap", "inspect", "burn-in", "format", "mount", "rejoin", "settle", "close"}; !slices.Equal(names, want) {
		t.Errorf("steps %v", names)
	}
	if len(r.Msg.GetRefusals()) > 0 {
		t.Errorf("refusals %v", r.Msg.GetRefusals())
	}
	cases, _ := w.store.Cases(t.Context(), true)
	tickets, _ := w.tickets.Tickets(t.Context(), true)
	if orders+len(cases)+len(tickets) > 0 {
		t.Errorf("%d orders, %d cases, %d tickets", orders, len(cases), len(tickets))
	}
	_, err = api.PlanRepair(t.Context(), connect.NewRequest(&gliav1.PlanRepairRequest{Serial: "NOPE"}))
	wantCode(t, err, connect.CodeNotFound, "disk NOPE")
}

func TestService_Explain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	api := w.serve()
	why := func(serial string) string {
		r, err := api.Explain(t.Context(), connect.NewRequest(&gliav1.ExplainRequest{Serial: serial}))
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(r.Msg.GetLines(), "\n")
	}
	if got := why("N1S1"); !strings.Contains(got, "has no case, because its verdict is healthy") {
		t.Errorf("healthy: %s", got)
	}
	w.fleet.Do("node-1", func(h *sim.Host) { h.Slots["2"].Fail(); h.Slots["2"].Witnesses = []glia.EvidenceClass{glia.Media} })
	w.until("N1S2", "held", func(c repairer.Case) bool { return len(c.Refusals) > 0 })
	if got := why("N1S2"); !strings.Contains(got, "only media evidence speaks against the disk") || !strings.Contains(got, "glia approve c1 --hash") {
		t.Errorf("held back: %s", got)
	}
}

func TestService_PauseAndResume(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	api := w.serve()
	pause := func(p *gliav1.PauseRequest) error {
		_, err := api.Pause(t.Context(), connect.NewRequest(p))
		return err
	}
	wantCode(t, pause(&gliav1.PauseRequest{Scope: "rack:7", Owner: "o", Reason: "r"}), connect.CodeInvalidArgument, "want fleet, domain:NAME, host:NAME or disk:SERIAL")
	wantCode(t, pause(&gliav1.PauseRequest{Scope: "fleet", Owner: "o"}), connect.CodeInvalidArgument, "owner and a reason")
	wantCode(t, pause(&gliav1.PauseRequest{Scope: "fleet", Owner: "o", Reason: "r", Until: timestamppb.New(w.now.Add(-time.Second))}), connect.CodeInvalidArgument, "which is past")
	if err := pause(&gliav1.PauseRequest{Scope: "fleet", Owner: "o", Reason: "lunch", Until: timestamppb.New(w.now.Add(time.Hour))}); err != nil {
		t.Fatal(err)
	}
	s, err := api.GetStatus(t.Context(), connect.NewRequest(&gliav1.GetStatusRequest{}))
	if err != nil || len(s.Msg.GetPauses()) != 1 || len(s.Msg.GetHosts()) != 3 || s.Msg.GetEpoch() != w.store.Epoch() {
		t.Errorf("status %v, %v", s, err)
	}
	resume := func() error {
		_, err := api.Resume(t.Context(), connect.NewRequest(&gliav1.ResumeRequest{Scope: "fleet", Person: "o", Reason: "r"}))
		return err
	}
	if err := resume(); err != nil {
		t.Fatal(err)
	}
	wantCode(t, resume(), connect.CodeNotFound, "no pause of scope fleet")
}

func TestService_CancelAndUnpark(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	api := w.serve()
	w.fail("node-1", "2")
	c := w.phase("N1S2", repairer.PhaseAwaitingReplacement)
	_, err := api.Unpark(t.Context(), connect.NewRequest(&gliav1.UnparkRequest{CaseId: c.ID, Person: "ann", Reason: "r"}))
	wantCode(t, err, connect.CodeFailedPrecondition, "neither parked nor halted")
	_, err = api.Cancel(t.Context(), connect.NewRequest(&gliav1.CancelRequest{CaseId: c.ID, Person: "ann"}))
	wantCode(t, err, connect.CodeInvalidArgument, "a person and a reason")

	// Won't do parks the case; unparking gives the ticket back.
	if _, err := api.ResolveTicket(t.Context(), connect.NewRequest(&gliav1.ResolveTicketRequest{Id: c.Ticket, Resolution: "wont-do", Person: "tech"})); err != nil {
		t.Fatal(err)
	}
	w.phase("N1S2", repairer.PhaseParked)
	if _, err := api.Unpark(t.Context(), connect.NewRequest(&gliav1.UnparkRequest{CaseId: c.ID, Person: "ann", Reason: "spare has come"})); err != nil {
		t.Fatal(err)
	}
	w.tick() // from the outbox
	if tk, _ := w.tickets.Ticket(t.Context(), c.Ticket); tk.Status != repairer.TicketOpen {
		t.Errorf("ticket is %s", tk.Status)
	}
	// A pulled neighbour that will not come back is accepted by a person.
	w.fleet.Do("node-1", func(h *sim.Host) { delete(h.Slots, "3") })
	w.until("N1S2", "alarmed", func(c repairer.Case) bool { return c.Alarm != "" })
	if _, err := api.Unpark(t.Context(), connect.NewRequest(&gliav1.UnparkRequest{CaseId: c.ID, Person: "ann", Reason: "that one is dead too"})); err != nil {
		t.Fatal(err)
	}
	w.swap("node-1", "2", blank("NEW1"))
	w.until("N1S2", "accepted", func(c repairer.Case) bool { return c.Replacement != nil })
	_, err = api.Cancel(t.Context(), connect.NewRequest(&gliav1.CancelRequest{CaseId: c.ID, Person: "ann", Reason: "r"}))
	wantCode(t, err, connect.CodeFailedPrecondition, "NEW1 was accepted already")
	w.phase("N1S2", repairer.PhaseClosed)
}

func TestService_WatchStreamsToTheEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	api := w.serve()
	w.fail("node-1", "2")
	c := w.phase("N1S2", repairer.PhaseAwaitingReplacement)
	stream, err := api.WatchCase(t.Context(), connect.NewRequest(&gliav1.WatchCaseRequest{Id: c.ID}))
	if err != nil {
		t.Fatal(err)
	}
	var seqs []uint64
	phase := ""
	for stream.Receive() {
		phase = stream.Msg().GetCase().GetPhase()
		for _, e := range stream.Msg().GetEvents() {
			seqs = append(seqs, e.GetSeq())
		}
		if phase == "awaiting replacement" && w.fleetHas("N1S2") {
			w.swap("node-1", "2", blank("NEW1"))
			w.phase("N1S2", repairer.PhaseClosed) // what the stream has not sent yet is sent together
		}
	}
	if err := stream.Err(); err != nil || phase != "closed" {
		t.Errorf("ended in phase %s: %v", phase, err)
	}
	events, _ := w.store.Events(t.Context(), c.ID, 0)
	if len(seqs) != len(events) || !slices.IsSorted(seqs) {
		t.Errorf("%d events streamed, the log has %d", len(seqs), len(events))
	}
}

// lateStore answers with a case first, then closes it, and then tells its events.
type lateStore struct {
	repairer.Store
	between func()
}

func (s lateStore) Events(ctx context.Context, id string, after uint64) ([]repairer.Event, error) {
	s.between()
	return s.Store.Events(ctx, id, after)
}

func TestService_WatchTellsTheEndOfACaseThatEndsWhileItIsRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.fail("node-1", "2")
	c := w.phase("N1S2", repairer.PhaseAwaitingReplacement)
	inner := w.engine.Store
	w.engine.Store = lateStore{inner, sync.OnceFunc(func() {
		w.engine.Store = inner
		w.swap("node-1", "2", blank("NEW1"))
		w.phase("N1S2", repairer.PhaseClosed)
	})}
	stream, err := w.serve().WatchCase(t.Context(), connect.NewRequest(&gliav1.WatchCaseRequest{Id: c.ID}))
	if err != nil {
		t.Fatal(err)
	}
	var phases []string
	for stream.Receive() {
		phase, events := stream.Msg().GetCase().GetPhase(), stream.Msg().GetEvents()
		phases = append(phases, phase)
		if last := events[len(events)-1].GetKind(); (last == "ended") != (phase == "closed") {
			t.Errorf("the case as %s comes with events up to %q", phase, last)
		}
	}
	if want := []string{"awaiting replacement", "closed"}; stream.Err() != nil || !slices.Equal(phases, want) {
		t.Errorf("phases %q, %v; want %q", phases, stream.Err(), want)
	}
}

// fleetHas says whether a disk is still plugged in.
func (w *world) fleetHas(serial string) bool {
	_, err := w.fleet.Probe(w.t.Context(), "node-1", serial)
	return err == nil
}
