package cli_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	gliav1 "glia/api/glia/v1"
	"glia/api/glia/v1/gliav1connect"
)

type repairService struct {
	gliav1connect.UnimplementedRepairServiceHandler
	*world
}

type fleetService struct {
	gliav1connect.UnimplementedFleetServiceHandler
	*world
}

// answer makes a response from a copy, so that it can be encoded while the world goes on.
func answer[T any, P interface {
	*T
	proto.Message
}](m P) *connect.Response[T] {
	return connect.NewResponse((*T)(proto.CloneOf(m)))
}

func notFound(format string, args ...any) error {
	return connect.NewError(connect.CodeNotFound, fmt.Errorf(format, args...))
}

func (s fleetService) ListFleetDisks(_ context.Context, r *connect.Request[gliav1.ListFleetDisksRequest]) (*connect.Response[gliav1.ListFleetDisksResponse], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := &gliav1.ListFleetDisksResponse{}
	for _, h := range s.hosts {
		if want := r.Msg.GetHost(); want == "" || want == h.Announcement.Host {
			out.Hosts = append(out.Hosts, h)
		}
	}
	// One host a page, whatever was asked for.
	if r.Msg.GetPageSize() > 0 {
		n := 0
		if r.Msg.GetPageToken() != "" {
			n = slices.IndexFunc(out.Hosts, func(h *gliav1.HostView) bool { return h.Announcement.Host == r.Msg.GetPageToken() }) + 1
		}
		rest := out.Hosts[n:]
		out.Hosts = rest[:min(1, len(rest))]
		if len(rest) > 1 {
			out.NextPageToken = rest[0].Announcement.Host
		}
	}
	return answer(out), nil
}

func (s fleetService) WatchFleet(_ context.Context, _ *connect.Request[gliav1.WatchFleetRequest], stream *connect.ServerStream[gliav1.WatchFleetResponse]) error {
	s.mu.Lock()
	m := proto.CloneOf(&gliav1.WatchFleetResponse{View: &gliav1.FleetView{Hosts: s.hosts}})
	s.mu.Unlock()
	return stream.Send(m)
}

func (s repairService) GetStatus(context.Context, *connect.Request[gliav1.GetStatusRequest]) (*connect.Response[gliav1.GetStatusResponse], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status.OpenCases, s.status.Pauses = s.sortedCases(false), s.pauses
	return answer(s.status), nil
}

func (s repairService) ListCases(_ context.Context, r *connect.Request[gliav1.ListCasesRequest]) (*connect.Response[gliav1.ListCasesResponse], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return answer(&gliav1.ListCasesResponse{Cases: s.sortedCases(r.Msg.GetAll())}), nil
}

func (s repairService) GetCase(_ context.Context, r *connect.Request[gliav1.GetCaseRequest]) (*connect.Response[gliav1.GetCaseResponse], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.find(r.Msg.GetId())
	if err != nil {
		return nil, err
	}
	return answer(&gliav1.GetCaseResponse{Case: c, Events: s.events[c.Id]}), nil
}

func (w *world) find(id string) (*gliav1.Case, error) {
	if c := w.cases[id]; c != nil {
		return c, nil
	}
	return nil, notFound("case %s: not found; did you mean C-7?", id)
}

func (s repairService) WatchCase(ctx context.Context, r *connect.Request[gliav1.WatchCaseRequest], stream *connect.ServerStream[gliav1.WatchCaseResponse]) error {
	sent, counted := -1, false
	defer func() {
		if counted {
			s.update(func() { s.watchers-- })
		}
	}()
	for {
		var m *gliav1.WatchCaseResponse
		err := s.until(ctx, func() bool {
			c, ok := s.cases[r.Msg.GetId()]
			if ok && (sent < len(s.events[c.Id])) {
				m = proto.CloneOf(&gliav1.WatchCaseResponse{Case: c, Events: s.events[c.Id][max(sent, 0):]})
				sent = len(s.events[c.Id])
				return true
			}
			return !ok
		})
		switch {
		case err != nil:
			return err
		case m == nil:
			return notFound("case %s: not found; did you mean C-7?", r.Msg.GetId())
		}
		if err := stream.Send(m); err != nil {
			return err
		}
		if m.Case.ClosedAt != nil {
			return nil
		}
		if !counted {
			counted = true
			s.update(func() { s.watchers++ })
		}
	}
}

