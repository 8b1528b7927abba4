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
}

var _ Backend = (*Registry)(nil)

// New returns a registry made of these, in order of preference.
func New(mode Mode, backends ...Named) *Registry { return &Registry{mode, backends} }

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
	if r.mode == Prefer {
		return r.first(ctx)
	}
	lists := make([][]glia.Member, len(r.backends))
	g, ctx := errgroup.WithContext(ctx)
	for i, b := range r.backends {
		g.Go(func() (err error) {
			lists[i], err = b.Members(ctx)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("one of %d registries: %w", len(r.backends), err)
	}
	return Merge(lists...), nil
}

func (r *Registry) first(ctx context.Context) ([]glia.Member, error) {
	var errs []error
	for _, b := range r.backends {
		m, err := b.Members(ctx)
		if err == nil {
			return m, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
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
