package synapse

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/renameio/v2"

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
}

// ServicesOptions configure Services. CacheFile is required.
type ServicesOptions struct {
	Services  []Watched
	Outputs   []Output
	CacheFile string        // what is used now, for the next start
	Patience  time.Duration // with sources that tell nothing at the start, of services that the cache does not know; 0 is 10 s

	Now func() time.Time
	Log *slog.Logger
}

// Services follows services and gives their backends to outputs. It is safe for concurrent use; Run may be called once.
//
// A start uses what was used last, and for each source what that told last, until it tells more. So a restart takes nothing away, not even
// when no registry answers. While a source does not answer, its last answer counts, unless the next source is to take over then.
type Services struct {
	o ServicesOptions

	mu      sync.Mutex
	states  map[string]*watched
	unsaved bool
	problem error // of the cache
}

// watched is one service and what is known of it.
type watched struct {
	Watched
	heard   []heard // by source
	state   service.State
	why     service.Reason
	skipped string
	given   bool      // the outputs have it
	settled bool      // sources that have told nothing yet are not waited for any more
	wake    time.Time // when the rules are to be asked again
}

// heard is what is known from one source.
type heard struct {
	last source.Observation // the last good one, perhaps of the run before
	told bool               // there was a good one in this run
	err  error              // why it does not answer now; nil when it does
}

// cached is what is kept of one service for the next start.
type cached struct {
	State   service.State                `json:"state"`
	Sources map[string][]service.Backend `json:"sources"` // by name: what it told last
}

// cacheFile is the file.
type cacheFile struct {
	Services map[string]cached `json:"services"`
}

// saveEvery is the least time between two writings of the cache.
const saveEvery = time.Second

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
	s := &Services{o: o, states: map[string]*watched{}}
	var c cacheFile
	b, err := os.ReadFile(o.CacheFile)
	if err == nil {
		err = json.Unmarshal(b, &c)
	}
	if err != nil {
		c = cacheFile{}
		if !errors.Is(err, os.ErrNotExist) {
			o.Log.Warn("the backends of the last run are not known", "error", err)
		}
	}
	for _, w := range o.Services {
		x := &watched{Watched: w, heard: make([]heard, len(w.Sources))}
		was, ok := c.Services[w.Name]
		for i, src := range w.Sources {
			backends, known := was.Sources[src.Name]
			x.heard[i] = heard{err: errSilent}
			if x.heard[i].last = (source.Observation{Backends: backends}); !known {
				x.heard[i].last.Err = errSilent
			}
		}
		s.states[w.Name] = x
		if ok {
			x.state, x.why = was.State, service.Previous
			s.give(x)
		}
	}
	return s, nil
}

// Run follows all sources until ctx is done.
func (s *Services) Run(ctx context.Context) error {
	var all sync.WaitGroup
	defer all.Wait()
	for _, w := range s.states {
		for i, src := range w.Sources {
			all.Go(func() { src.Run(ctx, func(o source.Observation) { s.observe(w, i, o) }) })
		}
	}
	began := s.o.Now()
	t := time.NewTicker(saveEvery / 4)
	defer t.Stop()
	saved := began
	for {
		select {
		case <-ctx.Done():
			s.save()
			return nil
		case <-t.C:
		}
		now := s.o.Now()
		s.remind(now, now.Sub(began) >= s.o.Patience)
		if now.Sub(saved) >= saveEvery {
			s.save()
			saved = now
		}
	}
}

// observe takes what a source tells.
func (s *Services) observe(w *watched, i int, o source.Observation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := &w.heard[i]
	switch {
	case o.Err != nil && h.err == nil:
		s.o.Log.Warn("source of a service does not answer", "service", w.Name, "source", w.Sources[i].Name, "error", o.Err)
	case o.Err == nil && h.err != nil && h.told:
		s.o.Log.Info("source of a service answers again", "service", w.Name, "source", w.Sources[i].Name)
	}
	if h.err = o.Err; o.Err == nil {
		s.unsaved = s.unsaved || !h.told || !service.SameSet(h.last.Backends, o.Backends)
		h.last, h.told = o, true
	}
	s.decide(w)
}

// remind asks the rules again where they wanted it, and gives up waiting for first answers.
func (s *Services) remind(now time.Time, impatient bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.states {
		late := impatient && !w.settled
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
	for i, h := range w.heard {
		if h.err != nil {
			all = append(all, fmt.Errorf("%s: %w", w.Sources[i].Name, h.err))
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
	if o.Err != nil || w.given && !slices.ContainsFunc(w.heard, func(h heard) bool { return h.told }) {
		return
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
	if !same || !w.given {
		s.give(w)
	}
}

func (s *Services) give(w *watched) {
	w.given, s.unsaved = true, true
	for _, o := range s.o.Outputs {
		o.Set(w.Name, w.state.Backends)
	}
}

func (s *Services) save() {
	s.mu.Lock()
	due := s.unsaved
	c := cacheFile{Services: map[string]cached{}}
	for name, w := range s.states {
		if !w.given || !due {
			continue
		}
		one := cached{State: w.state, Sources: map[string][]service.Backend{}}
		for i, h := range w.heard {
			if h.last.Err == nil {
				one.Sources[w.Sources[i].Name] = h.last.Backends
			}
		}
		c.Services[name] = one
	}
	s.unsaved = false
	s.mu.Unlock()
	if !due {
		return
	}
	b, err := json.Marshal(c)
	if err == nil {
		err = renameio.WriteFile(s.o.CacheFile, b, 0o600, renameio.WithTempDir(filepath.Dir(s.o.CacheFile)))
	}
	if err != nil {
		err = fmt.Errorf("remember the backends: %w", err)
	}
	s.mu.Lock()
	s.problem, s.unsaved = err, s.unsaved || err != nil
	s.mu.Unlock()
}

// Backends are those of a service that are used now, and why. Found is when they were last discovered.
func (s *Services) Backends(name string) (backends []service.Backend, why service.Reason, found time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.states[name]
	if w == nil {
		return nil, "", time.Time{}
	}
	return w.state.Backends, w.why, w.state.Found
}

// named is how many services Ready names of those with the same trouble.
const named = 5

// Ready says which services nobody tells of, and what the outputs can not do; nil when all is well.
func (s *Services) Ready() error {
	s.mu.Lock()
	bad := []error{s.problem}
	var order []string
	services := map[string][]string{}
	for _, w := range s.o.Services {
		if err := s.states[w.Name].problem(); err != nil {
			for line := range strings.SplitSeq(err.Error(), "\n") {
				// What is wrong with a server is the same for all its services, but for their names.
				_, why, _ := strings.Cut(line, ": ")
				if services[why] == nil {
					order = append(order, why)
				}
				services[why] = append(services[why], w.Name)
			}
		}
	}
	s.mu.Unlock()
	for _, why := range order {
		names := services[why]
		more := ""
		if over := len(names) - named; over > 0 {
			names, more = names[:named], fmt.Sprintf(" and %d more", over)
		}
		bad = append(bad, fmt.Errorf("service %s%s: %s", strings.Join(names, ", "), more, why))
	}
	for _, o := range s.o.Outputs {
		bad = append(bad, o.Problem())
	}
	return errors.Join(bad...)
}
