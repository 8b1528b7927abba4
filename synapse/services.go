package synapse

import (
	"context"
	"errors"
	"log/slog"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"glia/synapse/service"
	"glia/synapse/source"
)

// Output takes the backends of services. It is safe for concurrent use, and waits for nothing.
type Output interface {
	Set(service string, backends []service.Backend) // in the order of their discovery
	Problem() error                                 // what keeps it from doing its work, or nil
}

// Watched is one service that is followed.
type Watched struct {
	Name    string
	Rules   service.Rules
	Combine source.Combine
	Sources []Origin
}

// Origin is a source with a name for people, which no other one of the service has.
type Origin struct {
	Name string
	source.Source

	Key      string // what the source is made of: one with the same key tells the same; empty: none does
	Settings bool   // it tells settings of the service, too
}

// ServicesOptions configure Services. CacheFile is required.
type ServicesOptions struct {
	Services  []Watched // at the start; see Change
	Outputs   []Output
	CacheFile string        // what is used now, for the next start
	Patience  time.Duration // with sources that tell nothing at the start, of services that the cache does not know; 0 is 10 s

	Shaper     Shaper // of services for which registries have settings; nil: those are not wanted
	Now        func() time.Time
	Log        *slog.Logger
	Registerer prometheus.Registerer
}

// Services follows services and gives their backends to outputs. It is safe for concurrent use; Run may be called once.
//
// A start uses what was used last, and for each source what that told last, until it tells more. So a restart takes nothing away, not even
// when no registry answers. While a source does not answer, its last answer counts, unless the next source is to take over then. The same
// holds for settings of services: those that were good last stay in force until there are others that are good, or none.
type Services struct {
	o        ServicesOptions
	metrics  servicesMetrics
	unshaped chan struct{} // settings may have to be judged

	turn sync.Mutex        // one change of what is followed or of settings at a time; taken before mu
	last map[string]cached // of the run before, until the first services are followed

	mu      sync.Mutex
	order   []string // of the services
	states  map[string]*watched
	outputs []Output
	running context.Context // of the sources; nil before Run, and after it
	sources sync.WaitGroup
	unsaved bool
	problem error // of the cache
}

// watched is one service and what is known of it.
type watched struct {
	Watched
	heard   []*heard // by source
	state   service.State
	why     service.Reason
	skipped string
	shape   shape
	given   bool      // the outputs have it
	shifted bool      // they have it as other sources told it, and not all of those now have told
	settled bool      // sources that have told nothing yet are not waited for any more
	since   time.Time // when that waiting began; zero before Run
	wake    time.Time // when the rules are to be asked again
}

// heard is what is known from one source.
type heard struct {
	Origin
	last source.Observation // the last good one, perhaps of the run before
	told bool               // there was a good one in this run
	err  error              // why it does not answer now; nil when it does
	stop func()             // nil while it does not run
	over bool               // it is not followed any more
}

// errSilent is why nothing is known of a source at the start.
var errSilent = errors.New("it has told nothing yet")

