package memory

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"glia/registry"
	"glia/registry/internal/term"
)

// Election is where candidates of one process elect: a lease that the leader renews, and the newest epoch. It is safe
// for concurrent use.
type Election struct {
	ttl time.Duration

	mu      sync.Mutex
	changed chan struct{} // closed at the next change
	err     error         // what calls fail with instead of being answered
	epoch   uint64
	leader  *campaign // nil: nobody leads
	expires time.Time // by the monotonic clock, so that setting the other one changes nothing
}

// NewElection returns an election whose leases last for the TTL. As real servers do, it waits a while longer, half of the TTL,
// before it lets somebody else lead.
func NewElection(ttl time.Duration) *Election {
	return &Election{ttl: ttl, changed: make(chan struct{})}
}

// Fail makes every call fail with err from now on; nil makes them work again.
func (e *Election) Fail(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.err = err
	e.tell()
}

// Depose ends the lease of whoever leads.
func (e *Election) Depose() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.leader = nil
	e.tell()
}

// Leases counts the leases that are not over.
func (e *Election) Leases() (n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.current() != nil {
		n++
	}
	return n
}

// tell wakes whoever waits for a change. The mutex is held.
func (e *Election) tell() {
	close(e.changed)
	e.changed = make(chan struct{})
}

// current is who leads now. The mutex is held.
func (e *Election) current() *campaign {
	if e.leader != nil && !time.Now().Before(e.expires) {
		e.leader = nil
	}
	return e.leader
}

// Elector is one candidate, and what can befall its way to the election. It is safe for concurrent use.
type Elector struct {
	election *Election
	holder   string

	mu   sync.Mutex
	cut  bool
	hung chan struct{} // closed by Heal; nil while calls are answered
}

var (
	_ registry.Elector  = (*Elector)(nil)
	_ registry.Observer = (*Elector)(nil)
)

// Elector returns a new candidate; holder is who it is, for people.
func (e *Election) Elector(holder string) *Elector { return &Elector{election: e, holder: holder} }

// errCut is what the calls of a candidate fail with that is cut off.
var errCut = errors.New("connection refused")

// Cut makes the calls of this candidate fail until Heal.
func (c *Elector) Cut() { c.mu.Lock(); c.cut = true; c.mu.Unlock() }

// Hang leaves the calls of this candidate without an answer until Heal.
func (c *Elector) Hang() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.hung == nil {
		c.hung = make(chan struct{})
	}
}

// Heal lets everything through again.
func (c *Elector) Heal() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.hung != nil {
		close(c.hung)
	}
	c.cut, c.hung = false, nil
}

// reach is the way of one call to the election.
func (c *Elector) reach(ctx context.Context) error {
	c.mu.Lock()
	cut, hung := c.cut, c.hung
	c.mu.Unlock()
	if hung != nil {
		select {
		case <-hung:
		case <-ctx.Done():
		}
	}
	if cut {
		return errCut
	}
	return context.Cause(ctx)
}

// campaign is one campaign and the term that may come of it.
type campaign struct {
	*Elector
	asked term.Instant // before the question whose answer was that we lead
}

// Lead is part of registry.Elector.
func (c *Elector) Lead(ctx context.Context, above uint64) (registry.Term, error) {
	m := &campaign{Elector: c}
	var reason error
	for {
		epoch, wait, changed, err := m.look(ctx, above)
		if epoch > 0 {
			return m.lead(epoch), nil
		}
		if ctx.Err() == nil {
			reason = err
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil, errors.Join(fmt.Errorf("stand in the election in memory as %s: %w", c.holder, context.Cause(ctx)), reason)
		case <-changed:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// look takes the lease if it is free. Else it returns how long to wait at most, and what is closed before when something changes.
func (m *campaign) look(ctx context.Context, above uint64) (epoch uint64, wait time.Duration, changed <-chan struct{}, err error) {
	e := m.election
	m.asked = term.Now()
	if err := m.reach(ctx); err != nil {
		return 0, e.ttl / 10, nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.err != nil:
		return 0, e.ttl, e.changed, e.err
	case e.current() != nil:
		return 0, time.Until(e.expires), e.changed, nil
	}
	e.epoch = max(e.epoch, above) + 1
	e.leader, e.expires = m, time.Now().Add(e.ttl+e.ttl/2)
	e.tell()
	return e.epoch, 0, nil, nil
}

func (m *campaign) lead(epoch uint64) *term.Term {
	return term.Start(term.Lease{
		Epoch: epoch, TTL: m.election.ttl, Log: slog.New(slog.DiscardHandler),
		Renew: m.renew, Watch: m.watch, Release: m.release,
	}, m.asked)
}

func (m *campaign) renew(ctx context.Context) error {
	if err := m.reach(ctx); err != nil {
		return err
	}
	e := m.election
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.err != nil:
		return e.err
	case e.current() != m:
		return term.ErrOver
	}
	e.expires = time.Now().Add(e.ttl + e.ttl/2)
	return nil
}

// watch waits until somebody else has the lease, or nobody.
func (m *campaign) watch(ctx context.Context) error {
	e := m.election
	for ctx.Err() == nil {
		e.mu.Lock()
		ours, changed := e.current() == m, e.changed
		e.mu.Unlock()
		if !ours && m.reach(ctx) == nil {
			return term.ErrOver
		}
		select {
		case <-ctx.Done():
		case <-changed:
		}
	}
	return nil
}

func (m *campaign) release(ctx context.Context) error {
	if err := m.reach(ctx); err != nil {
		return err
	}
	e := m.election
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.err != nil {
		return e.err
	}
	if e.leader == m {
		e.leader = nil
		e.tell()
	}
	return nil
}

// Leader is part of registry.Observer.
func (c *Elector) Leader(ctx context.Context) (registry.Leader, error) {
	err := c.reach(ctx)
	e := c.election
	e.mu.Lock()
	defer e.mu.Unlock()
	if err == nil {
		err = e.err
	}
	if err != nil {
		return registry.Leader{}, fmt.Errorf("ask the election in memory who leads: %w", err)
	}
	l := registry.Leader{Epoch: e.epoch}
	if now := e.current(); now != nil {
		l.Holder = now.holder
	}
	return l, nil
}
