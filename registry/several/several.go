// Package several is a registry made of several others, for the time in which a site moves from one to another.
// It announces to all of them, each whatever becomes of the others.
//
// It watches in one of two ways. Union shows every host that any of them shows, and vouches for the list only when
// all of them do: while one is away the watcher keeps its last view, with its age. Prefer shows what the first
// of them shows that answers, for sites where every host announces to all.
package several

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"glia"
	"glia/registry"
)

// Backend is one of the registries.
type Backend interface {
	registry.Announcer
	registry.Watcher
}

// Named is a backend with what it is called in errors.
type Named struct {
	Name string
	Backend
}

// Mode is the way to watch.
type Mode string

// The ways to watch.
const (
	Union  Mode = "union"
	Prefer Mode = "prefer"
)

// Registry is safe for concurrent use, as its backends are.
type Registry struct {
	mode     Mode
	backends []Named

	reading chan struct{} // holds one token: whoever has it reads, and may use the rest
	told    []told        // by each backend
	from    int           // the backend that was preferred last
	journal registry.Journal
}

// told is what a backend has told.
type told struct {
	mark  registry.Mark
	hosts map[string][]glia.Member
}

var _ Backend = (*Registry)(nil)

// New returns a registry made of these, in order of preference.
func New(mode Mode, backends ...Named) *Registry {
	return &Registry{mode: mode, backends: backends, reading: make(chan struct{}, 1), told: make([]told, len(backends))}
}

// Announce announces to all at once. The error tells of those to which it did not get.
func (r *Registry) Announce(ctx context.Context, a glia.Announcement) error {
	errs := make([]error, len(r.backends))
	var g errgroup.Group
	for i, b := range r.backends {
		g.Go(func() error { errs[i] = b.Announce(ctx, a); return nil })
	}
	_ = g.Wait() // never fails
	return errors.Join(errs...)
}

// Members tells what the mode says.
func (r *Registry) Members(ctx context.Context) ([]glia.Member, error) {
	if err := r.read(ctx, false); err != nil {
		return nil, err
	}
	return r.journal.Members(), nil
}

// Since tells what differs from the state that the mark names.
func (r *Registry) Since(ctx context.Context, m registry.Mark) (registry.Delta, error) {
	if err := r.read(ctx, m == registry.Mark{}); err != nil {
		return registry.Delta{}, err
	}
	return r.journal.Since(m), nil
}

// read brings the journal up to date, with all that the backends tell or with what is new of it.
func (r *Registry) read(ctx context.Context, whole bool) error {
	select {
	case r.reading <- struct{}{}:
		defer func() { <-r.reading }()
	case <-ctx.Done():
		return fmt.Errorf("read %d registries: %w", len(r.backends), context.Cause(ctx))
	}
	if whole {
		for i := range r.told {
			r.told[i].mark = registry.Mark{}
		}
	}
	if r.mode == Prefer {
		return r.readFirst(ctx)
	}
	deltas := make([]registry.Delta, len(r.backends))
	g, ctx := errgroup.WithContext(ctx)
	for i, b := range r.backends {
		g.Go(func() (err error) {
			deltas[i], err = b.Since(ctx, r.told[i].mark)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return fmt.Errorf("one of %d registries: %w", len(r.backends), err)
	}
	changed := map[string]bool{}
	for i, d := range deltas {
		r.told[i].take(d, changed)
	}
	for host := range changed {
		lists := make([][]glia.Member, len(r.told))
		for i := range r.told {
			lists[i] = r.told[i].hosts[host]
		}
		r.journal.Set(host, Merge(lists...)...)
	}
	return nil
}

// take notes what a backend tells now, and which hosts it tells of.
func (t *told) take(d registry.Delta, changed map[string]bool) {
	if d.Whole {
		for host := range t.hosts {
			changed[host] = true
		}
		t.hosts = make(map[string][]glia.Member, len(d.Hosts))
	}
	for _, h := range d.Hosts {
		changed[h.Name] = true
		if t.hosts[h.Name] = h.Members; len(h.Members) == 0 {
			delete(t.hosts, h.Name)
		}
	}
	t.mark = d.Mark
}

// readFirst takes over what the first backend tells that answers.
func (r *Registry) readFirst(ctx context.Context) error {
	var errs []error
	for i, b := range r.backends {
		t := &r.told[i]
		if i != r.from {
			t.mark = registry.Mark{}
		}
		d, err := b.Since(ctx, t.mark)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		t.mark, r.from = d.Mark, i
		if d.Whole {
			var all []glia.Member
			for _, h := range d.Hosts {
				all = append(all, h.Members...)
			}
			r.journal.Replace(all)
			return nil
		}
		for _, h := range d.Hosts {
			r.journal.Set(h.Name, h.Members...)
		}
		return nil
	}
	return errors.Join(errs...)
}

// Changes signals after the changes of any of them.
func (r *Registry) Changes(ctx context.Context) <-chan struct{} {
	out := make(chan struct{}, 1)
	for _, b := range r.backends {
		in := b.Changes(ctx)
		go func() {
			for {
				select {
				case <-ctx.Done():
					return
				case <-in:
				}
				select {
				case out <- struct{}{}:
				default: // one waits already
				}
			}
		}()
	}
	return out
}

// Merge makes one list of several. A host that is alive anywhere is alive. Of one announcer the highest generation
// counts, and of equal ones the one that tells most; several announcers of one name are all shown. Of a host that is
// alive nowhere, a goodbye counts more than silence.
func Merge(lists ...[]glia.Member) []glia.Member {
	byHost := map[string][]glia.Member{}
	for _, l := range lists {
		for _, m := range l {
			byHost[m.Announcement.Host] = append(byHost[m.Announcement.Host], m)
		}
	}
	out := make([]glia.Member, 0, len(byHost))
	for _, ms := range byHost {
		slices.SortStableFunc(ms, better)
		seen := map[string]bool{}
		for _, m := range ms {
			if len(seen) > 0 && (m.Status != glia.MemberAlive || seen[m.Announcement.API]) {
				continue
			}
			seen[m.Announcement.API] = true
			out = append(out, m)
		}
	}
	slices.SortFunc(out, func(a, b glia.Member) int {
		return cmp.Or(strings.Compare(a.Announcement.Host, b.Announcement.Host), strings.Compare(a.Announcement.API, b.Announcement.API))
	})
	return out
}

// better orders what registries tell of one host: the best first.
func better(a, b glia.Member) int {
	x, y := a.Announcement, b.Announcement
	return cmp.Or(
		cmp.Compare(rank(a), rank(b)),
		cmp.Compare(y.Generation, x.Generation),
		cmp.Compare(len(y.Bad), len(x.Bad)), // Serf cuts the list where it must
	)
}

func rank(m glia.Member) int {
	switch {
	case m.Status == glia.MemberAlive && m.Problem == "":
		return 0
	case m.Status == glia.MemberAlive:
		return 1
	case m.Status == glia.MemberLeft:
		return 2
	}
	return 3
}
