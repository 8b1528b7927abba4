package repairer

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"glia"
)

// The keys of what is kept in the store for the whole fleet.
const (
	keyBreaker = "breaker"
	keyStorms  = "storms"
)

// snapshot is what all cases of one tick share: the view, the open cases and the facts drawn from them.
type snapshot struct {
	view     glia.FleetView
	viewErr  error
	hosts    map[string]*glia.HostView
	cases    []*Case // open ones, in the order of their opening
	facts    Facts
	findings []string // about the fleet as a whole
}

// snapshot gathers the facts. It moves the storm and the breaker on, and keeps them in the store when they
// have changed, before anybody acts on them.
func (e *Engine) snapshot(ctx context.Context) (*snapshot, error) {
	l, err := e.gather(ctx)
	if err != nil {
		return nil, err
	}
	e.memory.moving.Lock()
	defer e.memory.moving.Unlock()
	if err := e.weather(ctx, l); err != nil {
		return nil, err
	}
	if err := e.fuse(ctx, l); err != nil {
		return nil, err
	}
	for _, h := range l.view.Hosts {
		if a := h.Member.Announcement; a.Finding != "" && h.Member.Status == glia.MemberAlive {
			l.findings = append(l.findings, a.Host+": "+a.Finding+"; look at the host before any disk")
		}
	}
	e.publish(l)
	return l, nil
}

// gather reads everything and changes nothing.
func (e *Engine) gather(ctx context.Context) (*snapshot, error) {
	l := &snapshot{}
	l.view, l.viewErr = e.Feed.View()
	l.hosts = make(map[string]*glia.HostView, len(l.view.Hosts))
	for i := range l.view.Hosts {
		h := &l.view.Hosts[i]
		l.hosts[h.Member.Announcement.Host] = h
	}
	now := e.Now()
	var err error
	if l.cases, err = e.memory.look(ctx, e.Store); err != nil {
		return nil, fmt.Errorf("read the open cases: %w", err)
	}
	past, newest := e.memory.past()
	l.facts = Facts{
		Now: now, Past: past, Limits: e.Limits, Domains: e.Domains, Pools: e.Pools, Windows: e.Windows,
		ViewAt: l.view.At, MaxViewAge: e.MaxViewAge, Newest: newest, OpenStates: e.States,
		StormCoolDown: e.Storms.CoolDown, Flap: e.Flap, Stop: StopFile(e.StopFile),
		lookup: e.lookup, Disks: countDisks(l.view, e.lookup),
	}
	if l.facts.Pauses, err = e.Store.Pauses(ctx, now); err != nil {
		return nil, fmt.Errorf("read the pauses: %w", err)
	}
	for _, c := range l.cases {
		if c.Started {
			l.facts.Open = append(l.facts.Open, *c)
		}
	}
	if err := e.load(ctx, keyStorms, &l.facts.Storms); err != nil {
		return nil, err
	}
	if err := e.load(ctx, keyBreaker, &l.facts.Breaker); err != nil {
		return nil, err
	}
	e.compare(l)
	return l, nil
}

// compare looks for what the bad disks have in common.
func (e *Engine) compare(l *snapshot) {
	storm := func(host string) string {
		scope, _ := l.facts.Storms.over(host, e.lookup(host))
		return scope
	}
	l.facts.Cohorts = Cohorts(l.view, e.States, e.Cohorts, storm, l.facts.Now)
}

// lookup names the domains of a host. It remembers them, because they stay as the configuration has them.
func (e *Engine) lookup(host string) []string {
	m := &e.memory
	m.mu.Lock()
	defer m.mu.Unlock()
	out, ok := m.domains[host]
	if !ok {
		if m.domains == nil {
			m.domains = map[string][]string{}
		}
		out = domainsOf(e.Domains, host)
		m.domains[host] = out
	}
	return out
}

