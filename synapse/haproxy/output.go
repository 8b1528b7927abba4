package haproxy

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"glia/synapse/disk"
	"glia/synapse/service"
)

// File is the configuration file, and how it is checked.
type File = disk.File

// Options configure an Output. Config, File, Reload and StateFile are required.
type Options struct {
	Config   Config
	Services []Service
	File     File
	Sockets  []Socket // of all processes; none: each change is a reload

	Reload         []string // argv of the command that reloads HAProxy
	ReloadTimeout  time.Duration
	ReloadInterval time.Duration // least time between two reloads; 0 is 2 s
	ReloadJitter   float64       // up to so many intervals are added by chance, also before the first reload

	FileInterval time.Duration // least time between two writings of the file for servers alone; 0 is 1 s
	Resync       time.Duration // between two comparisons with the whole of HAProxy; 0 is 10 s
	KeepGone     time.Duration // how long servers that can not be added again at run time stay in the file as disabled; 0 is a day
	StateFile    string

	Now        func() time.Time
	Log        *slog.Logger
	Registerer prometheus.Registerer
}

// Output keeps HAProxy at the backends that it is given. Set and Problem are safe for concurrent use; Run may be called once.
type Output struct {
	o       Options
	metrics metrics
	wake    chan struct{}

	mu      sync.Mutex
	next    map[string][]service.Backend // that Run has not seen yet
	given   map[string][]service.Backend // that Set was given last
	planned *plan                        // that Run has not taken over yet; nil when there is none
	shown   shown
	problem error

	// What follows belongs to Run, as does o.
	r        *Renderer
	s        state
	missing  map[string]bool // services that were not set yet
	live     map[string][]service.Backend
	dirty    map[string]bool // services that the sockets have not been told of
	all      bool            // all of them are to be compared
	resyncAt time.Time
	fileAt   time.Time // earliest next writing
	reloadAt time.Time // earliest next reload; zero when none was wanted yet
	reload   string    // why one is needed
	failures int       // of reloads in a row
	unsaved  bool
	written  string // hash of the text that is in the file by us
	writing  bool   // the file and the state are being written, and puts will tell
	puts     chan put
	faults   map[string]error
}

// New checks everything that can be checked without HAProxy.
func New(o Options) (*Output, error) {
	p, err := newPlan(o)
	if err != nil {
		return nil, err
	}
	o = p.o
	out := &Output{
		o: o, metrics: newMetrics(o.Registerer), wake: make(chan struct{}, 1), next: map[string][]service.Backend{}, given: map[string][]service.Backend{},
		live: map[string][]service.Backend{}, puts: make(chan put, 1), dirty: map[string]bool{}, faults: map[string]error{},
	}
	out.s, err = readState(o.StateFile)
	if err != nil {
		o.Log.Warn("what was loaded into haproxy is not known; it will be reloaded once", "error", err)
	}
	out.adopt(p)
	return out, nil
}

// Set gives a service its backends, in the order of their discovery. Nothing is written before each service was given its backends
// once, so that a start never empties what runs.
func (o *Output) Set(name string, backends []service.Backend) {
	o.mu.Lock()
	o.next[name], o.given[name] = backends, backends
	o.mu.Unlock()
	o.rouse()
}

func (o *Output) rouse() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// Problem says what keeps HAProxy from being as it should be, or nil.
func (o *Output) Problem() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.problem
}

// Run works until ctx is done.
func (o *Output) Run(ctx context.Context) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			if o.writing {
				o.wrote(ctx, <-o.puts, o.o.Now())
			}
			o.save(o.o.Now())
			return nil
		case <-o.wake:
		case <-timer.C:
		}
		timer.Reset(o.turn(ctx))
	}
}

// turn does what is due, and returns how long there is nothing more to do.
func (o *Output) turn(ctx context.Context) time.Duration {
	now := o.o.Now()
	o.take(now)
	if len(o.missing) > 0 {
		return time.Hour
	}
	if !now.Before(o.resyncAt) {
		o.all, o.resyncAt = true, now.Add(o.o.Resync)
	}
	if o.s.Structure != o.structure() {
		o.need("the structure of the configuration has changed", now)
	}
	o.tell(ctx, now)
	o.write(ctx, now)
	o.settle(ctx)
	wake := o.resyncAt
	for _, at := range []time.Time{o.pendingFile(), o.pendingReload()} {
		if !at.IsZero() && at.Before(wake) {
			wake = at
		}
	}
	return max(wake.Sub(o.o.Now()), time.Millisecond)
}

