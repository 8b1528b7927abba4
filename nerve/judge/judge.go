// Package judge turns evidence about a disk into a verdict. It is pure: it reads no clock, no file and no
// device, so the same evidence always gives the same verdict and the same reasons.
//
// Each probe round is one step. A rule becomes active after fall bad rounds in a row and clears after rise good
// ones. A round in which its quantity was not observed, or only as unknown, moves no rule. A verdict is the
// worst active rule.
//
// Nothing is believed for longer than the expiry: an active rule whose quantity was not observed for that
// long no longer makes a disk bad, and does not let it be healthy either; the verdict is then unknown. Values
// that no counter can have (NaN, infinite, negative) are not observations.
package judge

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"glia"
)

// Unprobed is the verdict of a disk that was not looked at: in this life of the process, or at all.
func Unprobed(why string) glia.Verdict {
	return glia.Verdict{State: glia.StateUnknown, Why: why, Prober: glia.Version}
}

// Step judges the evidence of one probe round, which ended at now. It returns the state to remember and the
// verdict, which expires when nothing new was observed for expiry, a positive time.
//
// A clock that was set back does no harm: what was observed in the future counts as observed now.
func Step(rs RuleSet, prev DiskState, evidence []glia.Evidence, now time.Time, expiry time.Duration) (DiskState, glia.Verdict) {
	now = now.Round(0).UTC() // neither the monotonic reading nor the zone survives a restart
	next := DiskState{Rules: map[string]RuleState{}, Accepted: inForce(prev.Accepted, now), Said: prev.Said,
		LastProbe: earlier(prev.LastProbe, now), LastHealth: earlier(prev.LastHealth, now)}
	var known []glia.Evidence
	for _, e := range evidence {
		switch why := whyUnknown(e); {
		case why != "":
			next.Blind = append(next.Blind, cmp.Or(e.Source, e.What)+": "+why)
		default:
			known = append(known, e)
			next.LastProbe = now
			if showsHealth(e.Class) {
				next.LastHealth = now
			}
		}
	}
	slices.Sort(next.Blind)
	next.Blind = slices.Compact(next.Blind)

	known = inOrder(known)
	for _, r := range rs.Rules { // rules that are in the set no more are forgotten here
		s := step(r, rs.fall(r), rs.rise(r), prev.Rules[r.Name], known, acceptedFor(next.Accepted, r.Name), now)
		if !s.isZero() { // most rules never see anything of a disk: a host with many disks has no memory for them
			next.Rules[r.Name] = s
		}
	}
	v := next.Verdict(rs, now, expiry)
	next.Said = v.State
	return next, v
}

// step moves one rule by one round. What is known is in order, the worst first.
func step(r Rule, fall, rise int, s RuleState, known []glia.Evidence, accepted *Accepted, now time.Time) RuleState {
	s.Growth = maps.Clone(s.Growth)
	s.Seen, s.LastBad = earlier(s.Seen, now), earlier(s.LastBad, now)
	var bad []glia.Evidence
	observed := false
	for _, e := range known {
		if !r.Sees(e) {
			continue
		}
		observed = true
		value := e.Value
		if r.Growth {
			if s.Growth == nil {
				s.Growth = map[string]Growth{}
			}
			value = s.grown(r, rise, e, now)
		}
		if value > r.Above && accepted.exceeded(r, e.Value) {
			bad = append(bad, e)
		}
	}
	switch {
	case !observed:
		return s
	case len(bad) > 0:
		if s.Bad == 0 && !s.Active {
			s.Since = now
		}
		s.Bad, s.Good = min(s.Bad+1, fall), 0
		s.Active = s.Active || s.Bad >= fall
		s.Evidence, s.LastBad = bad[0], now
	default:
		s.Bad, s.Good = 0, min(s.Good+1, rise)
		remembers := !r.Growth && now.Sub(s.LastBad) < r.Decay && accepted == nil
		if s.Active = s.Active && (s.Good < rise || remembers); !s.Active {
			s.Since, s.Evidence, s.LastBad = time.Time{}, glia.Evidence{}, time.Time{}
		}
	}
	s.Seen = now
	return s
}

// grown tells by how much a counter has grown since its baseline, and moves the baseline: down after rise rounds
// below it (the counter began anew; a single low reading may be a slip), up when the counter stood still
// for long enough.
func (s *RuleState) grown(r Rule, rise int, e glia.Evidence, now time.Time) float64 {
	g, ok := s.Growth[e.What]
	if !ok {
		g = Growth{Baseline: e.Value, Last: e.Value, Moved: now}
	}
	g.Moved = earlier(g.Moved, now)
	if e.Value != g.Last {
		g.Last, g.Moved = e.Value, now
	}
	if e.Value >= g.Baseline {
		g.Low = 0
	} else if g.Low++; g.Low >= rise {
		g.Baseline, g.Low = e.Value, 0
	}
	if r.Decay > 0 && e.Value > g.Baseline && now.Sub(g.Moved) >= r.Decay {
		g.Baseline = e.Value
	}
	s.Growth[e.What] = g
	return e.Value - g.Baseline
}

