// Package source follows where the backends of one service are told: ZooKeeper as Smartstack uses it, Consul, DNS, a file, or a list
// that never changes; and several of them as one.
//
// ZooKeeper and Consul can have settings of the service too, which are told as they are, for others to judge.
//
// A source tells the whole present list each time, never what has changed. What can not be read is told as an error, and is never a list
// that is empty. One backend that can not be read is left out and named; it hides no other.
package source

import (
	"context"
	"errors"
	"fmt"
	"time"

	"glia/synapse/service"
)

// Observation is what a source shows at one moment.
type Observation struct {
	Backends []service.Backend
	Skipped  []string // what was there and is no backend, each with the reason
	Settings Settings // of the service
	Err      error    // why nothing is known; the other fields are then empty
}

// Settings is what a registry says of a service beside its backends.
type Settings struct {
	Document string // as it is there; empty when there is none, or when nobody wants it
	Problem  string // why it can not be read; then nothing is known of it
}

// Source is a place where backends are told.
type Source interface {
	// Run tells the present state, and each later one, until ctx is done. tell is not called again after Run has returned.
	Run(ctx context.Context, tell func(Observation))
}

// Static is a source that never changes.
type Static []service.Backend

var _ Source = Static(nil)

// Run tells the list once.
func (s Static) Run(ctx context.Context, tell func(Observation)) {
	tell(Observation{Backends: s})
	<-ctx.Done()
}

// poll asks again and again.
func poll(ctx context.Context, every time.Duration, tell func(Observation), ask func(context.Context) Observation) {
	for {
		o := ask(ctx)
		if ctx.Err() != nil {
			return
		}
		tell(o)
		select {
		case <-ctx.Done():
			return
		case <-time.After(every):
		}
	}
}

// Combine is how several sources become one.
type Combine string

// The ways of combining.
const (
	Union      Combine = "union"      // the backends of all that answer
	Sequential Combine = "sequential" // those of the first that answers and has any
	Fallback   Combine = "fallback"   // those of the first that answers, even when it has none
)

// One makes one observation of the newest ones of several sources, in their order. It is an error while nothing is known.
func (c Combine) One(newest []Observation) Observation {
	if len(newest) == 1 {
		return newest[0]
	}
	var out Observation
	var bad []error
	answered := false
	for i, o := range newest {
		if o.Err != nil {
			bad = append(bad, fmt.Errorf("source %d: %w", i+1, o.Err))
			continue
		}
		out.Skipped = append(out.Skipped, o.Skipped...)
		answered = true
		switch {
		case c == Union:
			out.Backends = append(out.Backends, o.Backends...)
		case c == Fallback || len(o.Backends) > 0:
			return Observation{Backends: o.Backends, Skipped: out.Skipped}
		}
	}
	if !answered || c == Sequential && len(bad) > 0 {
		// That one has none says nothing about those that do not answer.
		return Observation{Err: errors.Join(bad...)}
	}
	return out
}
