package serf

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"glia"
	"glia/registry"
)

// RemoteOptions say which agent a Remote works through.
type RemoteOptions struct {
	Addr     string        // host:port of its RPC
	AuthKey  string        // that it wants; empty for none
	DropIn   string        // file below its configuration directory that keeps our tags over its reloads; empty for none
	Interval time.Duration // between two looks at what it shows; 0 is 5 s
	Claim    time.Duration // how long services in DropIn from before a restart are shown that are not put again; 0 is 1 min
	Log      *slog.Logger  // nil discards
}

// Remote announces and watches through an agent that somebody else runs, by its RPC. It sets the tags of the digest and of services,
// and leaves all others alone. A reload of the agent (SIGHUP) takes all tags away that were set by RPC: they are set again within one
// Interval, or stay when they are in the drop-in file, too. It is safe for concurrent use.
//
// The agent outlives us. After Close its member no longer announces a host; after a crash it goes on to announce the
// last state, which watchers see to be old when they ask the host itself.
type Remote struct {
	o       RemoteOptions
	stop    context.CancelFunc
	workers sync.WaitGroup

	changes registry.Signal
	shown   shown // used by whoever talks
	closing sync.Once
	closed  atomic.Bool

	want    atomic.Pointer[glia.Announcement] // nil: nothing was announced yet
	talking chan struct{}                     // holds one token: whoever has it talks to the agent, and may use the three below
	rpc     *rpcConn                          // nil while there is no connection
	node    string                            // name of the agent's member

	services ownServices // used by whoever talks

	mu      sync.Mutex
	err     error              // of the last look; nil when all is well
	settled map[string]setting // what was made of the tags of services, by tag
}

var (
	_ registry.Announcer = (*Remote)(nil)
	_ registry.Watcher   = (*Remote)(nil)
)

// Attach begins to work through an agent. It does not wait for it: one that does not answer is asked again at
// every interval, and Ready tells.
func Attach(o RemoteOptions) (*Remote, error) {
	if _, _, err := net.SplitHostPort(o.Addr); err != nil {
		return nil, fmt.Errorf("serf agent %q: must be the host:port of its RPC", o.Addr)
	}
	o.Interval = cmp.Or(o.Interval, 5*time.Second)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	ctx, stop := context.WithCancel(context.Background())
	r := &Remote{o: o, stop: stop, talking: make(chan struct{}, 1), err: fmt.Errorf("serf agent at %s: not asked yet", o.Addr),
		services: inherit(o.DropIn, cmp.Or(o.Claim, claimWithin)), settled: map[string]setting{}}
	news := make(chan struct{}, 1)
	r.workers.Go(func() { r.listen(ctx, news) })
	r.workers.Go(func() { r.keep(ctx, news) })
	return r, nil
}

// listen notes news of members, on a connection of its own. Without one there is the interval.
func (r *Remote) listen(ctx context.Context, news chan<- struct{}) {
	tell := func() {
		select {
		case news <- struct{}{}:
		default: // one waits already
		}
	}
	for ctx.Err() == nil {
		if c, err := dialRPC(ctx, r.o.Addr, r.o.AuthKey); err == nil {
			err = c.events(ctx, "member-join,member-leave,member-failed,member-update,member-reap", tell)
			_ = c.Close()
			r.o.Log.Debug("serf agent has ended its stream of events", "agent", r.o.Addr, "error", err)
		}
		tell() // the next look says what is wrong
		select {
		case <-ctx.Done():
		case <-time.After(r.o.Interval):
		}
	}
}

// keep looks at once, after news of members, and at every interval.
func (r *Remote) keep(ctx context.Context, news <-chan struct{}) {
	tick := time.NewTicker(r.o.Interval)
	defer tick.Stop()
	for {
		node, err := r.look(ctx)
		if ctx.Err() != nil {
			return
		}
		r.note(node, err)
		r.changes.Send()
		select {
		case <-ctx.Done():
			return
		case <-news:
		case <-tick.C:
		}
	}
}

// note keeps the outcome of a look, and logs it when it differs in kind from the one before.
func (r *Remote) note(node string, err error) {
	r.mu.Lock()
	was := r.err
	r.err = err
	r.mu.Unlock()
	switch {
	case err != nil && was == nil:
		r.o.Log.Warn("serf agent does not do its work, trying on", "agent", r.o.Addr, "error", err)
	case err == nil && was != nil:
		r.o.Log.Info("working through a serf agent", "agent", r.o.Addr, "node", node)
	}
}

// talk has do talk to the agent once nobody else does. After an error of the connection the next one makes another.
func (r *Remote) talk(ctx context.Context, do func(*rpcConn) error) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	if r.closed.Load() {
		return registry.ErrClosed
	}
	select {
	case r.talking <- struct{}{}:
		defer func() { <-r.talking }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	err := r.connect(ctx)
	if err == nil {
		if err = do(r.rpc); err != nil {
			_ = r.rpc.Close() // the error before says more
			r.rpc = nil
		}
	}
	if err != nil {
		return fmt.Errorf("serf agent at %s: %w", r.o.Addr, err)
	}
	return nil
}

// connect makes a connection when there is none.
func (r *Remote) connect(ctx context.Context) error {
	if r.rpc != nil {
		return nil
	}
	c, err := dialRPC(ctx, r.o.Addr, r.o.AuthKey)
	if err != nil {
		return err
	}
	node, err := c.node(ctx)
	if err != nil {
		return errors.Join(fmt.Errorf("ask for its name: %w", err), c.Close())
	}
	r.rpc, r.node = c, node
	return nil
}

