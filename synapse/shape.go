package synapse

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Shaper judges the settings that registries have of services, and puts them into force. Its methods are called one at a time.
type Shaper interface {
	// Judge says in words what a document sets, or why it can not. It is quick, and changes nothing.
	Judge(service, document string) (sets string, err error)
	// Shape puts the documents into force, by service, and takes away what was in force of others. Either all of that is done, or nothing is
	// and the error says why. The outputs that it returns take the place of those before.
	Shape(ctx context.Context, documents map[string]string) ([]Output, error)
}

// shape is what is known of the settings of one service.
type shape struct {
	document string    // that is in force; empty for none
	sets     string    // what it sets
	known    bool      // what the sources told first was judged
	aside    string    // the document that is put aside; empty for none
	problem  string    // why, or why nothing is known
	again    time.Time // when the one that is put aside is tried again; zero for never
}

// shapeAgain is how long after HAProxy refused settings they are tried again: the reason may have been another one.
const shapeAgain = time.Minute

// keep is what a change of what is followed leaves: everything is to be judged again.
func (x *shape) keep(document string, by Shaper, service string) {
	x.document, x.sets, x.aside, x.problem, x.again = document, "", "", "", time.Time{}
	if document != "" && by != nil {
		x.sets, _ = by.Judge(service, document) // it was good a moment ago
	}
}

// shaped says whether one of its sources tells settings.
func (w *watched) shaped() bool {
	return slices.ContainsFunc(w.heard, func(h *heard) bool { return h.Settings })
}

// said is the document that the sources tell now: that of the first one that has any. Nothing is known while a source before it has not
// told in this run, or can not say.
func (w *watched) said() (document, problem string, known bool) {
	for _, h := range w.heard {
		switch {
		case !h.Settings:
		case !h.told:
			return "", "", false
		case h.last.Settings.Problem != "":
			return "", h.last.Settings.Problem, false
		case strings.TrimSpace(h.last.Settings.Document) != "":
			return h.last.Settings.Document, "", true
		}
	}
	return "", "", true
}

// reshape has settings judged soon.
func (s *Services) reshape() {
	select {
	case s.unshaped <- struct{}{}:
	default:
	}
}

// shapeAll judges settings whenever they may have changed, until ctx is done.
func (s *Services) shapeAll(ctx context.Context) {
	if s.o.Shaper == nil {
		return
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.unshaped:
		}
		s.shapeOnce(ctx)
	}
}

// wanted is a document that is to take the place of what is in force.
type wanted struct {
	service, document, sets string
	err                     error // why it can not
	passing                 bool  // the reason may be gone later
}

func (s *Services) shapeOnce(ctx context.Context) {
	s.turn.Lock()
	defer s.turn.Unlock()
	list := s.unlike()
	force := s.inForce()
	var good []*wanted
	for _, x := range list {
		if x.document != "" {
			x.sets, x.err = s.o.Shaper.Judge(x.service, x.document)
		}
		if x.err == nil {
			good = append(good, x)
		}
	}
	outputs := s.try(ctx, force, good)
	if ctx.Err() != nil {
		return // the next start judges them
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if outputs != nil {
		s.outputs = outputs
	}
	for _, x := range list {
		s.noteShape(s.states[x.service], x)
	}
	aside := 0
	for _, name := range s.order {
		w := s.states[name]
		if _, problem, known := w.said(); known || problem != "" {
			w.shape.known = true
			if w.shape.aside == "" && w.shape.problem != problem {
				if w.shape.problem = problem; problem != "" {
					s.o.Log.Warn("settings of a service can not be read; the last good ones stay", "service", name, "error", problem)
				}
			}
		}
		if w.shape.problem != "" {
			aside++
		}
		switch {
		case !w.given:
			s.decide(w) // which has perhaps waited for this
		case outputs != nil:
			s.give(w)
		}
	}
	s.metrics.aside.Set(float64(aside))
}

// unlike are the services whose sources tell something else than what is in force, and was not refused before.
func (s *Services) unlike() (list []*wanted) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.o.Now()
	for _, name := range s.order {
		w := s.states[name]
		document, _, known := w.said()
		switch {
		case !known:
		case document == w.shape.document:
			if w.shape.aside != "" {
				w.shape.aside, w.shape.problem, w.shape.again = "", "", time.Time{}
				s.o.Log.Info("settings of a service are those in force again", "service", name)
			}
		case document != w.shape.aside || document == "", !w.shape.again.IsZero() && !now.Before(w.shape.again):
			list = append(list, &wanted{service: name, document: document})
		}
	}
	return list
}

