package repairer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/sync/singleflight"

	"glia"
	"glia/api"
	gliav1 "glia/api/glia/v1"
	"glia/api/glia/v1/gliav1connect"
)

// Service is the repairer's API. Everything that changes something names the person who asked.
type Service struct {
	engine *Engine
	desk   Desk // nil when tickets are worked on elsewhere
	reads  singleflight.Group
}

var _ gliav1connect.RepairServiceHandler = (*Service)(nil)

// NewService makes the API of an engine. The desk may be nil.
func NewService(e *Engine, desk Desk) *Service { return &Service{engine: e, desk: desk} }

// fail maps an error to its Connect code.
func fail(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, glia.ErrNotFound):
		return connect.NewError(connect.CodeNotFound, err)
	case errors.Is(err, glia.ErrStaleEpoch), errors.Is(err, ErrMoved):
		return connect.NewError(connect.CodeAborted, err)
	case errors.Is(err, context.Canceled):
		return connect.NewError(connect.CodeCanceled, err)
	}
	return connect.NewError(connect.CodeInternal, err)
}

func invalid(format string, args ...any) error {
	return connect.NewError(connect.CodeInvalidArgument, fmt.Errorf(format, args...))
}

func refuse(format string, args ...any) error {
	return connect.NewError(connect.CodeFailedPrecondition, fmt.Errorf(format, args...))
}

// GetStatus is the one screen of an operator.
func (s *Service) GetStatus(ctx context.Context, _ *connect.Request[gliav1.GetStatusRequest]) (*connect.Response[gliav1.GetStatusResponse], error) {
	e := s.engine
	l, err := e.gather(ctx)
	if err != nil {
		return nil, fail(err)
	}
	st := e.statusOf(l)
	r := &gliav1.GetStatusResponse{
		Mode: string(e.Mode), Epoch: e.Store.Epoch(), ViewAt: api.TimeToProto(l.view.At), Findings: e.Findings(),
		Budgets: budgetsToProto(st.Budgets), Breaker: breakerToProto(st.Breaker), Storm: string(st.Storms.fleet()),
	}
	if u := st.Undelivered; u.Count > 0 || u.Problem != "" {
		r.Undelivered = &gliav1.Undelivered{Count: int32(u.Count), Oldest: api.TimeToProto(u.Oldest), Problem: u.Problem} //nolint:gosec // few a case
	}
	if l.facts.Stop != "" {
		r.Findings = append(r.Findings, "everything is stopped: "+l.facts.Stop)
	}
	if e.Troubles != nil {
		more, err := e.Troubles(ctx)
		if err != nil {
			return nil, fail(err)
		}
		r.Findings = append(r.Findings, more...)
	}
	if l.viewErr != nil {
		r.ViewProblem = l.viewErr.Error()
	}
	for _, h := range l.view.Hosts {
		r.Hosts = append(r.Hosts, hostSummary(h))
	}
	for _, c := range l.cases {
		shown := s.show(*c)
		shown.Plan = nil // most of it is not in memory; GetCase has it
		r.OpenCases = append(r.OpenCases, shown)
		if c.Alarm != "" {
			r.Findings = append(r.Findings, c.ID+": "+c.Alarm)
		} else if c.Parked != "" {
			r.Findings = append(r.Findings, c.ID+" needs a person: "+c.Parked)
		} else if late := e.escalated(*c); late != "" {
			r.Findings = append(r.Findings, late)
		}
	}
	for _, p := range l.facts.Pauses {
		r.Pauses = append(r.Pauses, pauseToProto(p))
	}
	return connect.NewResponse(r), nil
}

func hostSummary(h glia.HostView) *gliav1.HostSummary {
	a := h.Member.Announcement
	out := &gliav1.HostSummary{Host: a.Host, Status: string(h.Member.Status), Worst: api.StateToProto(a.Worst), DiskCount: int32(a.DiskCount), Problem: h.Problem}
	if h.Member.Problem != "" {
		out.Problem = h.Member.Problem
	}
	for _, d := range h.Disks {
		if d.Verdict.State.Bad() {
			out.Bad = append(out.Bad, d.Disk.Serial()+":"+d.Verdict.State.String())
		}
	}
	if len(out.Bad) == 0 {
		for _, b := range a.Bad {
			out.Bad = append(out.Bad, b.Device+":"+b.State.String())
		}
		out.More = int32(a.More)
	}
	return out
}

// show is the case with what is kept nowhere: how far its present step has come.
func (s *Service) show(c Case) *gliav1.Case {
	out := caseToProto(c)
	if !c.Phase.Ended() {
		out.Progress = s.engine.Progress(c.ID)
	}
	return out
}

