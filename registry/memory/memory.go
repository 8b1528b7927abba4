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
	journal registry.Journal // what is shown of each host

	mu      sync.Mutex
	members map[string]glia.Member // by the name of the announcer, which is the host's for Announce
	claims  map[string][]string    // names of the announcers by the host that they announce
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
	old, known := r.members[name]
	was, is := old.Announcement.Host, m.Announcement.Host
	if r.members == nil {
		r.members, r.claims = map[string]glia.Member{}, map[string][]string{}
	}
	r.members[name] = m
	moved := !known || was != is
	if moved {
		r.claims[is] = append(r.claims[is], name)
	}
	changed := false
	if known && moved {
		r.unclaim(was, name)
		changed = r.show(was)
	}
	changed = r.show(is) || changed
	if changed {
		r.writes++
	}
	r.mu.Unlock()
	if changed {
		r.changes.Send()
	}
}

// show brings the journal in line with what is claimed of a host.
func (r *Registry) show(host string) bool {
	var all []glia.Member
	for _, name := range r.claims[host] {
		all = append(all, r.members[name])
	}
	return r.journal.Set(host, all...)
}

func (r *Registry) unclaim(host, name string) {
	r.claims[host] = slices.DeleteFunc(r.claims[host], func(n string) bool { return n == name })
	if len(r.claims[host]) == 0 {
		delete(r.claims, host)
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
	if m, known := r.members[name]; known {
		delete(r.members, name)
		r.unclaim(m.Announcement.Host, name)
		r.show(m.Announcement.Host)
		r.writes++
	}
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
	if err := r.vouch(ctx); err != nil {
		return nil, err
	}
	return r.journal.Members(), nil
}

// Since tells what differs from the state that the mark names.
func (r *Registry) Since(ctx context.Context, m registry.Mark) (registry.Delta, error) {
	if err := r.vouch(ctx); err != nil {
		return registry.Delta{}, err
	}
	return r.journal.Since(m), nil
}

func (r *Registry) vouch(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := cmp.Or(ctx.Err(), r.err); err != nil {
		return fmt.Errorf("read members: %w", err)
	}
	return nil
}

// Changes signals after every change.
func (r *Registry) Changes(ctx context.Context) <-chan struct{} { return r.changes.Subscribe(ctx) }
