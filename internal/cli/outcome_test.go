package cli_test

import (
	"context"
	"errors"

	"connectrpc.com/connect"

	gliav1 "glia/api/glia/v1"
)

func (s repairService) RecordOutcome(_ context.Context, r *connect.Request[gliav1.RecordOutcomeRequest]) (*connect.Response[gliav1.RecordOutcomeResponse], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.find(r.Msg.GetCaseId())
	switch {
	case err != nil:
		return nil, err
	case c.ClosedAt == nil:
		return nil, connect.NewError(connect.CodeFailedPrecondition, errors.New("case C-7 can have no outcome: the disk was not taken out yet"))
	}
	s.ask("outcome %s %s by %s: %s", c.Id, r.Msg.GetOutcome(), r.Msg.GetPerson(), r.Msg.GetComment())
	c.Outcome = r.Msg.GetOutcome()
	return answer(&gliav1.RecordOutcomeResponse{Case: c}), nil
}

func (s repairService) ScoreRules(context.Context, *connect.Request[gliav1.ScoreRulesRequest]) (*connect.Response[gliav1.ScoreRulesResponse], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := &gliav1.ScoreRulesResponse{}
	if len(s.cases) > 0 {
		out.Rules = []*gliav1.RuleScore{
			{Rule: "read-errors", Cases: 5, Bad: 3, FalseAlarms: 1, Unknown: 1, Precision: 0.75},
			{Rule: "slow", Cases: 1, Unknown: 1, Precision: -1},
		}
	}
	return answer(out), nil
}