// NewServices reads the cache.
func NewServices(o ServicesOptions) (*Services, error) {
	if o.Patience <= 0 {
		o.Patience = 10 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Services{o: o, unshaped: make(chan struct{}, 1), states: map[string]*watched{}}
	s.metrics = newServicesMetrics(o.Registerer)
	var err error
	if s.last, err = readCache(o.CacheFile); err != nil {
		o.Log.Warn("the backends of the last run are not known", "error", err)
	}
	if len(o.Services) == 0 {
		return s, nil
	}
	return s, s.Change(func(settings map[string]string) (Followable, error) {
		return Followable{o.Services, o.Outputs, settings}, nil
	})
}

// Followable is what is to be followed, and who is told.
type Followable struct {
	Services []Watched
	Outputs  []Output
	Settings map[string]string // that are in force, by service
}

// Change follows what to returns instead of what was followed until now. It is given the settings in force, by service, and returns those
// that stay so. A service of the same name keeps its backends until its new rules and sources say something else, and a source with
// the same key goes on as it is. When to fails nothing changes.
func (s *Services) Change(to func(settings map[string]string) (Followable, error)) error {
	s.turn.Lock()
	defer s.turn.Unlock()
	next, err := to(s.inForce())
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.states
	s.states, s.order, s.outputs = map[string]*watched{}, nil, next.Outputs
	for _, n := range next.Services {
		w := was[n.Name]
		changed := w == nil
		if w == nil {
			w = s.recall(n.Name)
		}
		s.states[n.Name], s.order = w, append(s.order, n.Name)
		w.shape.keep(next.Settings[n.Name], s.o.Shaper, n.Name)
		if s.follow(w, n) || changed {
			s.decide(w)
		}
		if w.given {
			s.give(w)
		}
	}
	for name, w := range was {
		if s.states[name] != w {
			w.silence(w.heard)
		}
	}
	s.last, s.unsaved = nil, true
	s.reshape()
	return nil
}

// recall is a service that was not followed, with what the run before knew of it.
func (s *Services) recall(name string) *watched {
	w := &watched{Watched: Watched{Name: name}}
	if c, ok := s.last[name]; ok {
		w.state, w.why, w.given = c.State, service.Previous, true
		for told, backends := range c.Sources {
			w.heard = append(w.heard, &heard{Origin: Origin{Name: told}, last: source.Observation{Backends: backends}, err: errSilent})
		}
	}
	return w
}

// follow brings a service in line with what is wanted of it, and says whether that may change its backends.
func (s *Services) follow(w *watched, n Watched) (changed bool) {
	changed = !reflect.DeepEqual(w.Rules, n.Rules) || w.Combine != n.Combine || len(w.heard) != len(n.Sources)
	left := slices.Clone(w.heard)
	var now []*heard
	for i, o := range n.Sources {
		at := slices.IndexFunc(left, func(h *heard) bool { return o.Key != "" && h.Key == o.Key })
		if at >= 0 {
			h := left[at]
			left = slices.Delete(left, at, at+1)
			h.Name, h.Settings = o.Name, o.Settings
			changed = changed || w.heard[i] != h
			now = append(now, h)
			continue
		}
		h := &heard{Origin: o, err: errSilent, last: source.Observation{Err: errSilent}}
		if at := slices.IndexFunc(w.heard, func(h *heard) bool { return h.Name == o.Name && h.last.Err == nil }); at >= 0 {
			h.last = source.Observation{Backends: w.heard[at].last.Backends}
		}
		changed, w.settled, w.since = true, false, time.Time{}
		now = append(now, h)
	}
	w.silence(left)
	w.Watched, w.heard, w.shifted = n, now, w.shifted || changed
	s.begin(w)
	return changed
}

// begin starts the sources that do not run, once Run does.
func (s *Services) begin(w *watched) {
	if s.running == nil {
		return
	}
	if w.since.IsZero() {
		w.since = s.o.Now()
	}
	for _, h := range w.heard {
		if h.stop != nil {
			continue
		}
		ctx, stop := context.WithCancel(s.running)
		h.stop = stop
		s.sources.Go(func() { h.Run(ctx, func(o source.Observation) { s.observe(w, h, o) }) })
	}
}

// silence ends sources.
func (w *watched) silence(sources []*heard) {
	for _, h := range sources {
		if h.over = true; h.stop != nil {
			h.stop()
		}
	}
}

// Run follows all sources until ctx is done.
func (s *Services) Run(ctx context.Context) error {
	var shaping sync.WaitGroup
	defer shaping.Wait()
	defer s.sources.Wait()
	s.mu.Lock()
	s.running = ctx
	for _, w := range s.states {
		s.begin(w)
	}
	s.mu.Unlock()
	shaping.Go(func() { s.shapeAll(ctx) })
	t := time.NewTicker(saveEvery / 4)
	defer t.Stop()
	saved := s.o.Now()
	for {
		select {
		case <-ctx.Done():
			s.mu.Lock()
			s.running = nil // whoever waits for the sources now meets no new ones
			s.mu.Unlock()
			s.save()
			return nil
		case <-t.C:
		}
		now := s.o.Now()
		s.remind(now)
		if now.Sub(saved) >= saveEvery {
			s.save()
			saved = now
		}
	}
}
