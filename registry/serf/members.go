package serf

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"

	hserf "github.com/hashicorp/serf/serf"

	"glia"
	"glia/registry"
)

// Announce sets the tags of this member to the digest of a, whose host must be this member's node.
// Tags that others set by the serf command at the very same time may be lost.
func (a *Agent) Announce(ctx context.Context, ann glia.Announcement) error {
	if ann.Host != a.node {
		return fmt.Errorf("announce %s: this agent announces %s only", ann.Host, a.node)
	}
	select {
	case a.writing <- struct{}{}:
		defer func() { <-a.writing }()
	case <-ctx.Done():
		return fmt.Errorf("announce %s: %w", ann.Host, context.Cause(ctx))
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("announce %s: %w", ann.Host, context.Cause(ctx))
	}
	if err := a.alive(); err != nil {
		return fmt.Errorf("announce %s: %w", ann.Host, err)
	}
	present := a.agent.Serf().LocalMember().Tags
	want, err := EncodeDigest(ann, present)
	if err != nil {
		return fmt.Errorf("announce %s: %w", ann.Host, err)
	}
	ann.Bad = slices.Clone(ann.Bad)
	a.announced.Store(&ann)
	if maps.Equal(present, want) {
		return nil
	}
	// Serf waits some seconds for the gossip to go out. When only that failed, the tags are set and
	// the next exchange of states carries them. When its own news of this member came in between, they
	// are not set, and the caller has to try again.
	if err := a.agent.SetTags(want); err != nil && !maps.Equal(a.agent.Serf().LocalMember().Tags, want) {
		return fmt.Errorf("announce %s: set tags: %w", ann.Host, err)
	}
	return nil
}

// Members tells every member of the cluster that announces a host.
func (a *Agent) Members(ctx context.Context) ([]glia.Member, error) {
	if err := a.look(ctx); err != nil {
		return nil, err
	}
	return a.shown.journal.Members(), nil
}

// Since tells what differs from the state that the mark names.
func (a *Agent) Since(ctx context.Context, m registry.Mark) (registry.Delta, error) {
	if err := a.look(ctx); err != nil {
		return registry.Delta{}, err
	}
	return a.shown.journal.Since(m), nil
}

// look takes over the member list of Serf.
func (a *Agent) look(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("read serf members: %w", context.Cause(ctx))
	}
	if err := a.alive(); err != nil {
		return fmt.Errorf("read serf members: %w", err)
	}
	if !a.seeds.everReached() {
		return fmt.Errorf("read serf members: %w", a.seeds.problem())
	}
	a.shown.reading.Lock()
	defer a.shown.reading.Unlock()
	all := a.agent.Serf().Members()
	list := make([]listed, len(all))
	for i, m := range all {
		list[i] = listed{m.Name, m.Tags, status(m.Status)}
	}
	a.shown.take(list)
	return nil
}

// Changes signals after every event of a member.
func (a *Agent) Changes(ctx context.Context) <-chan struct{} { return a.changes.Subscribe(ctx) }

// status translates Serf's. A member that is leaving still answers.
func status(s hserf.MemberStatus) glia.MemberStatus {
	switch s {
	case hserf.StatusAlive, hserf.StatusLeaving:
		return glia.MemberAlive
	case hserf.StatusLeft:
		return glia.MemberLeft
	default:
		return glia.MemberGone
	}
}

func memberAddr(m hserf.Member) string {
	return net.JoinHostPort(m.Addr.String(), strconv.Itoa(int(m.Port)))
}