// ListCases lists the open cases, or all.
func (s *Service) ListCases(ctx context.Context, r *connect.Request[gliav1.ListCasesRequest]) (*connect.Response[gliav1.ListCasesResponse], error) {
	cases, err := s.engine.Store.Cases(ctx, r.Msg.GetAll())
	if err != nil {
		return nil, fail(err)
	}
	out := &gliav1.ListCasesResponse{}
	for _, c := range cases {
		out.Cases = append(out.Cases, s.show(c))
	}
	return connect.NewResponse(out), nil
}

// GetCase is one case with its whole log.
func (s *Service) GetCase(ctx context.Context, r *connect.Request[gliav1.GetCaseRequest]) (*connect.Response[gliav1.GetCaseResponse], error) {
	c, events, err := s.caseAndEvents(ctx, r.Msg.GetId(), 0)
	if err != nil {
		return nil, fail(err)
	}
	return connect.NewResponse(&gliav1.GetCaseResponse{Case: s.show(c), Events: eventsToProto(events)}), nil
}

func (s *Service) caseAndEvents(ctx context.Context, id string, after uint64) (Case, []Event, error) {
	c, err := s.engine.Store.Case(ctx, id)
	if err != nil {
		return c, nil, err
	}
	events, err := s.engine.Store.Events(ctx, id, after)
	// What has come since the case was read comes with a case that has it.
	return c, slices.DeleteFunc(events, func(e Event) bool { return e.Seq > c.Seq }), err
}

// PlanRepair tells what a repair of the disk would do. It reads and computes only.
func (s *Service) PlanRepair(ctx context.Context, r *connect.Request[gliav1.PlanRepairRequest]) (*connect.Response[gliav1.PlanRepairResponse], error) {
	d, c, err := s.find(ctx, r.Msg.GetSerial())
	if err != nil {
		return nil, fail(err)
	}
	if c.ID == "" || c.Phase.Ended() {
		c = Case{Disk: d.Disk, Phase: PhaseOpened}
	}
	if !c.Started {
		plan, err := s.engine.plan(d.Disk, d.Verdict)
		if err != nil {
			return nil, fail(err)
		}
		c.Disk, c.Verdict, c.Plan, c.Mode = d.Disk, d.Verdict, &plan, plan.Mode
	}
	refusals, err := s.refusals(ctx, c)
	if err != nil {
		return nil, fail(err)
	}
	out := &gliav1.PlanRepairResponse{Plan: planToProto(c.Plan), Refusals: refusalsToProto(refusals)}
	if c.ID != "" {
		out.Case = s.show(c)
	}
	if e := s.engine; e.Hook != nil && !c.Started {
		in, err := hookInput(*c.Plan)
		if err != nil {
			return nil, fail(fmt.Errorf("write the plan for the hook: %w", err))
		}
		out.Hook = &gliav1.Hook{Command: e.HookCommand, Input: string(in)}
	}
	return connect.NewResponse(out), nil
}

// refusals are what holds a case back at this moment.
func (s *Service) refusals(ctx context.Context, c Case) ([]Refusal, error) {
	if c.Started {
		return c.Refusals, nil
	}
	l, err := s.engine.gather(ctx)
	if err != nil {
		return nil, err
	}
	return append(Gates(c, l.facts), s.engine.gatekeeper(ctx, c, "", l.cases)...), nil
}

// find looks a disk up in its case, in the fleet view, and last at all nerves.
func (s *Service) find(ctx context.Context, serial string) (glia.DiskStatus, Case, error) {
	c, err := s.engine.Store.LastCase(ctx, serial)
	if err != nil && !errors.Is(err, glia.ErrNotFound) {
		return glia.DiskStatus{}, c, err
	}
	view, viewErr := s.engine.Feed.View()
	for _, h := range view.Hosts {
		for _, d := range h.Disks {
			if d.Disk.Serial() == serial {
				return d, c, nil
			}
		}
	}
	for _, h := range view.Hosts {
		if h.Member.Status != glia.MemberAlive {
			continue
		}
		if d, err := s.engine.disk(ctx, h.Member.Announcement.Host, serial); err == nil {
			return d, c, nil
		}
	}
	if c.ID != "" {
		return glia.DiskStatus{Disk: c.Disk, Verdict: glia.Verdict{Why: "no nerve tells of this disk any more"}}, c, nil
	}
	if viewErr != nil {
		return glia.DiskStatus{}, c, viewErr
	}
	return glia.DiskStatus{}, c, fmt.Errorf("disk %s: %w on any host; see glia disks", serial, glia.ErrNotFound)
}

