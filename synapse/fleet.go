// Package synapse watches the registry and keeps the fleet view: every host with what it announces,
// and with the detail of its disks where the announcement says that something is wrong.
//
// The view takes over what has changed in the registry after every signal, and its whole state every
// Resync, so a lost change costs time and no truth. Each host is asked on its own, under a deadline: one that hangs
// delays no other. What could not be read again is kept with the time when it was read and the
// problem beside it; judging its age is left to the consumer. A view says when the registry last
// vouched for it, and before the registry answered for the first time there is none.
package synapse

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"connectrpc.com/connect"
	"github.com/prometheus/client_golang/prometheus"

	"glia"
	"glia/registry"
)

const (
	pace         = 100 * time.Millisecond // least time between two readings, and between two views
	fetchers     = 16                     // hosts asked at one time for the view
	firstBackoff = time.Second            // after the first failure of a host or of the registry
)

// Options configure a Fleet. Only Watcher is required.
type Options struct {
	Watcher registry.Watcher

	// Nerves returns the client for the nerve that announced a. Nil asks its API address with HTTP
	// and Scheme.
	Nerves func(a glia.Announcement) (HostClient, error)
	HTTP   connect.HTTPClient // nil is a client without proxy and redirects
	Scheme string             // http or https; empty is http

	Resync       time.Duration // the registry, and each bad host, is read at least so often; 0 is 30 s
	FetchTimeout time.Duration // for one answer of one nerve, or of the registry; 0 is 10 s
	MaxAge       time.Duration // a view that is older makes Ready complain; 0 is three times Resync

	Now        func() time.Time // nil is time.Now
	Log        *slog.Logger     // nil discards
	Registerer prometheus.Registerer
}

// Fleet keeps the fleet view. It is safe for concurrent use; Run may be called once.
type Fleet struct {
	o       Options
	metrics *metrics
	changes registry.Signal
	stopped chan struct{} // closed when Run returns

	mu      sync.Mutex
	view    *view // newest; of the zero time until the registry answered once
	problem error // of the last reading of the registry; nil when it answered
}

// New returns a Fleet that is empty until Run.
func New(o Options) *Fleet {
	if o.HTTP == nil {
		o.HTTP = plainHTTP()
	}
	if o.Scheme == "" {
		o.Scheme = "http"
	}
	if o.Nerves == nil {
		o.Nerves = func(a glia.Announcement) (HostClient, error) { return dial(o.HTTP, o.Scheme, a.API) }
	}
	if o.Resync <= 0 {
		o.Resync = 30 * time.Second
	}
	if o.FetchTimeout <= 0 {
		o.FetchTimeout = 10 * time.Second
	}
	if o.MaxAge <= 0 {
		o.MaxAge = 3 * o.Resync
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	f := &Fleet{o: o, stopped: make(chan struct{}), view: newView(time.Time{}, newHostViews()), problem: errors.New("the registry was not asked yet")}
	f.metrics = newMetrics(o.Registerer, f.age)
	return f
}

// view is one state of the fleet. It never changes.
type view struct {
	at    time.Time
	hosts *hostViews
	whole func() glia.FleetView // made once, when somebody asks for it
}

func newView(at time.Time, hosts *hostViews) *view {
	return &view{at, hosts, sync.OnceValue(func() glia.FleetView { return glia.FleetView{At: at, Hosts: hosts.list()} })}
}

func (f *Fleet) newest() *view {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.view
}

// View returns the newest view. Its At is zero until the registry has answered once; such a view
// says nothing about any host. The view is shared: it must not be changed. A view of 10,000 hosts takes
// milliseconds to put together, once for all who ask.
func (f *Fleet) View() glia.FleetView { return f.newest().whole() }

// Host returns what the newest view says of one host, at no cost that grows with the fleet. It must not be changed.
func (f *Fleet) Host(name string) (glia.HostView, bool) { return f.newest().hosts.host(name) }

// Changes signals that View returns a newer view; the contract is that of registry.Watcher.Changes.
func (f *Fleet) Changes(ctx context.Context) <-chan struct{} { return f.changes.Subscribe(ctx) }

// Ready says why the view should not be relied on, or nil.
func (f *Fleet) Ready() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch age := f.o.Now().Sub(f.view.at); {
	case f.view.at.IsZero():
		return fmt.Errorf("no fleet view yet: %w", f.problem)
	case age > f.o.MaxAge && f.problem != nil:
		return fmt.Errorf("the fleet view is %v old: %w", age.Round(time.Second), f.problem)
	case age > f.o.MaxAge:
		return fmt.Errorf("the fleet view is %v old", age.Round(time.Second))
	}
	return nil
}

// age is that of the view in seconds, and 0 while there is none.
func (f *Fleet) age() float64 {
	at := f.newest().at
	if at.IsZero() {
		return 0
	}
	return f.o.Now().Sub(at).Seconds()
}

func (f *Fleet) publish(at time.Time, hosts *hostViews) {
	v := newView(at, hosts)
	f.mu.Lock()
	f.view = v
	f.mu.Unlock()
	f.changes.Send()
}

func (f *Fleet) setProblem(err error) (turned bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	turned = (f.problem == nil) != (err == nil)
	f.problem = err
	return turned
}