// weather looks for storms. Without a fresh view the weather stays as it was; nothing starts then.
func (e *Engine) weather(ctx context.Context, l *snapshot) error {
	f := &l.facts
	if gateFreshness(Case{}, *f) == nil {
		signs := ReadSigns(l.view, e.States, e.window(), e.lookup, f.Now)
		next := NextStorms(f.Storms, e.Storms, signs, e.Limits.expect, f.Now)
		changed := !maps.EqualFunc(next, f.Storms, func(a, b Storm) bool { return a.Phase == b.Phase })
		if changed {
			text := cmp.Or(strings.Join(next.findings(), "; "), "all storms are over")
			if err := e.keep(ctx, keyStorms, next, Event{At: f.Now, Kind: KindStorm, Text: text}); err != nil {
				return err
			}
			e.Log.Warn("storms have changed", "now", text)
		}
		f.Storms = next
		if changed {
			e.compare(l)
		}
		l.findings = append(l.findings, next.findings()...)
	}
	return nil
}

// window is the time in which failures are counted.
func (e *Engine) window() time.Duration {
	if e.Limits.Window > 0 {
		return e.Limits.Window
	}
	return 24 * time.Hour
}

// fuse looks whether the breaker must trip.
func (e *Engine) fuse(ctx context.Context, l *snapshot) error {
	f := &l.facts
	openings, starts, alarms := e.memory.times()
	for _, c := range l.cases {
		openings = append(openings, c.OpenedAt)
		if c.Started {
			starts = append(starts, c.StartedAt)
		}
	}
	next := NextBreaker(f.Breaker, e.Breakers, openings, starts, alarms, f.Now)
	if next.Tripped != f.Breaker.Tripped {
		if err := e.keep(ctx, keyBreaker, next, Event{At: f.Now, Kind: KindTripped, Text: "the breaker has tripped: " + next.Why}); err != nil {
			return err
		}
		e.Log.Error("breaker tripped", "why", next.Why)
	}
	f.Breaker = next
	if next.Tripped {
		l.findings = append(l.findings, "the breaker has tripped: "+next.Why+"; look into it, then glia breaker reset")
	}
	return nil
}

// load reads a value of the fleet; one that was never kept is left as it is.
func (e *Engine) load(ctx context.Context, key string, into any) error {
	text, err := e.Store.Get(ctx, key)
	switch {
	case errors.Is(err, glia.ErrNotFound):
		return nil
	case err != nil:
		return fmt.Errorf("read the %s: %w", key, err)
	}
	if err := json.Unmarshal([]byte(text), into); err != nil {
		return fmt.Errorf("read the %s: the store has %q: %w", key, text, err)
	}
	return nil
}

// keep keeps a value of the fleet, and why it has changed.
func (e *Engine) keep(ctx context.Context, key string, v any, event Event) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if err := e.Store.Set(ctx, key, string(b), event); err != nil {
		return fmt.Errorf("keep the %s: %w", key, err)
	}
	return nil
}

// ResetBreaker closes the breaker on the word of a person. It tells whether it was tripped.
func (e *Engine) ResetBreaker(ctx context.Context, person, reason string) (was Breaker, err error) {
	e.memory.moving.Lock()
	defer e.memory.moving.Unlock()
	if err := e.load(ctx, keyBreaker, &was); err != nil || !was.Tripped {
		return was, err
	}
	now := was.Reset(person, reason, e.Now())
	event := Event{At: now.ResetAt, Kind: KindReset, Text: "the breaker is reset by " + now.ResetBy, Data: Data{Person: person, Reason: reason}}
	if err := e.keep(ctx, keyBreaker, now, event); err != nil {
		return was, err
	}
	e.Log.Warn("breaker reset", "by", person, "reason", reason, "was", was.Why)
	e.Wake()
	return was, nil
}

// fromView finds a disk in the fleet view. The view has no detail of hosts on which all is well; then
// the nerve itself is asked.
func (l *snapshot) fromView(e *Engine) func(ctx context.Context, host, serial string) (glia.DiskStatus, error) {
	return func(ctx context.Context, host, serial string) (glia.DiskStatus, error) {
		h := l.hosts[host]
		switch {
		case h == nil && l.viewErr != nil:
			return glia.DiskStatus{}, l.viewErr
		case h == nil:
			return glia.DiskStatus{}, fmt.Errorf("host %s is not in the fleet view", host)
		case h.Member.Status != glia.MemberAlive:
			return glia.DiskStatus{}, fmt.Errorf("host %s is %s", host, h.Member.Status)
		}
		for _, d := range h.Disks {
			if d.Disk.Serial() == serial {
				return d, nil
			}
		}
		return e.disk(ctx, host, serial)
	}
}