// inForce are the settings in force, by service.
func (s *Services) inForce() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	force := map[string]string{}
	for name, c := range s.last {
		if c.Settings != "" {
			force[name] = c.Settings
		}
	}
	for name, w := range s.states {
		if w.shape.document != "" {
			force[name] = w.shape.document
		}
	}
	return force
}

// try puts documents into force over those that are: all together, or when that is refused one by one, so that one that is bad keeps no
// other back. It returns the outputs, nil when nothing has changed.
func (s *Services) try(ctx context.Context, force map[string]string, list []*wanted) (outputs []Output) {
	put := func(list ...*wanted) error {
		next := maps.Clone(force)
		for _, x := range list {
			if next[x.service] = x.document; x.document == "" {
				delete(next, x.service)
			}
		}
		out, err := s.o.Shaper.Shape(ctx, next)
		if err == nil {
			force, outputs = next, out
		}
		return err
	}
	if len(list) == 0 {
		return nil
	}
	err := put(list...)
	if err == nil {
		return outputs
	}
	for _, x := range list {
		if len(list) > 1 {
			err = put(x)
		}
		if x.err = err; err != nil {
			x.passing = true
		}
		if ctx.Err() != nil {
			return outputs
		}
	}
	return outputs
}

// noteShape notes what became of a document.
func (s *Services) noteShape(w *watched, x *wanted) {
	if x.err == nil {
		w.shape = shape{document: x.document, sets: x.sets, known: true}
		s.unsaved = true
		s.metrics.changes.WithLabelValues("in force").Inc()
		s.o.Log.Info("settings of a service have changed", "service", x.service, "sets", x.sets)
		return
	}
	before := w.shape.problem
	w.shape.aside, w.shape.problem, w.shape.again = x.document, x.err.Error(), time.Time{}
	if x.passing {
		w.shape.again = s.o.Now().Add(shapeAgain)
	}
	if before != w.shape.problem {
		s.metrics.changes.WithLabelValues("put aside").Inc()
		s.o.Log.Warn("settings of a service are put aside; the last good ones stay", "service", x.service, "error", x.err)
	}
}

// SettingsProblem names the services whose settings are put aside, and why; nil when there are none. It keeps nobody from being ready:
// what was good before goes on.
func (s *Services) SettingsProblem() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []error
	for _, name := range s.order {
		if p := s.states[name].shape.problem; p != "" {
			all = append(all, fmt.Errorf("service %s: settings are put aside: %s", name, strings.ReplaceAll(p, "\n", "; ")))
		}
	}
	return errors.Join(all...)
}

type servicesMetrics struct {
	aside   prometheus.Gauge
	changes *prometheus.CounterVec
}

// newServicesMetrics registers the metrics; a nil registerer keeps them to themselves.
func newServicesMetrics(r prometheus.Registerer) servicesMetrics {
	auto := promauto.With(r)
	m := servicesMetrics{
		aside: auto.NewGauge(prometheus.GaugeOpts{
			Name: "glia_settings_put_aside", Help: "Services whose settings in the registry are not used, because they are refused or can not be read.",
		}),
		changes: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "glia_settings_changes_total", Help: "Settings of services that a registry told anew, by what became of them: in force or put aside.",
		}, []string{"result"}),
	}
	for _, result := range []string{"in force", "put aside"} { // every series from the start
		m.changes.WithLabelValues(result)
	}
	return m
}
