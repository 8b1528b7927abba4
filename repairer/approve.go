package repairer

import (
	"context"
	"fmt"
	"slices"

	"connectrpc.com/connect"

	gliav1 "glia/api/glia/v1"
)

// Approve notes that a person agrees to a plan. It goes on once as many have as it takes.
func (s *Service) Approve(ctx context.Context, r *connect.Request[gliav1.ApproveRequest]) (*connect.Response[gliav1.ApproveResponse], error) {
	return settled(ctx, func() (*connect.Response[gliav1.ApproveResponse], error) { return s.approve(ctx, r) })
}

func (s *Service) approve(ctx context.Context, r *connect.Request[gliav1.ApproveRequest]) (*connect.Response[gliav1.ApproveResponse], error) {
	m := r.Msg
	c, err := s.engine.Store.Case(ctx, m.GetCaseId())
	switch {
	case err != nil:
		return nil, fail(err)
	case m.GetPerson() == "":
		return nil, invalid("an approval needs the name of the person")
	case c.Started || c.Phase.Ended():
		return nil, refuse("case %s is %s; there is nothing left to approve", c.ID, c.Phase)
	case c.Plan == nil:
		return nil, refuse("case %s has no plan yet: %s", c.ID, c.WaitingFor())
	case m.GetPlanHash() != c.Plan.Hash():
		return nil, refuse("the plan of case %s has the hash %s, not %s: read glia plan %s again", c.ID, c.Plan.Hash(), m.GetPlanHash(), c.Serial())
	case c.Plan.Mode == ModeObserve:
		return nil, refuse("the mode of %s is %s, in which nothing is carried out: set mode to propose or auto first", c.Host(), modeWords(c.Plan))
	}
	a := Approval{Hash: c.Plan.Hash(), Person: m.GetPerson(), Identity: identity(ctx, m.GetOsUser()), At: s.engine.Now()}
	have := approvals(c)
	if i := slices.IndexFunc(have, a.samePerson); i >= 0 {
		switch was := have[i]; {
		case missing(c) == 0:
			return connect.NewResponse(&gliav1.ApproveResponse{Case: s.show(c)}), nil
		case a.Identity != "" && a.Identity == was.Identity:
			return nil, refuse("plan %s was approved by %s already, as %s, and %s must approve it", a.Hash, was.Person, was.Identity, morePersons(missing(c)))
		default:
			return nil, refuse("plan %s was approved by %s already, and %s must approve it", a.Hash, was.Person, morePersons(missing(c)))
		}
	}
	c, err = s.engine.record(ctx, c, KindApproved, "", "plan "+a.Hash+" approved by "+a.Person+asIdentity(a), Data{Approval: &a})
	if err != nil {
		return nil, fail(err)
	}
	s.engine.Wake()
	return connect.NewResponse(&gliav1.ApproveResponse{Case: s.show(c)}), nil
}

func asIdentity(a Approval) string {
	if a.Identity == "" {
		return ""
	}
	return " (" + a.Identity + ")"
}

// WithdrawApproval takes back what a person has approved, until the case starts.
func (s *Service) WithdrawApproval(ctx context.Context, r *connect.Request[gliav1.WithdrawApprovalRequest]) (*connect.Response[gliav1.WithdrawApprovalResponse], error) {
	return settled(ctx, func() (*connect.Response[gliav1.WithdrawApprovalResponse], error) { return s.withdrawApproval(ctx, r) })
}

func (s *Service) withdrawApproval(ctx context.Context, r *connect.Request[gliav1.WithdrawApprovalRequest]) (*connect.Response[gliav1.WithdrawApprovalResponse], error) {
	m := r.Msg
	c, err := s.engine.Store.Case(ctx, m.GetCaseId())
	a := Approval{Person: m.GetPerson(), Identity: identity(ctx, m.GetOsUser()), At: s.engine.Now()}
	switch {
	case err != nil:
		return nil, fail(err)
	case m.GetPerson() == "" || m.GetReason() == "":
		return nil, invalid("withdrawing an approval needs a person and a reason")
	case c.Started || c.Phase.Ended():
		return nil, refuse("case %s is %s, its approvals can not be withdrawn any more; see glia cancel", c.ID, c.Phase)
	case !slices.ContainsFunc(approvals(c), a.samePerson):
		return nil, refuse("%s has not approved the plan of case %s", a.Person, c.ID)
	}
	c, err = s.engine.record(ctx, c, KindWithdrawn, "", fmt.Sprintf("approval withdrawn by %s: %s", a.Person, m.GetReason()), Data{Approval: &a, Person: a.Person, Reason: m.GetReason()})
	if err != nil {
		return nil, fail(err)
	}
	s.engine.Wake()
	return connect.NewResponse(&gliav1.WithdrawApprovalResponse{Case: s.show(c)}), nil
}
