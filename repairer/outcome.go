package repairer

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"connectrpc.com/connect"

	gliav1 "glia/api/glia/v1"
)

// Outcome is what the workshop found out about a disk that was taken out.
type Outcome string

// The outcomes. WrongDisk says nothing about the disk that the case was for.
const (
	OutcomeBad        Outcome = "bad"
	OutcomeFalseAlarm Outcome = "false-alarm"
	OutcomeWrongDisk  Outcome = "wrong-disk"
)

// Outcomes are all of them.
var Outcomes = []Outcome{OutcomeBad, OutcomeFalseAlarm, OutcomeWrongDisk}

// MayHaveOutcome says why nothing can be told yet about the disk of a case; empty when it can. A case that
// was superseded took nothing out: its verdict cleared by itself.
func MayHaveOutcome(c Case) string {
	switch {
	case c.Phase == PhaseSuperseded:
		return "it was superseded: the verdict cleared by itself, and the disk was never taken out"
	case !c.Phase.Ended() && !c.Removed:
		return "it is " + string(c.Phase) + ", and the disk was not taken out yet"
	}
	return ""
}

// RecordOutcome notes what the workshop found out. A later outcome takes the place of an earlier one; the
// log keeps both.
func (s *Service) RecordOutcome(ctx context.Context, r *connect.Request[gliav1.RecordOutcomeRequest]) (*connect.Response[gliav1.RecordOutcomeResponse], error) {
	return settled(ctx, func() (*connect.Response[gliav1.RecordOutcomeResponse], error) { return s.recordOutcome(ctx, r) })
}

func (s *Service) recordOutcome(ctx context.Context, r *connect.Request[gliav1.RecordOutcomeRequest]) (*connect.Response[gliav1.RecordOutcomeResponse], error) {
	m := r.Msg
	outcome := Outcome(m.GetOutcome())
	switch {
	case m.GetPerson() == "":
		return nil, invalid("an outcome needs the name of the person")
	case !slices.Contains(Outcomes, outcome):
		return nil, invalid("outcome %q is not one of %s, %s, %s", outcome, OutcomeBad, OutcomeFalseAlarm, OutcomeWrongDisk)
	}
	c, err := s.engine.Store.Case(ctx, m.GetCaseId())
	if err != nil {
		return nil, fail(err)
	}
	if why := MayHaveOutcome(c); why != "" {
		return nil, refuse("case %s can have no outcome: %s", c.ID, why)
	}
	if c.Outcome != outcome || m.GetComment() != "" {
		text := fmt.Sprintf("%s, says %s", outcome, m.GetPerson())
		if m.GetComment() != "" {
			text += ": " + m.GetComment()
		}
		if c, err = s.engine.record(ctx, c, KindOutcome, "", text, Data{Outcome: outcome}); err != nil {
			return nil, fail(err)
		}
	}
	return connect.NewResponse(&gliav1.RecordOutcomeResponse{Case: caseToProto(c)}), nil
}

// Score is how often one rule was right.
type Score struct {
	Rule        string
	Cases       int // in whose verdict the rule spoke, and whose disk was taken out or has an outcome
	Bad         int
	FalseAlarms int
	Unknown     int // no outcome, or one that says nothing about the disk
}

// Precision is the share of true alarms among those of known outcome, from 0 to 1; negative when none is
// known.
func (s Score) Precision() float64 {
	known := s.Bad + s.FalseAlarms
	if known == 0 {
		return -1
	}
	return float64(s.Bad) / float64(known)
}

// ScoreCases counts the outcomes for every rule, by name. That a case was cancelled or superseded is no
// outcome: people cancel for want of a spare, and a cable fault clears by itself.
func ScoreCases(cases []Case) []Score {
	scores := map[string]*Score{}
	for _, c := range cases {
		if c.Outcome == "" && c.Phase != PhaseClosed && !c.Removed {
			continue
		}
		spoke := map[string]bool{}
		for _, r := range c.Verdict.Reasons {
			if spoke[r.Rule] {
				continue
			}
			spoke[r.Rule] = true
			s := scores[r.Rule]
			if s == nil {
				s = &Score{Rule: r.Rule}
				scores[r.Rule] = s
			}
			s.Cases++
			switch c.Outcome {
			case OutcomeBad:
				s.Bad++
			case OutcomeFalseAlarm:
				s.FalseAlarms++
			default:
				s.Unknown++
			}
		}
	}
	var out []Score
	for _, rule := range slices.Sorted(maps.Keys(scores)) {
		out = append(out, *scores[rule])
	}
	return out
}

// ScoreRules tells how often each rule was right.
func (s *Service) ScoreRules(ctx context.Context, _ *connect.Request[gliav1.ScoreRulesRequest]) (*connect.Response[gliav1.ScoreRulesResponse], error) {
	cases, err := s.engine.Store.Cases(ctx, true)
	if err != nil {
		return nil, fail(err)
	}
	out := &gliav1.ScoreRulesResponse{}
	for _, x := range ScoreCases(cases) {
		out.Rules = append(out.Rules, &gliav1.RuleScore{
			Rule: x.Rule, Cases: int32(x.Cases), Bad: int32(x.Bad), FalseAlarms: int32(x.FalseAlarms), Unknown: int32(x.Unknown), Precision: x.Precision(),
		})
	}
	return connect.NewResponse(out), nil
}
