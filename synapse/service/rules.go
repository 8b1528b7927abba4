package service

import (
	"fmt"
	"slices"
	"time"
)

// Filter keeps backends by one label.
type Filter struct {
	Label, Value string
	Not          bool // keeps those that do not have the value; a missing label is not the value
}

// Rules say what becomes of what was discovered. The zero value uses just that.
type Rules struct {
	Filters      []Filter // all must agree
	Defaults     []Backend
	KeepDefaults bool // adds the defaults always, and not only when nothing was discovered
	KeepPrevious bool // goes on with the last backends when nothing was discovered and there are no defaults
	Port         int  // replaces that of all backends; 0 does not
	Leader       bool // uses only the backend with the lowest id, and none when one has no id

	MaxStale  time.Duration // how long previous backends are kept after the last one vanished; 0 is for ever
	Panic     int           // percent of the backends: when more are lost at one time, the loss must last PanicHold; 0 is off
	PanicHold time.Duration
}

// panicLeast is the number of backends below which a loss is never sudden: one of two is half.
const panicLeast = 3

// State is what is used now. The zero value is that of a service before anything was discovered.
type State struct {
	Backends []Backend `json:"backends"` // in the order of their discovery
	Found    time.Time `json:"found"`    // when the backends in use were last discovered; zero for never

	Empty time.Time `json:"empty,omitzero"` // since when nothing is discovered; zero while something is
	Loss  time.Time `json:"loss,omitzero"`  // since when a sudden loss is held back; zero when none is
}

// Reason is why the state is what it is.
type Reason string

// The reasons. Those of Held say that the discovery is not followed.
const (
	Discovered Reason = "discovered"
	Default    Reason = "nothing was discovered: default servers"
	Previous   Reason = "nothing was discovered: previous backends"
	Nothing    Reason = "nothing was discovered"
	Stale      Reason = "nothing was discovered for longer than max_stale: no backends"
	Sudden     Reason = "most backends vanished at once: waiting whether they come back"
	NoLeader   Reason = "a backend has no id, so no leader can be told: no backends"
)

// Next is the state after a discovery. It depends on nothing but its arguments. When it is to be asked again although
// nothing new was discovered, wake is that time; it is zero otherwise.
func (r Rules) Next(s State, found []Backend, now time.Time) (next State, why Reason, wake time.Time) {
	found = r.filter(found)
	why = Discovered
	if r.Leader {
		if found, why = elect(found); why == NoLeader {
			return State{Found: s.Found}, why, time.Time{}
		}
	}
	discovered := len(found) > 0
	if r.KeepDefaults {
		found = append(slices.Clone(found), r.Defaults...)
	}
	found = r.normalise(found)
	empty := s.Empty
	if !discovered && empty.IsZero() {
		empty = now
	}
	switch {
	case !discovered && len(r.Defaults) > 0:
		return State{Backends: r.normalise(r.Defaults), Found: s.Found, Empty: empty}, Default, time.Time{}
	case !discovered && r.KeepPrevious:
		previous := State{Backends: s.Backends, Found: s.Found, Empty: empty}
		until := empty.Add(r.MaxStale)
		switch {
		case len(s.Backends) == 0 && (r.MaxStale == 0 || now.Before(until)):
			return previous, Nothing, time.Time{}
		case r.MaxStale == 0:
			return previous, Previous, time.Time{}
		case now.Before(until):
			return previous, Previous, until
		}
		return State{Found: s.Found, Empty: empty}, Stale, time.Time{}
	case r.Panic > 0 && r.sudden(s.Backends, found):
		since := s.Loss
		if since.IsZero() {
			since = now
		}
		if end := since.Add(r.PanicHold); now.Before(end) {
			return State{Backends: s.Backends, Found: s.Found, Empty: empty, Loss: since}, Sudden, end
		}
	}
	if !discovered {
		return State{Found: s.Found, Empty: empty}, Nothing, time.Time{}
	}
	return State{Backends: found, Found: now}, why, time.Time{}
}

func (r Rules) filter(found []Backend) []Backend {
	return slices.DeleteFunc(slices.Clone(found), func(b Backend) bool {
		return slices.ContainsFunc(r.Filters, func(f Filter) bool {
			v, ok := b.Labels[f.Label]
			return (ok && v == f.Value) == f.Not
		})
	})
}

// elect is the backend with the lowest id.
func elect(found []Backend) ([]Backend, Reason) {
	var leader []Backend
	for _, b := range found {
		switch {
		case b.ID == nil:
			return nil, NoLeader
		case leader == nil || *b.ID < *leader[0].ID:
			leader = []Backend{b}
		}
	}
	return leader, Discovered
}

// normalise sets the port, and keeps the first of backends with one host, port and name.
func (r Rules) normalise(in []Backend) []Backend {
	out, seen := make([]Backend, 0, len(in)), map[key]bool{}
	for _, b := range in {
		if r.Port != 0 {
			b.Port = r.Port
		}
		if !seen[b.key()] {
			seen[b.key()] = true
			out = append(out, b)
		}
	}
	return out
}

// sudden says whether more of the old backends are lost than may be lost at one time.
func (r Rules) sudden(old, found []Backend) bool {
	if len(old) < panicLeast {
		return false
	}
	there := map[key]bool{}
	for _, b := range found {
		there[b.key()] = true
	}
	lost := 0
	for _, b := range old {
		if !there[b.key()] {
			lost++
		}
	}
	return lost*100 > r.Panic*len(old)
}

// Validate says what can not be.
func (r Rules) Validate() error {
	if r.Panic < 0 || r.Panic > 100 {
		return fmt.Errorf("%d is no percentage", r.Panic)
	}
	return nil
}