// take renders the services that were set, and those of which a server is gone for long.
func (o *Output) take(now time.Time) {
	o.mu.Lock()
	next, p := o.next, o.planned
	o.next = map[string][]service.Backend{}
	o.mu.Unlock()
	for name, backends := range next {
		delete(o.missing, name)
		o.live[name] = backends
		o.dirty[name] = true
	}
	if p != nil && p.ready(o.live) {
		o.adopt(p)
	}
	for name, gone := range o.s.Gone {
		if slices.ContainsFunc(gone, func(g Gone) bool { return now.Sub(g.Since) >= o.o.KeepGone }) {
			o.dirty[name] = true
		}
	}
	for name := range o.dirty {
		if s := o.r.byName[name]; s == nil {
			delete(o.dirty, name)
		} else {
			o.render(s, now)
		}
	}
}

// render renders what is there. What is gone and could not be added again at run time stays as disabled for a while.
func (o *Output) render(s *rendered, now time.Time) {
	there := map[string]bool{}
	var live, all []Server
	for _, b := range o.live[s.Name] {
		x := Server{Backend: b}
		there[x.Name()] = true
		live = append(live, x)
	}
	candidates := o.s.Gone[s.Name]
	for _, x := range s.servers {
		if !x.Gone {
			candidates = append(slices.Clip(candidates), Gone{x.Backend, now})
		}
	}
	var gone []Gone
	for _, g := range candidates {
		x := Server{Backend: g.Backend, Gone: true}
		if !o.addable(s) && !there[x.Name()] && now.Sub(g.Since) < o.o.KeepGone {
			there[x.Name()] = true
			gone, all = append(gone, g), append(all, x)
		}
	}
	o.s.Gone[s.Name] = gone
	if len(gone) == 0 {
		delete(o.s.Gone, s.Name)
	}
	s.running = IDs{}
	for name, l := range o.s.Loaded[s.backendName()] {
		if id, ok := ownID(l.Text); ok {
			s.running[name] = id
		}
	}
	o.fault("service "+s.Name, o.r.Set(s.Name, append(all, live...)))
	o.s.IDs[s.Name] = s.ids
	o.unsaved = true
}

func (o *Output) structure() string { return hash(o.r.Structure()) }

func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:16])
}

// need notes that only a reload will do. The first reason is the one that is told.
func (o *Output) need(why string, now time.Time) {
	if o.reload != "" {
		return
	}
	o.reload = why
	if at := now.Add(o.jitter()); o.reloadAt.Before(at) {
		o.reloadAt = at
	}
}

func (o *Output) jitter() time.Duration {
	most := time.Duration(o.o.ReloadJitter * float64(o.o.ReloadInterval))
	if most <= 0 {
		return 0
	}
	return rand.N(most)
}

func (o *Output) pendingReload() time.Time {
	if o.reload == "" || o.writing {
		return time.Time{}
	}
	return o.reloadAt
}

func (o *Output) pendingFile() time.Time {
	if o.writing || o.reload != "" || o.written == hash(o.r.Text()) && !o.unsaved {
		return time.Time{}
	}
	return o.fileAt
}

func (o *Output) save(now time.Time) {
	if !o.unsaved {
		return
	}
	o.s.At = now
	b, err := json.Marshal(o.s)
	if err == nil {
		err = writeState(o.o.StateFile, b)
	}
	o.unsaved = err != nil
	o.fault("state", remembering(err))
}

func remembering(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("remember what was loaded into HAProxy: %w", err)
}

// fault notes what is wrong in one place, and logs when that changes.
func (o *Output) fault(place string, err error) {
	old := o.faults[place]
	switch {
	case err == nil && old == nil, err != nil && old != nil && err.Error() == old.Error():
		return
	case err == nil:
		delete(o.faults, place)
		o.o.Log.Info("haproxy output is well again", "where", place)
	default:
		o.faults[place] = err
		o.o.Log.Warn("haproxy output has a problem", "where", place, "error", err)
	}
}

// settle publishes what is wrong.
func (o *Output) settle(ctx context.Context) {
	if ctx.Err() != nil {
		return
	}
	var all []error
	for _, place := range []string{"file", "reload", "sockets", "state"} {
		if err := o.faults[place]; err != nil {
			all = append(all, err)
		}
	}
	for place, err := range o.faults {
		if strings.HasPrefix(place, "service ") {
			all = append(all, err)
		}
	}
	o.mu.Lock()
	o.problem = errors.Join(all...)
	o.mu.Unlock()
}