func (s repairService) PlanRepair(_ context.Context, r *connect.Request[gliav1.PlanRepairRequest]) (*connect.Response[gliav1.PlanRepairResponse], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch r.Msg.GetSerial() {
	case "WD-F00D":
		return answer(&gliav1.PlanRepairResponse{Plan: s.cases["C-7"].Plan, Refusals: s.cases["C-7"].Refusals, Case: s.cases["C-7"], Hook: s.hook}), nil
	case "S3EV":
		return answer(&gliav1.PlanRepairResponse{Plan: &gliav1.Plan{Driver: "filesystem", Disk: s.hosts[1].Disks[0].Disk, Obstacle: "the disk is protected: it carries /"}}), nil
	}
	return nil, notFound("disk %s: not found; did you mean WD-F00D?", r.Msg.GetSerial())
}

func (s repairService) Explain(_ context.Context, r *connect.Request[gliav1.ExplainRequest]) (*connect.Response[gliav1.ExplainResponse], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Msg.GetSerial() != "WD-F00D" {
		return nil, notFound("disk %s: not found; did you mean WD-F00D?", r.Msg.GetSerial())
	}
	c := s.cases["C-7"]
	return answer(&gliav1.ExplainResponse{
		Disk: s.hosts[0].Disks[0], Case: c, Refusals: c.Refusals,
		Lines: []string{"The disk is failing, so case C-7 was opened.", "The mode is propose: a person must approve the plan."},
	}), nil
}

func (s repairService) Approve(_ context.Context, r *connect.Request[gliav1.ApproveRequest]) (*connect.Response[gliav1.ApproveResponse], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.find(r.Msg.GetCaseId())
	if err != nil {
		return nil, err
	}
	if r.Msg.GetPlanHash() != c.Plan.Hash {
		err := connect.NewError(connect.CodeFailedPrecondition, errors.New("the plan of case C-7 has another hash: read it again"))
		d, detailErr := connect.NewErrorDetail(&gliav1.Refusal{Gate: "approval", Value: "hash " + r.Msg.GetPlanHash(), Limit: c.Plan.Hash, Until: "the plan is read again"})
		if detailErr != nil {
			return nil, detailErr
		}
		err.AddDetail(d)
		return nil, err
	}
	s.ask("approve %s %s by %s", c.Id, r.Msg.GetPlanHash(), r.Msg.GetPerson())
	c.Phase, c.WaitingFor = "draining", ""
	return answer(&gliav1.ApproveResponse{Case: c}), nil
}

func (s repairService) Cancel(_ context.Context, r *connect.Request[gliav1.CancelRequest]) (*connect.Response[gliav1.CancelResponse], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.find(r.Msg.GetCaseId())
	if err != nil {
		return nil, err
	}
	s.ask("cancel %s by %s: %s", c.Id, r.Msg.GetPerson(), r.Msg.GetReason())
	c.Phase, c.WaitingFor = "cancelled", ""
	return answer(&gliav1.CancelResponse{Case: c}), nil
}

func (s repairService) Unpark(_ context.Context, r *connect.Request[gliav1.UnparkRequest]) (*connect.Response[gliav1.UnparkResponse], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Msg.GetCaseId() != "C-7" {
		return nil, connect.NewError(connect.CodeFailedPrecondition, errors.New("case C-3 is neither parked nor halted"))
	}
	s.ask("unpark %s by %s: %s", r.Msg.GetCaseId(), r.Msg.GetPerson(), r.Msg.GetReason())
	return answer(&gliav1.UnparkResponse{Case: s.cases["C-7"]}), nil
}

func (s repairService) Pause(_ context.Context, r *connect.Request[gliav1.PauseRequest]) (*connect.Response[gliav1.PauseResponse], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	until := "resumed"
	if r.Msg.GetUntil() != nil {
		until = r.Msg.GetUntil().AsTime().Format(time.RFC3339)
	}
	s.ask("pause %s by %s until %s: %s", r.Msg.GetScope(), r.Msg.GetOwner(), until, r.Msg.GetReason())
	p := &gliav1.PauseEntry{Id: "P-9", Scope: r.Msg.GetScope(), Owner: r.Msg.GetOwner(), Reason: r.Msg.GetReason(), Since: timestamppb.New(now), Until: r.Msg.GetUntil()}
	s.pauses = append(s.pauses, p)
	return answer(&gliav1.PauseResponse{Pause: p}), nil
}

func (s repairService) Resume(_ context.Context, r *connect.Request[gliav1.ResumeRequest]) (*connect.Response[gliav1.ResumeResponse], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ask("resume %s by %s: %s", r.Msg.GetScope(), r.Msg.GetPerson(), r.Msg.GetReason())
	out := &gliav1.ResumeResponse{}
	var kept []*gliav1.PauseEntry
	for _, p := range s.pauses {
		if p.Scope == r.Msg.GetScope() {
			out.Ended = append(out.Ended, p)
		} else {
			kept = append(kept, p)
		}
	}
	s.pauses = kept
	return answer(out), nil
}