// look makes sure of the connection and of our tags, and returns the name of the agent's member.
func (r *Remote) look(ctx context.Context) (node string, err error) {
	err = r.talk(ctx, func(c *rpcConn) error {
		node = r.node
		want := r.want.Load()
		if want == nil {
			_, err := c.members(ctx) // whether it still answers
			return err
		}
		r.services.forget(time.Now())
		healed, err := r.apply(ctx, c, *want)
		if err == nil && healed {
			r.o.Log.Warn("serf agent did not show our tags, they are set again", "agent", r.o.Addr, "node", node)
		}
		return err
	})
	return node, err
}

// apply sets our tags if they are not what is wanted, and says whether it had to.
func (r *Remote) apply(ctx context.Context, c *rpcConn, a glia.Announcement) (changed bool, err error) {
	if a.Host != r.node {
		return false, fmt.Errorf("its node is %s: it can not announce %s; give them one name", r.node, a.Host)
	}
	present, err := r.present(ctx, c)
	if err != nil {
		return false, err
	}
	want, err := EncodeDigest(a, r.services.over(present))
	if err != nil {
		return false, err
	}
	ours := maps.Clone(want)
	maps.DeleteFunc(ours, func(k, _ string) bool { return !owned(k) && r.services.want[k] == "" })
	if err := writeDropIn(r.o.DropIn, ours); err != nil {
		return false, err
	}
	if maps.Equal(present, want) {
		return false, nil
	}
	var gone []string
	for k := range present {
		if _, keep := want[k]; !keep {
			gone = append(gone, k)
		}
	}
	return true, c.setTags(ctx, ours, gone)
}

// present are the tags of the agent's member.
func (r *Remote) present(ctx context.Context, c *rpcConn) (map[string]string, error) {
	all, err := c.members(ctx)
	if err != nil {
		return nil, fmt.Errorf("read its members: %w", err)
	}
	i := slices.IndexFunc(all, func(m rpcMember) bool { return m.Name == r.node })
	if i < 0 {
		return nil, fmt.Errorf("its own node %s is no member", r.node)
	}
	return all[i].Tags, nil
}

// Announce sets the tags of the agent's member to the digest of a, whose host must be that member's node.
func (r *Remote) Announce(ctx context.Context, a glia.Announcement) error {
	a.Bad = slices.Clone(a.Bad)
	before := r.want.Swap(&a)
	err := r.talk(ctx, func(c *rpcConn) error {
		if a.Host != r.node {
			r.want.CompareAndSwap(&a, before)
		}
		_, err := r.apply(ctx, c, a)
		return err
	})
	if err != nil {
		return fmt.Errorf("announce %s: %w", a.Host, err)
	}
	return nil
}

// Members tells every member of the agent's cluster that announces a host.
func (r *Remote) Members(ctx context.Context) ([]glia.Member, error) {
	if err := r.readMembers(ctx); err != nil {
		return nil, err
	}
	return r.shown.journal.Members(), nil
}

// Since tells what differs from the state that the mark names.
func (r *Remote) Since(ctx context.Context, m registry.Mark) (registry.Delta, error) {
	if err := r.readMembers(ctx); err != nil {
		return registry.Delta{}, err
	}
	return r.shown.journal.Since(m), nil
}

// readMembers takes over the agent's member list.
func (r *Remote) readMembers(ctx context.Context) error {
	err := r.talk(ctx, func(c *rpcConn) error {
		all, err := c.members(ctx)
		if err != nil {
			return err
		}
		list := make([]listed, len(all))
		for i, m := range all {
			list[i] = listed{m.Name, m.Tags, statusOf(m.Status)}
		}
		r.shown.take(list)
		return nil
	})
	if err != nil {
		return fmt.Errorf("read serf members: %w", err)
	}
	return nil
}

// statusOf translates the word that RPC has for a status. A member that is leaving still answers.
func statusOf(word string) glia.MemberStatus {
	switch word {
	case "alive", "leaving":
		return glia.MemberAlive
	case "left":
		return glia.MemberLeft
	default:
		return glia.MemberGone
	}
}

// Changes signals after every event of a member, and at every interval.
func (r *Remote) Changes(ctx context.Context) <-chan struct{} { return r.changes.Subscribe(ctx) }

// Ready says why the agent does not do its work, or nil.
func (r *Remote) Ready() error {
	if r.closed.Load() {
		return registry.ErrClosed
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// Close takes our tags back, and lets the agent run. One that is away comes back without them: it had them in its memory, or in the
// drop-in file, which is removed in any case. Closing again does nothing.
func (r *Remote) Close(ctx context.Context) (err error) {
	r.closing.Do(func() {
		r.stop()
		r.workers.Wait()
		err = errors.Join(removeDropIn(r.o.DropIn), r.talk(ctx, func(c *rpcConn) (err error) {
			if r.want.Load() != nil || r.o.DropIn != "" { // the file says that a life before has announced through it
				all := slices.AppendSeq(slices.Clone(digestTags), maps.Keys(r.services.want))
				err = c.setTags(ctx, nil, slices.AppendSeq(all, maps.Keys(r.services.gone)))
			}
			return errors.Join(err, c.Close())
		}))
		r.closed.Store(true)
	})
	if err != nil {
		return fmt.Errorf("take back what is announced: %w", err)
	}
	return nil
}
