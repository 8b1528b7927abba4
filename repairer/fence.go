package repairer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"glia"
	gliav1 "glia/api/glia/v1"
)

// Nothing is done outside of the store by a repairer whose term may be over: each act asks for that first. The
// parts below put the question before every act of the part that they stand for.

// fencedHosts sends orders while the term is held.
type fencedHosts struct {
	Hosts
	store Store
}

func (f fencedHosts) Execute(ctx context.Context, host string, o *gliav1.Order) (*gliav1.ExecuteResponse, error) {
	if err := f.store.Held(); err != nil {
		return nil, fmt.Errorf("order %s to %s: %w", o.GetKey(), host, err)
	}
	r, err := f.Hosts.Execute(ctx, host, o)
	return r, outranked(ctx, f.store, host, err)
}

// fencedTracker changes tickets while the term is held.
type fencedTracker struct {
	Tracker
	store Store
}

func (f fencedTracker) File(ctx context.Context, key string, t Ticket) (string, error) {
	if err := f.store.Held(); err != nil {
		return "", err
	}
	return f.Tracker.File(ctx, key, t)
}

func (f fencedTracker) Update(ctx context.Context, id, title, body string) error {
	if err := f.store.Held(); err != nil {
		return err
	}
	return f.Tracker.Update(ctx, id, title, body)
}

func (f fencedTracker) Attach(ctx context.Context, key, id, name string, data []byte) error {
	if err := f.store.Held(); err != nil {
		return err
	}
	return f.Tracker.Attach(ctx, key, id, name, data)
}

func (f fencedTracker) Comment(ctx context.Context, key, id, text string) error {
	if err := f.store.Held(); err != nil {
		return err
	}
	return f.Tracker.Comment(ctx, key, id, text)
}

func (f fencedTracker) Reopen(ctx context.Context, key, id, text string) error {
	if err := f.store.Held(); err != nil {
		return err
	}
	return f.Tracker.Reopen(ctx, key, id, text)
}

func (f fencedTracker) Close(ctx context.Context, key, id, text string) error {
	if err := f.store.Held(); err != nil {
		return err
	}
	return f.Tracker.Close(ctx, key, id, text)
}

// fenced puts the term before the parts of an engine; drivers, which have abilities of their own, are asked to work in
// one place only.
func (o Options) fenced() Options {
	o.Hosts, o.Tracker = fencedHosts{o.Hosts, o.Store}, fencedTracker{o.Tracker, o.Store}
	return o
}

// outranked tells a repairer that was deposed, which err then says, from one that leads and meets a hand that obeys
// another database. To take a higher epoch in turns with the leader of that one would undo the fence, so
// this needs a person.
func outranked(ctx context.Context, st Store, host string, err error) error {
	var known refusedError
	if !errors.Is(err, glia.ErrStaleEpoch) || errors.As(err, &known) || st.Held() != nil {
		return err
	}
	if newest, dbErr := st.Newest(ctx); dbErr != nil || newest != st.Epoch() {
		return err
	}
	return refusedError{fmt.Sprintf("the hand of %s obeys a newer epoch than %d, although no repairer of this database has one: it works for another database, or this one was put back from a backup (%s)", host, st.Epoch(), brief(err))}
}

// Bounds of telling a hand the epoch: of one attempt, and between two to a host that did not answer.
const (
	fenceWithin = 3 * time.Second
	fenceAgain  = 5 * time.Second
	fenceTask   = "fence" // its name among the cases that are busy
)

// fences are the hosts that do not know this term yet. It is safe for concurrent use.
type fences struct {
	mu     sync.Mutex
	told   bool                 // every host was told once, or tried to
	behind map[string]time.Time // hosts with started cases that have not heard the epoch, and when they were told last
	why    map[string]string    // those of them that refuse for good
}

// fence tells the hands of all hosts with started cases which epoch this repairer has, before its first act, so that
// they refuse what the one before it has still on the way. Hosts that do not answer keep nobody waiting: they are
// told again from time to time, and by each order of their own.
func (e *Engine) fence(ctx context.Context, l *snapshot, run func(c Case, step func() error)) error {
	f := &e.fences
	f.mu.Lock()
	first := !f.told
	if first && f.behind == nil {
		f.behind, f.why = map[string]time.Time{}, map[string]string{}
		for _, c := range l.facts.Open {
			f.behind[c.Host()] = time.Time{}
		}
	}
	var due []string
	for host, at := range f.behind {
		if at.IsZero() || l.facts.Now.Sub(at) >= fenceAgain {
			due = append(due, host)
		}
	}
	for _, why := range f.why {
		l.findings = append(l.findings, why)
	}
	f.mu.Unlock()
	slices.Sort(due)
	slices.Sort(l.findings)
	switch {
	case first:
		if err := e.tellHands(ctx, due, l.facts.Now); err != nil {
			return err
		}
		f.mu.Lock()
		f.told = true
		f.mu.Unlock()
	case len(due) > 0 && e.claim(fenceTask):
		run(Case{ID: fenceTask}, func() error {
			defer e.unclaim(fenceTask)
			return e.tellHands(ctx, due, l.facts.Now)
		})
	}
	return nil
}

// tellHands returns an error only when this repairer was deposed.
func (e *Engine) tellHands(ctx context.Context, hosts []string, now time.Time) error {
	var g errgroup.Group
	g.SetLimit(e.Parallel)
	for _, host := range hosts {
		g.Go(func() error {
			attempt, cancel := context.WithTimeout(ctx, fenceWithin)
			defer cancel()
			err := outranked(attempt, e.Store, host, e.Hosts.Fence(attempt, host, e.Store.Epoch()))
			if errors.Is(err, glia.ErrStaleEpoch) {
				return fmt.Errorf("tell the hand of %s the epoch: %w", host, err)
			}
			e.fences.note(e, host, err, now)
			return nil
		})
	}
	return g.Wait()
}

func (f *fences) note(e *Engine, host string, err error, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil {
		delete(f.behind, host)
		delete(f.why, host)
		return
	}
	var refused refusedError
	if errors.As(err, &refused) {
		f.why[host] = refused.reason
	}
	if f.behind[host].IsZero() {
		e.Log.Warn("hand has not heard that this repairer leads, trying again", "host", host, "epoch", e.Store.Epoch(), "error", err)
	}
	f.behind[host] = now
}
