package nerve

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"glia"
	"glia/nerve/history"
	"glia/nerve/judge"
)

// errRefused says that a value can not be accepted as it was asked for.
var errRefused = errors.New("not accepted")

// Accept accepts a value of a disk, as a person wants it: until it ends, only growth beyond it counts. A
// negative value stands for the one that is observed now. It has been saved when this returns.
func (n *Nerve) Accept(serial string, a judge.Accepted) (judge.Accepted, error) {
	now := time.Now().Round(0).UTC()
	if err := n.accept(serial, &a, now); err != nil {
		return judge.Accepted{}, fmt.Errorf("accept a value of %s: %w", serial, err)
	}
	if err := n.save(true); err != nil {
		return judge.Accepted{}, fmt.Errorf("accept a value of %s: it holds, but not over a restart: save the state: %w", serial, err)
	}
	n.Log.Warn("value accepted", "serial", serial, "rule", a.Rule, "value", a.Value, "until", a.Until, "by", a.Person, "reason", a.Reason)
	return a, nil
}

func (n *Nerve) accept(serial string, a *judge.Accepted, now time.Time) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	e := n.disks[serial]
	if e == nil {
		return glia.ErrNotFound
	}
	rules := n.Rules.For(e.disk.Identity)
	if a.Value < 0 {
		v, err := observed(rules, a.Rule, e.evidence)
		if err != nil {
			return fmt.Errorf("%w: %w", errRefused, err)
		}
		a.Value = v
	}
	a.At = now
	if err := a.Validate(rules, now); err != nil {
		return fmt.Errorf("%w: %w", errRefused, err)
	}
	e.state = e.state.Accept(*a)
	n.dirty = true
	return nil
}

// observed is the worst value that a rule met in the last round.
func observed(rules judge.RuleSet, name string, evidence []glia.Evidence) (float64, error) {
	r, ok := rules.Rule(name)
	if !ok {
		return 0, nil // told with all else that is wrong
	}
	worst, found := 0.0, false
	for _, e := range evidence {
		if e.Unknown == "" && r.Sees(e) {
			worst, found = max(worst, e.Value), true
		}
	}
	if !found {
		return 0, fmt.Errorf("%s was not observed in the last probe; give its value", r.What)
	}
	return worst, nil
}

// Accepted are the values of a disk that are accepted now.
func (n *Nerve) Accepted(serial string) []judge.Accepted {
	now := time.Now()
	n.mu.Lock()
	defer n.mu.Unlock()
	if e := n.disks[serial]; e != nil {
		return slices.DeleteFunc(slices.Clone(e.state.Accepted), func(a judge.Accepted) bool { return !now.Before(a.Until) })
	}
	return nil
}

// ended logs the accepted values that a round has found to be over. The caller holds the mutex.
func (n *Nerve) ended(serial string, was, is []judge.Accepted) {
	for _, a := range was {
		if !slices.Contains(is, a) {
			n.dirty = true
			n.Log.Warn("accepted value has ended", "serial", serial, "rule", a.Rule, "value", a.Value, "until", a.Until, "by", a.Person)
		}
	}
}

// verdictSeries is the name under which the history has the number of the state that a disk was in.
const verdictSeries = "verdict"

// judged are the values of a round that rules look at, and the verdict.
func judged(rules judge.RuleSet, evidence []glia.Evidence, v glia.Verdict) []history.Value {
	out := []history.Value{{What: verdictSeries, Value: float64(v.State), Unknown: v.State == glia.StateUnknown}}
	for _, e := range evidence {
		if slices.ContainsFunc(rules.Rules, func(r judge.Rule) bool { return r.Sees(e) }) {
			out = append(out, history.Value{What: strings.ToValidUTF8(e.What, "\uFFFD"), Class: e.Class, Value: e.Value, Unknown: e.Unknown != ""})
		}
	}
	return out
}
