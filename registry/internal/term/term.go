// Package term keeps one term of a leader. It guarantees that Lost is closed before the lease can expire at the
// registry, by the leader's own monotonic clock, whatever the registry answers or fails to answer. A process that
// is stopped can not notice; it does as its first thing when it goes on, and the token covers the rest.
package term

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

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

// Lease is how a backend keeps a leader in place. All functions are bounded by their context.
type Lease struct {
	Token   uint64
	TTL     time.Duration                   // how long the lease holds after a renewal, at least
	Renew   func(ctx context.Context) error // nil when the lease was confirmed after the call began
	Watch   func(ctx context.Context) error // waits until the registry says that the lease is over
	Release func(ctx context.Context) error // ends the lease; called once after the end of the term, whether it is over or not
	Log     *slog.Logger
}

// Term is a running term. It is safe for concurrent use.
type Term struct {
	lease Lease
	lost  chan struct{}
	ended chan struct{}
	err   error // of Release; set before ended is closed
	stop  context.CancelFunc
}

var _ registry.Leadership = (*Term)(nil)

// Until is how long a lease that was confirmed at some time after asked is relied upon.
func (l Lease) Until(asked time.Time) time.Time { return asked.Add(l.TTL - l.TTL/safety) }

// Start begins a term whose lease was confirmed at some time after asked.
func Start(l Lease, asked time.Time) *Term {
	ctx, stop := context.WithCancel(context.Background())
	t := &Term{lease: l, lost: make(chan struct{}), ended: make(chan struct{}), stop: stop}
	go t.keep(ctx, l.Until(asked))
	return t
}

// Token is part of registry.Leadership.
func (t *Term) Token() uint64 { return t.lease.Token }

// Lost is part of registry.Leadership.
func (t *Term) Lost() <-chan struct{} { return t.lost }

// keep renews until the term ends, then closes lost, then releases what is left of the lease.
func (t *Term) keep(ctx context.Context, until time.Time) {
	defer close(t.ended)
	ctx, cancel := context.WithCancel(ctx)
	over := make(chan struct{})
	var watcher sync.WaitGroup
	watcher.Go(func() {
		if t.lease.Watch(ctx) != nil && ctx.Err() == nil {
			close(over)
		}
	})
	t.renew(ctx, until, over)
	close(t.lost)
	cancel()
	watcher.Wait()
	release, cancel := context.WithTimeout(context.Background(), t.lease.TTL)
	defer cancel()
	t.err = t.lease.Release(release)
}

func (t *Term) renew(ctx context.Context, until time.Time, over <-chan struct{}) {
	l := t.lease
	for failed := false; ; {
		wait := l.TTL / renewals
		if failed {
			wait = l.TTL / retries
		}
		select {
		case <-ctx.Done():
			return
		case <-over:
			l.Log.Error("leadership is lost, the registry says so", "token", l.Token)
			return
		case <-time.After(min(wait, time.Until(until))):
		}
		asked := time.Now()
		attempt, cancel := context.WithDeadline(ctx, until)
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
		case err == nil:
			failed, until = false, l.Until(asked)
		case errors.Is(err, ErrOver):
			l.Log.Error("leadership is lost, the registry says so", "token", l.Token)
			return
		case !time.Now().Before(until):
			l.Log.Error("leadership is lost, it could not be renewed in time", "token", l.Token, "error", err)
			return
		case !failed:
			failed = true
			l.Log.Warn("leadership is not renewed, trying again", "token", l.Token, "left", time.Until(until).Round(time.Millisecond), "error", err)
		}
	}
}

// Resign is part of registry.Leadership.
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
