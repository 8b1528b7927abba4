package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Options configure Services. Book is required.
type Options struct {
	Book      *Book
	Heartbeat string        // file that is touched while all services are followed; empty for none
	Beat      time.Duration // how often; 0 is 10 s

	Now func() time.Time
	Log *slog.Logger
}

// Services follows a set of services that can change. It is safe for concurrent use; Run may be called once.
type Services struct {
	o     Options
	began time.Time

	changing sync.Mutex // held by Apply
	mu       sync.Mutex
	life     context.Context
	watches  map[string]*watch
	problem  error // of the heartbeat
}

// New makes one without services.
func New(o Options) *Services {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Beat <= 0 {
		o.Beat = 10 * time.Second
	}
	return &Services{o: o, began: o.Now(), watches: map[string]*watch{}}
}

// overlap is how long Apply waits for the first probe of services that take over from others.
const overlap = 30 * time.Second

// Run follows the services, and those of each Apply that begins after it, until ctx is done; then it takes all announcements back.
func (s *Services) Run(ctx context.Context, first []Service) error {
	s.changing.Lock()
	s.mu.Lock()
	s.life = ctx
	s.mu.Unlock()
	s.apply(first)
	s.changing.Unlock()
	beat := time.NewTicker(s.o.Beat)
	defer beat.Stop()
	for s.beat(); ctx.Err() == nil; s.beat() {
		select {
		case <-ctx.Done():
		case <-beat.C:
		}
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	var all sync.WaitGroup
	for _, w := range s.all() {
		all.Go(w.end)
	}
	all.Wait()
	return nil
}

// Apply goes over to another set. What has not changed goes on undisturbed; what has changed is probed and announced anew before the old
// one goes, in the same node where that is possible.
func (s *Services) Apply(set []Service) {
	s.changing.Lock()
	defer s.changing.Unlock()
	s.mu.Lock()
	over := s.life == nil || s.life.Err() != nil
	s.mu.Unlock()
	if !over {
		s.apply(set)
	}
}

func (s *Services) apply(set []Service) {
	s.mu.Lock()
	old := s.watches
	next := map[string]*watch{}
	var begun, ended []*watch
	for _, one := range set {
		was := old[one.Name]
		if was != nil && was.Key == one.Key {
			next[one.Name] = was
			continue
		}
		w := newWatch(s.life, one, was, s.o, s.began)
		next[one.Name] = w
		begun = append(begun, w)
	}
	for name, w := range old {
		if next[name] == nil {
			ended = append(ended, w)
		}
	}
	s.watches = next
	s.mu.Unlock()
	for _, w := range begun {
		go w.run()
	}
	limit := time.After(overlap)
	for _, w := range begun {
		if w.old == nil {
			continue
		}
		select {
		case <-w.settled:
		case <-limit:
		}
	}
	for _, w := range ended {
		w.end()
	}
	if len(old) > 0 && len(begun)+len(ended) > 0 {
		s.o.Log.Info("services changed", "begun", len(begun), "ended", len(ended), "services", len(next))
	}
}

// beat touches the file of the heartbeat, unless a service is stuck.
func (s *Services) beat() {
	if s.o.Heartbeat == "" {
		return
	}
	now := s.o.Now()
	var err error
	for _, w := range s.all() {
		if !w.alive(now) {
			err = fmt.Errorf("service %s is stuck: its last round ended too long ago, so %s is not touched", w.Name, s.o.Heartbeat)
		}
	}
	if err == nil {
		err = os.Chtimes(s.o.Heartbeat, now, now)
		if errors.Is(err, os.ErrNotExist) {
			err = os.WriteFile(s.o.Heartbeat, nil, 0o644) //nolint:gosec // a watchdog of another user reads its age
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.problem == nil && err != nil {
		s.o.Log.Error("heartbeat stops", "error", err)
	}
	s.problem = err
}

// all are those that are followed, by name.
func (s *Services) all() []*watch {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*watch
	for _, w := range s.watches {
		all = append(all, w)
	}
	slices.SortFunc(all, func(a, b *watch) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// Statuses are those of all services, by name.
func (s *Services) Statuses() []Status {
	var out []Status
	for _, w := range s.all() {
		w.mu.Lock()
		out = append(out, w.status)
		w.mu.Unlock()
	}
	return out
}

// Problem says which services are not announced as they should be, or is nil. That a service is down is no problem of nerve.
func (s *Services) Problem() error {
	s.mu.Lock()
	all := []error{s.problem}
	s.mu.Unlock()
	for _, st := range s.Statuses() {
		for _, p := range st.Places {
			if p.Problem != "" {
				all = append(all, fmt.Errorf("service %s in %s: %s", st.Name, p.Name, p.Problem))
			}
		}
	}
	return errors.Join(all...)
}

var (
	upDesc        = prometheus.NewDesc("glia_service_up", "1 while the service is up by its checks, 0 while it is down or not probed yet.", []string{"service"}, nil)
	announcedDesc = prometheus.NewDesc("glia_service_announced", "1 while the service is to be announced as up, 0 while it is not, or as draining.", []string{"service"}, nil)
	heldDesc      = prometheus.NewDesc("glia_service_held_back_total", "Changes of what is announced that the rate limit held back, or in shadow mode would have.", []string{"service"}, nil)
)

var _ prometheus.Collector = (*Services)(nil)

// Describe is part of prometheus.Collector.
func (s *Services) Describe(c chan<- *prometheus.Desc) {
	c <- upDesc
	c <- announcedDesc
	c <- heldDesc
}

// Collect is part of prometheus.Collector.
func (s *Services) Collect(c chan<- prometheus.Metric) {
	is := func(yes bool) float64 {
		if yes {
			return 1
		}
		return 0
	}
	for _, st := range s.Statuses() {
		c <- prometheus.MustNewConstMetric(upDesc, prometheus.GaugeValue, is(st.State == Up), st.Name)
		c <- prometheus.MustNewConstMetric(announcedDesc, prometheus.GaugeValue, is(st.Announced == Up), st.Name)
		c <- prometheus.MustNewConstMetric(heldDesc, prometheus.CounterValue, float64(st.HeldBack), st.Name)
	}
}
