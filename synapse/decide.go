package synapse

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"glia/synapse/service"
	"glia/synapse/source"
)

// observe takes what a source tells.
func (s *Services) observe(w *watched, h *heard, o source.Observation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h.over {
		return
	}
	switch {
	case o.Err != nil && h.err == nil:
		s.o.Log.Warn("source of a service does not answer", "service", w.Name, "source", h.Name, "error", o.Err)
	case o.Err == nil && h.err != nil && h.told:
		s.o.Log.Info("source of a service answers again", "service", w.Name, "source", h.Name)
	}
	if h.err = o.Err; o.Err == nil {
		s.unsaved = s.unsaved || !h.told || !service.SameSet(h.last.Backends, o.Backends)
		if !h.told || h.last.Settings != o.Settings {
			s.reshape()
		}
		h.last, h.told = o, true
	}
	s.decide(w)
}

// remind asks the rules again where they wanted it, and gives up waiting for first answers.
func (s *Services) remind(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.states {
		late := !w.settled && now.Sub(w.since) >= s.o.Patience
		if late {
			w.settled = true
		}
		if late || !w.wake.IsZero() && !now.Before(w.wake) {
			s.decide(w)
		}
		if late && !w.given {
			s.o.Log.Warn("sources of a service tell nothing; going on without", "service", w.Name, "error", w.problem())
			w.state, w.why, w.wake = w.Rules.Next(w.state, nil, now)
			s.give(w)
		}
		if !w.shape.again.IsZero() && !now.Before(w.shape.again) {
			s.reshape()
		}
	}
}

// pending says whether a source that has told nothing yet could still change what is decided.
func (w *watched) pending() bool {
	if w.settled {
		return false
	}
	for _, h := range w.heard {
		switch {
		case !h.told:
			return true
		case h.err != nil:
		case w.Combine == source.Fallback, w.Combine == source.Sequential && len(h.last.Backends) > 0:
			w.settled = true
			return false
		}
	}
	w.settled = true
	return false
}

// problem says which sources do not answer.
func (w *watched) problem() error {
	var all []error
	for _, h := range w.heard {
		if h.err != nil {
			all = append(all, fmt.Errorf("%s: %w", h.Name, h.err))
		}
	}
	return errors.Join(all...)
}

// decide follows the rules.
func (s *Services) decide(w *watched) {
	if w.pending() {
		return
	}
	seen := make([]source.Observation, len(w.heard))
	for i, h := range w.heard {
		if seen[i] = h.last; h.err != nil && len(seen) > 1 && w.Combine != source.Union {
			seen[i] = source.Observation{Err: h.err} // its turn is over until it answers again
		}
	}
	o := w.Combine.One(seen)
	if o.Err != nil || w.given && !slices.ContainsFunc(w.heard, func(h *heard) bool { return h.told }) {
		return
	}
	if !w.given && s.o.Shaper != nil && !w.shape.known && w.shaped() {
		return // its settings are judged first, so that it is not rendered twice
	}
	if skipped := strings.Join(o.Skipped, "; "); skipped != w.skipped {
		if w.skipped = skipped; skipped != "" {
			s.o.Log.Warn("some of what is announced is no backend", "service", w.Name, "skipped", skipped)
		}
	}
	before, was := w.state, w.why
	w.state, w.why, w.wake = w.Rules.Next(w.state, o.Backends, s.o.Now())
	s.unsaved = s.unsaved || !before.Empty.Equal(w.state.Empty) || !before.Loss.Equal(w.state.Loss)
	same := service.SameSet(before.Backends, w.state.Backends)
	if was != w.why || !same {
		s.o.Log.Info("backends of a service", "service", w.Name, "backends", len(w.state.Backends), "before", len(before.Backends), "reason", w.why)
	}
	// Another order alone changes nothing, unless the sources are others: then the outputs have it as after a start.
	shifted := same && w.shifted && !slices.EqualFunc(before.Backends, w.state.Backends, service.Backend.Equal)
	if same && !shifted {
		w.state.Backends = before.Backends
	}
	if !same || shifted || !w.given {
		s.give(w)
	}
	w.shifted = w.shifted && slices.ContainsFunc(w.heard, func(h *heard) bool { return !h.told })
}

func (s *Services) give(w *watched) {
	w.given, s.unsaved = true, true
	for _, o := range s.outputs {
		o.Set(w.Name, w.state.Backends)
	}
}
