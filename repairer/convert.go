package repairer

import (
	"glia/api"
	gliav1 "glia/api/glia/v1"
)

func caseToProto(c Case) *gliav1.Case {
	out := &gliav1.Case{
		Id: c.ID, Phase: string(c.Phase), Mode: string(c.Mode), Serial: c.Serial(), Host: c.Host(), Place: c.Disk.Location.Place(), WaitingFor: c.WaitingFor(),
		Disk: api.DiskToProto(c.Disk), Verdict: api.VerdictToProto(c.Verdict), Plan: planToProto(c.Plan), Ticket: c.Ticket, Alarm: c.Alarm,
		OpenedAt: api.TimeToProto(c.OpenedAt), UpdatedAt: api.TimeToProto(c.At), ClosedAt: api.TimeToProto(c.ClosedAt), Refusals: refusalsToProto(c.Refusals),
	}
	out.Outcome = string(c.Outcome)
	for _, a := range approvals(c) {
		out.Approvals = append(out.Approvals, &gliav1.Approval{Person: a.Person, Identity: a.Identity, At: api.TimeToProto(a.At)})
	}
	if c.Plan != nil && c.Plan.Mode == ModePropose && !c.Started && !c.Phase.Ended() {
		out.ApprovalsMissing = int32(missing(c)) //nolint:gosec // at most what the configuration says
	}
	if c.Replacement != nil {
		out.Replacement = c.Replacement.Serial()
	}
	return out
}

func planToProto(p *Plan) *gliav1.Plan {
	if p == nil {
		return nil
	}
	out := &gliav1.Plan{Hash: p.Hash(), Driver: p.Driver, Mode: string(p.Mode), Disk: api.DiskToProto(p.Disk), Warnings: p.Warnings, Obstacle: p.Obstacle,
		ModeWhy: p.ModeWhy, Approvals: int32(max(1, p.Approvals))} //nolint:gosec // as the configuration says
	for _, s := range p.Steps {
		if s.Stage != StageRestore { // what cancelling would do is not what the plan does
			out.Steps = append(out.Steps, &gliav1.PlanStep{Name: s.Name, Owner: s.Owner, Text: s.Text, Commands: s.Commands, Reversible: s.Reversible})
		}
		if s.Stage == StageRelease {
			out.Steps = append(out.Steps,
				&gliav1.PlanStep{Name: StepTicket, Owner: "tracker", Text: "switch the locate light on, if there is one, and file a ticket: safe to pull " + p.Disk.Serial() + " in " + p.Disk.Location.Place() + " of " + p.Disk.Location.Host},
				&gliav1.PlanStep{Name: "swap", Owner: "person", Text: "take out " + p.Disk.Serial() + ", put in a blank disk of at least " + FormatSize(p.Disk.Identity.Size)},
				&gliav1.PlanStep{Name: StepInspect, Owner: "hand", Reversible: true, Text: "inspect the new disk: other serial, same place, large enough, blank, healthy"})
		}
	}
	if p.Obstacle == "" {
		out.Steps = append(out.Steps,
			&gliav1.PlanStep{Name: StepSettle, Owner: "repairer", Reversible: true, Text: "wait until the new disk has stayed healthy and in use"},
			&gliav1.PlanStep{Name: StepClose, Owner: "tracker", Text: "close the ticket and the case"})
	}
	return out
}

func refusalsToProto(in []Refusal) []*gliav1.Refusal {
	var out []*gliav1.Refusal
	for _, r := range in {
		out = append(out, &gliav1.Refusal{Gate: r.Gate, Value: r.Value, Limit: r.Limit, Until: r.Until})
	}
	return out
}

func eventsToProto(in []Event) []*gliav1.Event {
	var out []*gliav1.Event
	for _, e := range in {
		out = append(out, &gliav1.Event{Seq: e.Seq, CaseId: e.Case, At: api.TimeToProto(e.At), Epoch: e.Epoch, Kind: string(e.Kind), Step: e.Step, Text: e.Text})
	}
	return out
}

func pauseToProto(p Pause) *gliav1.PauseEntry {
	return &gliav1.PauseEntry{Id: p.ID, Scope: p.Scope, Owner: p.Owner, Reason: p.Reason, Since: api.TimeToProto(p.Since), Until: api.TimeToProto(p.Until)}
}

func ticketToProto(t Ticket) *gliav1.Ticket {
	out := &gliav1.Ticket{
		Id: t.ID, CaseId: t.Case, Title: t.Title, Body: t.Body, Status: t.Status, Resolution: t.Resolution,
		CreatedAt: api.TimeToProto(t.CreatedAt), UpdatedAt: api.TimeToProto(t.UpdatedAt),
	}
	for _, c := range t.Comments {
		out.Comments = append(out.Comments, &gliav1.TicketComment{At: api.TimeToProto(c.At), Author: c.Author, Text: c.Text})
	}
	return out
}
