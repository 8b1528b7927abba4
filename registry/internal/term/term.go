// Package term keeps one term of a leader. It guarantees that Lost is closed before the lease can expire at the
// registry, by a clock of the leader, whatever the registry answers or fails to answer. A process that is stopped
// can not notice; when it goes on Held says so at once, Lost follows, and the epoch covers the rest.
package term

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"glia"
	"glia/registry"
)

// ErrOver is returned by Renew and Watch when the registry has said that the lease is over.
var ErrOver = errors.New("lease is over")

// The parts of a lease.
const (
	renewals = 3  // the leader renews once in a third
	retries  = 24 // and tries again after so much when the registry did not answer
	safety   = 10 // it gives up so much before the end
)

// releaseWithin is what a release may take at least. Registries end a lease later than its time, so that also a late release helps.
const releaseWithin = 5 * time.Second

// Lease is how a backend keeps a leader in place. All functions are bounded by their context.
type Lease struct {
	Epoch   uint64
	TTL     time.Duration                   // how long the lease holds after a renewal, at least
	Renew   func(ctx context.Context) error // nil when the lease was confirmed after the call began
	Watch   func(ctx context.Context) error // waits until the registry says that the lease is over
	Release func(ctx context.Context) error // ends the lease; called once after the end of the term, whether it is over or not
	Log     *slog.Logger
}

// Term is a running term. It is safe for concurrent use.
type Term struct {
	lease Lease
	until atomic.Pointer[Instant] // we lead until then for certain
	lost  chan struct{}
	ended chan struct{}
	err   error // of Release; set before ended is closed
	stop  context.CancelFunc
}

var _ registry.Term = (*Term)(nil)

// extend notes that the lease was confirmed at some time after asked.
func (t *Term) extend(asked Instant) {
	until := asked.add(t.lease.TTL - t.lease.TTL/safety)
	t.until.Store(&until)
}

// Start begins a term whose lease was confirmed at some time after asked.
func Start(l Lease, asked Instant) *Term {
	ctx, stop := context.WithCancel(context.Background())
	t := &Term{lease: l, lost: make(chan struct{}), ended: make(chan struct{}), stop: stop}
	t.extend(asked)
	go t.keep(ctx)
	return t
}

// Epoch is part of registry.Term.
func (t *Term) Epoch() uint64 { return t.lease.Epoch }

// Lost is part of registry.Term.
func (t *Term) Lost() <-chan struct{} { return t.lost }

// Held is part of registry.Term. A goroutine that woke up may ask before the one that renews has noticed anything.
func (t *Term) Held() error {
	select {
	case <-t.lost:
	default:
		if Now().before(*t.until.Load()) {
			return nil
		}
	}
	return fmt.Errorf("the leadership of epoch %d has run out: %w", t.lease.Epoch, glia.ErrStaleEpoch)
}

// keep renews until the term ends, then closes lost, then releases what is left of the lease.
func (t *Term) keep(ctx context.Context) {
	defer close(t.ended)
	ctx, cancel := context.WithCancel(ctx)
	over := make(chan struct{})
	var watcher sync.WaitGroup
	watcher.Go(func() {
		if t.lease.Watch(ctx) != nil && ctx.Err() == nil {
			close(over)
		}
	})
	t.renew(ctx, over)
	close(t.lost)
	cancel()
	watcher.Wait()
	release, cancel := context.WithTimeout(context.Background(), max(t.lease.TTL, releaseWithin))
	defer cancel()
	t.err = t.lease.Release(release)
}

func (t *Term) renew(ctx context.Context, over <-chan struct{}) {
	l := t.lease
	for failed := false; ; {
		wait, until := l.TTL/renewals, *t.until.Load()
		if failed {
			wait = l.TTL / retries
		}
		select {
		case <-ctx.Done():
			return
		case <-over:
			l.Log.Error("leadership is lost, the registry says so", "epoch", l.Epoch)
			return
		case <-time.After(min(wait, time.Until(until.monotonic))):
		}
		asked := Now()
		attempt, cancel := context.WithDeadline(ctx, until.monotonic)
		result := make(chan error, 1)
		go func() { result <- l.Renew(attempt) }()
		var err error
		select {
		case err = <-result:
		case <-over:
			err = ErrOver
		}
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err == nil && Now().before(until):
			failed = false
			t.extend(asked)
		case errors.Is(err, ErrOver):
			l.Log.Error("leadership is lost, the registry says so", "epoch", l.Epoch)
			return
		case !Now().before(until):
			l.Log.Error("leadership is lost, it could not be renewed in time", "epoch", l.Epoch, "error", err)
			return
		case !failed:
			failed = true
			l.Log.Warn("leadership is not renewed, trying again", "epoch", l.Epoch, "left", time.Until(until.monotonic).Round(time.Millisecond), "error", err)
		}
	}
}

// Resign is part of registry.Term.
func (t *Term) Resign(ctx context.Context) error {
	t.stop()
	var err error
	select {
	case <-t.ended:
		err = t.err
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("resign: others lead once the lease of %s has expired: %w", t.lease.TTL, err)
	}
	return nil
}