// Cancel starts the undoing of a case.
func (s *Service) Cancel(ctx context.Context, r *connect.Request[gliav1.CancelRequest]) (*connect.Response[gliav1.CancelResponse], error) {
	return settled(ctx, func() (*connect.Response[gliav1.CancelResponse], error) { return s.cancel(ctx, r) })
}

func (s *Service) cancel(ctx context.Context, r *connect.Request[gliav1.CancelRequest]) (*connect.Response[gliav1.CancelResponse], error) {
	m := r.Msg
	c, err := s.engine.Store.Case(ctx, m.GetCaseId())
	if err != nil {
		return nil, fail(err)
	}
	if m.GetReason() == "" || m.GetPerson() == "" {
		return nil, invalid("cancelling needs a person and a reason")
	}
	if why := Cancellable(c); why != "" {
		return nil, refuse("case %s can not be cancelled: %s", c.ID, why)
	}
	c, err = s.engine.record(ctx, c, KindCancel, "", fmt.Sprintf("%s: %s", m.GetPerson(), m.GetReason()), Data{})
	if err != nil {
		return nil, fail(err)
	}
	s.engine.Wake()
	return connect.NewResponse(&gliav1.CancelResponse{Case: s.show(c)}), nil
}

// Unpark lets a parked or halted case try again. What is on the host now becomes what a wrong pull is
// judged by.
func (s *Service) Unpark(ctx context.Context, r *connect.Request[gliav1.UnparkRequest]) (*connect.Response[gliav1.UnparkResponse], error) {
	return settled(ctx, func() (*connect.Response[gliav1.UnparkResponse], error) { return s.unpark(ctx, r) })
}

func (s *Service) unpark(ctx context.Context, r *connect.Request[gliav1.UnparkRequest]) (*connect.Response[gliav1.UnparkResponse], error) {
	m := r.Msg
	c, err := s.engine.Store.Case(ctx, m.GetCaseId())
	switch {
	case err != nil:
		return nil, fail(err)
	case m.GetReason() == "" || m.GetPerson() == "":
		return nil, invalid("unparking needs a person and a reason")
	case c.Parked == "" && c.Alarm == "":
		return nil, refuse("case %s is neither parked nor halted; it is %s", c.ID, c.Phase)
	}
	d := Data{}
	if c.Alarm != "" {
		disks, err := s.engine.Hosts.Disks(ctx, c.Host())
		if err != nil {
			return nil, fail(err)
		}
		d.Present = append(present(disks), c.Serial())
	}
	if c.Ticket != "" && !c.Step(StepClose).Begun { // glia may have closed it; then nothing is left for a person
		t, err := s.engine.Tracker.Ticket(ctx, c.Ticket)
		if err != nil || t.Status != TicketOpen {
			d.Tell, d.Reopen = m.GetPerson()+": "+m.GetReason(), true
		}
	}
	c, err = s.engine.record(ctx, c, KindUnparked, "", fmt.Sprintf("%s: %s", m.GetPerson(), m.GetReason()), d)
	if err != nil {
		return nil, fail(err)
	}
	s.engine.Wake()
	return connect.NewResponse(&gliav1.UnparkResponse{Case: s.show(c)}), nil
}

// Explain answers why a disk is in the state that it is in, and why it is repaired or not.
func (s *Service) Explain(ctx context.Context, r *connect.Request[gliav1.ExplainRequest]) (*connect.Response[gliav1.ExplainResponse], error) {
	d, c, err := s.find(ctx, r.Msg.GetSerial())
	if err != nil {
		return nil, fail(err)
	}
	out := &gliav1.ExplainResponse{Disk: api.DiskStatusToProto(d)}
	var refusals []Refusal
	if c.ID != "" {
		out.Case = s.show(c)
		if !c.Phase.Ended() {
			if refusals, err = s.refusals(ctx, c); err != nil {
				return nil, fail(err)
			}
		}
	}
	out.Refusals = refusalsToProto(refusals)
	out.Lines = explain(d, c, s.engine.States, s.engine.Now())
	if words := storageWords(s.engine.saidByStorage(d.Disk.Serial()), d.Verdict.At(s.engine.Now())); len(words) > 0 {
		out.Lines = slices.Insert(out.Lines, 1+len(d.Verdict.At(s.engine.Now()).Reasons), words...)
	}
	if !c.Phase.Ended() && !c.Started && c.Plan != nil {
		out.Lines = append(out.Lines, "The mode is "+modeWords(c.Plan)+".")
		if words := approvalWords(c); words != "" {
			out.Lines = append(out.Lines, "Plan "+c.Plan.Hash()+" is "+words+".")
		}
		if words := s.engine.hookWords(c); words != "" {
			out.Lines = append(out.Lines, words)
		}
	}
	if p := out.GetCase().GetProgress(); p != "" {
		out.Lines = append(out.Lines, "Progress: "+p+".")
	}
	return connect.NewResponse(out), nil
}