func (s repairService) ListTickets(_ context.Context, r *connect.Request[gliav1.ListTicketsRequest]) (*connect.Response[gliav1.ListTicketsResponse], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := &gliav1.ListTicketsResponse{}
	for _, t := range s.tickets {
		if r.Msg.GetAll() || t.Status != "closed" {
			out.Tickets = append(out.Tickets, t)
		}
	}
	return answer(out), nil
}

func (w *world) ticket(id string) (*gliav1.Ticket, error) {
	for _, t := range w.tickets {
		if t.Id == id {
			return t, nil
		}
	}
	return nil, notFound("ticket %s: not found", id)
}

func (s repairService) GetTicket(_ context.Context, r *connect.Request[gliav1.GetTicketRequest]) (*connect.Response[gliav1.GetTicketResponse], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.ticket(r.Msg.GetId())
	if err != nil {
		return nil, err
	}
	return answer(&gliav1.GetTicketResponse{Ticket: t}), nil
}

func (s repairService) ResolveTicket(_ context.Context, r *connect.Request[gliav1.ResolveTicketRequest]) (*connect.Response[gliav1.ResolveTicketResponse], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.ticket(r.Msg.GetId())
	if err != nil {
		return nil, err
	}
	s.ask("resolve %s %s by %s: %s", t.Id, r.Msg.GetResolution(), r.Msg.GetPerson(), r.Msg.GetComment())
	t.Status, t.Resolution = "resolved", r.Msg.GetResolution()
	return answer(&gliav1.ResolveTicketResponse{Ticket: t}), nil
}

func (s repairService) ResetBreaker(_ context.Context, r *connect.Request[gliav1.ResetBreakerRequest]) (*connect.Response[gliav1.ResetBreakerResponse], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.status.GetBreaker().GetTripped() {
		return nil, connect.NewError(connect.CodeFailedPrecondition, errors.New("the breaker has not tripped; there is nothing to reset"))
	}
	s.ask("reset breaker by %s: %s", r.Msg.GetPerson(), r.Msg.GetReason())
	s.status.Breaker = &gliav1.Breaker{}
	return answer(&gliav1.ResetBreakerResponse{Breaker: s.status.Breaker}), nil
}

func (s repairService) Locate(_ context.Context, r *connect.Request[gliav1.LocateRequest]) (*connect.Response[gliav1.LocateResponse], error) {
	if r.Msg.GetDisk() == "9" {
		return nil, connect.NewError(connect.CodeFailedPrecondition, errors.New("no locate light known for slot 9: the kernel knows no enclosure with it"))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ask("locate %s %s %t by %s", r.Msg.GetHost(), r.Msg.GetDisk(), r.Msg.GetOn(), r.Msg.GetPerson())
	return answer(&gliav1.LocateResponse{Host: r.Msg.GetHost(), Place: "enc0 slot 3", Serial: "WD-F00D", On: r.Msg.GetOn()}), nil
}

func (s repairService) ListGraveyard(context.Context, *connect.Request[gliav1.ListGraveyardRequest]) (*connect.Response[gliav1.ListGraveyardResponse], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := &gliav1.ListGraveyardResponse{}
	for _, c := range s.sortedCases(true) {
		if c.GetReplacement() != "" {
			out.Graves = append(out.Graves, &gliav1.Grave{Serial: c.GetSerial(), CaseId: c.GetId(), Host: c.GetHost(), Place: c.GetPlace(), At: c.GetClosedAt(), Outcome: c.GetOutcome()})
		}
	}
	return answer(out), nil
}

func (s repairService) ForgiveDisk(_ context.Context, r *connect.Request[gliav1.ForgiveDiskRequest]) (*connect.Response[gliav1.ForgiveDiskResponse], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Msg.GetSerial() != "WD-DEAD" {
		return nil, notFound("%s is not in the graveyard; see glia graveyard list", r.Msg.GetSerial())
	}
	s.ask("forgive %s by %s: %s", r.Msg.GetSerial(), r.Msg.GetPerson(), r.Msg.GetReason())
	return answer(&gliav1.ForgiveDiskResponse{}), nil
}

func (s repairService) WithdrawApproval(_ context.Context, r *connect.Request[gliav1.WithdrawApprovalRequest]) (*connect.Response[gliav1.WithdrawApprovalResponse], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.find(r.Msg.GetCaseId())
	if err != nil {
		return nil, err
	}
	s.ask("withdraw %s by %s: %s", c.Id, r.Msg.GetPerson(), r.Msg.GetReason())
	return answer(&gliav1.WithdrawApprovalResponse{Case: c}), nil
}