// Verdict is what the state says at a time, without new evidence.
func (s DiskState) Verdict(rs RuleSet, now time.Time, expiry time.Duration) glia.Verdict {
	now = now.Round(0).UTC()
	v := glia.Verdict{RuleSet: rs.Hash(), Prober: glia.Version}
	fresh := func(t time.Time) bool { return !t.IsZero() && !now.After(t.Add(expiry)) }

	var stale, pending []string
	seen := map[string]time.Time{}
	for _, r := range rs.Rules {
		rule := s.Rules[r.Name]
		switch {
		case rule.Active && fresh(rule.Seen):
			v.Reasons = append(v.Reasons, glia.Reason{Rule: r.Name, Class: r.Class, State: r.State, Words: r.Words,
				Evidence: rule.Evidence, Since: rule.Since})
			v.State = max(v.State, r.State)
			seen[r.Name] = rule.Seen
		case rule.Active:
			stale = append(stale, fmt.Sprintf("%s said %s and could not be looked at since", r.Name, r.State))
		// A count that never went on while other things were observed for that long holds nothing up.
		case rule.Bad > 0 && !s.LastProbe.After(rule.Seen.Add(expiry)):
			pending = append(pending, fmt.Sprintf("%s has seen %d bad probes of the %d that decide", r.Name, rule.Bad, rs.fall(r)))
		}
	}
	slices.SortStableFunc(v.Reasons, func(a, b glia.Reason) int { return cmp.Compare(b.State, a.State) })

	switch {
	case len(v.Reasons) > 0:
		for _, r := range v.Reasons {
			if at := seen[r.Rule]; r.State == v.State && at.After(v.ObservedAt) {
				v.ObservedAt = at
			}
		}
	default:
		v.ObservedAt = s.LastProbe
		if v.Why = s.whyUnknown(fresh, stale, pending); v.Why == "" {
			v.State, v.ObservedAt = glia.StateHealthy, s.LastHealth
		}
	}
	if !v.ObservedAt.IsZero() {
		v.ExpiresAt = v.ObservedAt.Add(expiry)
	}
	return v
}

// whyUnknown says what is missing for a disk without active rules to be healthy; empty if nothing is.
func (s DiskState) whyUnknown(fresh func(time.Time) bool, stale, pending []string) string {
	var why []string
	switch {
	case len(stale) > 0:
		why = stale
	case len(pending) > 0 && s.Said != glia.StateHealthy:
		why = pending
	case fresh(s.LastHealth):
		return ""
	case s.LastHealth.IsZero():
		why = []string{"nothing could be observed yet that shows health"}
	default:
		why = []string{"nothing that shows health could be observed since " + s.LastHealth.UTC().Format(time.RFC3339)}
	}
	return strings.Join(append(slices.Clone(why), s.Blind...), "; ")
}

// whyUnknown says why a piece of evidence is no observation; empty if it is one. No quantity is below zero.
func whyUnknown(e glia.Evidence) string {
	switch {
	case e.Unknown != "":
		return e.Unknown
	case math.IsNaN(e.Value), math.IsInf(e.Value, 0), e.Value < 0:
		return fmt.Sprintf("%s is %v, which can not be", e.What, e.Value)
	}
	return ""
}

// showsHealth says whether evidence of a class can show that the disk itself is well.
func showsHealth(c glia.EvidenceClass) bool {
	return c == glia.Media || c == glia.Wear || c == glia.Filesystem || c == glia.Storage
}

// quantity is the What of evidence without the thing it is about: fs.errors for fs.errors[/data].
func quantity(what string) string {
	q, _, _ := strings.Cut(what, "[")
	return q
}

// inOrder puts the evidence of a round into an order that does not depend on who looked first, the worst first.
func inOrder(evidence []glia.Evidence) []glia.Evidence {
	return slices.SortedFunc(slices.Values(evidence), func(a, b glia.Evidence) int {
		return cmp.Or(cmp.Compare(b.Value, a.Value), cmp.Compare(a.What, b.What),
			cmp.Compare(a.Detail, b.Detail), cmp.Compare(a.Source, b.Source), a.At.Compare(b.At))
	})
}

func earlier(a, b time.Time) time.Time {
	if a.After(b) {
		return b
	}
	return a
}