// storageWords tell what the storage has against a disk, and what that counts for.
func storageWords(said []glia.Reason, v glia.Verdict) []string {
	var out []string
	for _, r := range said {
		weight := "shown, and no witness"
		if r.State >= glia.StateFailing {
			weight = "a witness beside another one, and none alone"
			if len(v.Witnesses()) > 0 {
				weight = "seconds the verdict"
			}
		}
		out = append(out, fmt.Sprintf("Its storage says (%s; %s) at %s: %s", r.Class, weight, r.Evidence.At.UTC().Format(time.RFC3339), r.Evidence.Detail))
	}
	return out
}

// explain is the answer to why, in words.
func explain(d glia.DiskStatus, c Case, states []glia.State, now time.Time) []string {
	v := d.Verdict.At(now)
	lines := []string{fmt.Sprintf("%s is %s.", d.Disk, steady(v))}
	for _, r := range v.Reasons {
		lines = append(lines, fmt.Sprintf("Rule %s (%s) says %s since %s: %s", r.Rule, r.Class, r.State, r.Since.UTC().Format(time.RFC3339), r.Evidence.Detail))
	}
	switch {
	case c.ID == "":
		if open, why := ShouldOpen(d, states, now); !open {
			lines = append(lines, "It has no case, because "+why+".")
		} else {
			lines = append(lines, "It will get a case at the next look.")
		}
	case c.Phase.Ended():
		lines = append(lines, fmt.Sprintf("Its last case %s ended %s at %s.", c.ID, c.Phase, c.ClosedAt.UTC().Format(time.RFC3339)))
	default:
		line := fmt.Sprintf("Case %s is in phase %s", c.ID, c.Phase)
		if w := c.WaitingFor(); w != "" {
			line += ", held back by " + w
		}
		lines = append(lines, line+".")
	}
	return lines
}

// Pause stops new acts in a scope.
func (s *Service) Pause(ctx context.Context, r *connect.Request[gliav1.PauseRequest]) (*connect.Response[gliav1.PauseResponse], error) {
	m := r.Msg
	now := s.engine.Now()
	p := Pause{Scope: m.GetScope(), Owner: m.GetOwner(), Reason: m.GetReason(), Since: now, Until: api.TimeFromProto(m.GetUntil())}
	switch err := ParseScope(p.Scope); {
	case err != nil:
		return nil, invalid("%v", err)
	case p.Owner == "" || p.Reason == "":
		return nil, invalid("a pause needs an owner and a reason")
	case !p.Until.IsZero() && !p.Until.After(now):
		return nil, invalid("the pause would end at %s, which is past", p.Until.Format(time.RFC3339))
	}
	p, err := s.engine.Store.AddPause(ctx, p)
	if err != nil {
		return nil, fail(err)
	}
	s.engine.Wake()
	return connect.NewResponse(&gliav1.PauseResponse{Pause: pauseToProto(p)}), nil
}

// Resume ends the pauses of a scope.
func (s *Service) Resume(ctx context.Context, r *connect.Request[gliav1.ResumeRequest]) (*connect.Response[gliav1.ResumeResponse], error) {
	if err := ParseScope(r.Msg.GetScope()); err != nil {
		return nil, invalid("%v", err)
	}
	if r.Msg.GetPerson() == "" || r.Msg.GetReason() == "" {
		return nil, invalid("ending a pause needs a person and a reason")
	}
	ended, err := s.engine.Store.EndPauses(ctx, r.Msg.GetScope(), r.Msg.GetPerson(), r.Msg.GetReason(), s.engine.Now())
	if err != nil {
		return nil, fail(err)
	}
	if len(ended) == 0 {
		return nil, connect.NewError(connect.CodeNotFound, fmt.Errorf("no pause of scope %s is in force", r.Msg.GetScope()))
	}
	out := &gliav1.ResumeResponse{}
	for _, p := range ended {
		out.Ended = append(out.Ended, pauseToProto(p))
	}
	s.engine.Wake()
	return connect.NewResponse(out), nil
}
