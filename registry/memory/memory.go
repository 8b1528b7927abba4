// Package memory is a registry inside one process, for tests and simulations. It guarantees the
// contract of package registry for thousands of hosts without network or timers, and fails only
// where a test tells it to.
package memory

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	"glia"
	"glia/registry"
)

// Registry holds what was announced. The zero Registry is empty and ready.
type Registry struct {
	changes registry.Signal

	mu      sync.Mutex
	members map[string]glia.Member // by the name of the announcer, which is the host's for Announce
	err     error                  // what Members and Announce return instead of working
	writes  int
}

var (
	_ registry.Announcer = (*Registry)(nil)
	_ registry.Watcher   = (*Registry)(nil)
)

// Announce shows a for its host, which is alive from then on.
func (r *Registry) Announce(ctx context.Context, a glia.Announcement) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("announce %s: %w", a.Host, err)
	}
	r.mu.Lock()
	err := r.err
	r.mu.Unlock()
	if err != nil {
		return fmt.Errorf("announce %s: %w", a.Host, err)
	}
	r.Put(a.Host, glia.Member{Announcement: a, Status: glia.MemberAlive})
	return nil
}

// Put shows m for the announcer of that name, whatever it says. It is the way to show hosts that
// announce nonsense, and two announcers that claim one host.
func (r *Registry) Put(name string, m glia.Member) {
	m.Announcement.Bad = slices.Clone(m.Announcement.Bad)
	r.mu.Lock()
	old, ok := r.members[name]
	changed := !ok || old.Status != m.Status || old.Problem != m.Problem ||
		old.Announcement.Generation != m.Announcement.Generation || !old.Announcement.SameDigest(m.Announcement)
	if changed {
		if r.members == nil {
			r.members = map[string]glia.Member{}
		}
		r.members[name] = m
		r.writes++
	}
	r.mu.Unlock()
	if changed {
		r.changes.Send()
	}
}

// SetStatus changes what the registry knows about an announcer itself. An unknown name is ignored.
func (r *Registry) SetStatus(name string, s glia.MemberStatus) {
	r.mu.Lock()
	m, ok := r.members[name]
	r.mu.Unlock()
	if ok {
		m.Status = s
		r.Put(name, m)
	}
}

// Forget removes an announcer, as a backend does some time after it left or went away.
func (r *Registry) Forget(name string) {
	r.mu.Lock()
	delete(r.members, name)
	r.writes++
	r.mu.Unlock()
	r.changes.Send()
}

// Fail makes every call fail with err from now on; nil makes them work again.
func (r *Registry) Fail(err error) {
	r.mu.Lock()
	r.err = err
	r.mu.Unlock()
	r.changes.Send()
}

// Writes tells how often what is shown has changed.
func (r *Registry) Writes() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.writes
}

// Members tells every announcer, sorted by host.
func (r *Registry) Members(ctx context.Context) ([]glia.Member, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("read members: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return nil, fmt.Errorf("read members: %w", r.err)
	}
	out := make([]glia.Member, 0, len(r.members))
	for _, m := range r.members {
		m.Announcement.Bad = slices.Clone(m.Announcement.Bad)
		out = append(out, m)
	}
	slices.SortFunc(out, func(a, b glia.Member) int {
		return cmp.Or(cmp.Compare(a.Announcement.Host, b.Announcement.Host), cmp.Compare(a.Announcement.API, b.Announcement.API))
	})
	return out, nil
}

// Changes signals after every change.
func (r *Registry) Changes(ctx context.Context) <-chan struct{} { return r.changes.Subscribe(ctx) }
