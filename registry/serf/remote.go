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
	"time"

	"github.com/hashicorp/serf/client"

	"glia"
	"glia/registry"
)

// RemoteOptions say which agent a Remote works through.
type RemoteOptions struct {
	Addr     string        // host:port of its RPC
	AuthKey  string        // that it wants; empty for none
	DropIn   string        // file below its configuration directory that keeps our tags over its reloads; empty for none
	Interval time.Duration // between two looks at what it shows; 0 is 5 s
	Log      *slog.Logger  // nil discards
}

// Remote announces and watches through an agent that somebody else runs, by its RPC. It sets the tags of the digest and
// leaves all others alone. A reload of the agent (SIGHUP) takes all tags away that were set by RPC: they are set again within one
// Interval, or stay when they are in the drop-in file, too. It is safe for concurrent use.
//
// The agent outlives us. After Close its member no longer announces a host; after a crash it goes on to announce the
// last state, which watchers see to be old when they ask the host itself.
type Remote struct {
	o    RemoteOptions
	stop context.CancelFunc
	done chan struct{}

	changes registry.Signal
	closing sync.Once

	mu     sync.Mutex
	rpc    *client.RPCClient  // nil while there is no connection
	node   string             // name of the agent's member
	want   *glia.Announcement // nil: nothing was announced yet
	closed bool
	err    error // of the last look; nil when all is well
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
	r := &Remote{o: o, stop: stop, done: make(chan struct{}), err: errors.New("not asked yet")}
	go r.keep(ctx)
	return r, nil
}

// keep looks at once, after every event of the cluster, and at every interval.
func (r *Remote) keep(ctx context.Context) {
	defer close(r.done)
	tick := time.NewTicker(r.o.Interval)
	defer tick.Stop()
	var events chan map[string]any // closed by the client when its connection ends
	for {
		c, err := r.look()
		if c != nil && events == nil {
			events = make(chan map[string]any, 64)
			if _, streamErr := c.Stream("member-join,member-leave,member-failed,member-update,member-reap", events); streamErr != nil {
				events, err = nil, errors.Join(err, streamErr)
			}
		}
		r.note(err)
		r.changes.Send()
		select {
		case <-ctx.Done():
			return
		case _, open := <-events:
			if !open {
				events = nil
				r.drop(c)
			}
		case <-tick.C:
		}
	}
}

// note keeps the outcome of a look, and logs it when it differs in kind from the one before.
func (r *Remote) note(err error) {
	r.mu.Lock()
	was := r.err
	r.err = err
	r.mu.Unlock()
	switch {
	case err != nil && was == nil:
		r.o.Log.Warn("serf agent does not do its work, trying on", "agent", r.o.Addr, "error", err)
	case err == nil && was != nil:
		r.o.Log.Info("working through a serf agent", "agent", r.o.Addr, "node", r.name())
	}
}

func (r *Remote) name() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.node
}

// look makes sure of the connection and of our tags.
func (r *Remote) look() (*client.RPCClient, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c, err := r.connect()
	if err != nil {
		return nil, err
	}
	if r.want == nil {
		return c, nil
	}
	healed, err := r.apply(c)
	if err != nil {
		return r.forget(c), err
	}
	if healed {
		r.o.Log.Warn("serf agent did not show our tags, they are set again", "agent", r.o.Addr, "node", r.node)
	}
	return c, nil
}

// connect returns the connection, or makes a new one. The mutex is held.
func (r *Remote) connect() (*client.RPCClient, error) {
	if r.closed {
		return nil, registry.ErrClosed
	}
	if r.rpc != nil && !r.rpc.IsClosed() {
		return r.rpc, nil
	}
	c, err := client.ClientFromConfig(&client.Config{Addr: r.o.Addr, AuthKey: r.o.AuthKey, Timeout: 5 * time.Second})
	if err != nil {
		return nil, fmt.Errorf("serf agent at %s: %w", r.o.Addr, err)
	}
	stats, err := c.Stats()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("serf agent at %s: ask for its name: %w", r.o.Addr, err), c.Close())
	}
	r.rpc, r.node = c, stats["agent"]["name"]
	return c, nil
}

// forget closes a connection that did not work, so that the next call makes a new one. The mutex is held.
func (r *Remote) forget(c *client.RPCClient) *client.RPCClient {
	_ = c.Close() // the error before says more
	if r.rpc == c {
		r.rpc = nil
	}
	return nil
}

func (r *Remote) drop(c *client.RPCClient) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c != nil {
		r.forget(c)
	}
}

// apply sets our tags if they are not what is wanted, and says whether it had to. The mutex is held.
func (r *Remote) apply(c *client.RPCClient) (changed bool, err error) {
	if r.want.Host != r.node {
		return false, fmt.Errorf("the agent's node is %s: it can not announce %s; give them one name", r.node, r.want.Host)
	}
	present, err := r.present(c)
	if err != nil {
		return false, err
	}
	want, err := EncodeDigest(*r.want, present)
	if err != nil {
		return false, err
	}
	ours := maps.Clone(want)
	maps.DeleteFunc(ours, func(k, _ string) bool { return !owned(k) })
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
	return true, c.UpdateTags(ours, gone)
}

// present are the tags of the agent's member.
func (r *Remote) present(c *client.RPCClient) (map[string]string, error) {
	all, err := c.Members()
	if err != nil {
		return nil, fmt.Errorf("serf agent at %s: read its members: %w", r.o.Addr, err)
	}
	i := slices.IndexFunc(all, func(m client.Member) bool { return m.Name == r.node })
	if i < 0 {
		return nil, fmt.Errorf("serf agent at %s: its own node %s is no member", r.o.Addr, r.node)
	}
	return all[i].Tags, nil
}

// Announce sets the tags of the agent's member to the digest of a, whose host must be that member's node.
func (r *Remote) Announce(ctx context.Context, a glia.Announcement) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("announce %s: %w", a.Host, context.Cause(ctx))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	a.Bad = slices.Clone(a.Bad)
	before := r.want
	r.want = &a
	c, err := r.connect()
	if err == nil {
		if _, err = r.apply(c); err != nil && a.Host != r.node {
			r.want = before
		}
	}
	if err != nil {
		return fmt.Errorf("announce %s: %w", a.Host, err)
	}
	return nil
}

// Members tells every member of the agent's cluster that announces a host.
func (r *Remote) Members(ctx context.Context) ([]glia.Member, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("read serf members: %w", context.Cause(ctx))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	c, err := r.connect()
	if err != nil {
		return nil, fmt.Errorf("read serf members: %w", err)
	}
	all, err := c.Members()
	if err != nil {
		r.forget(c)
		return nil, fmt.Errorf("read serf members: serf agent at %s: %w", r.o.Addr, err)
	}
	out := []glia.Member{}
	for _, m := range all {
		if g, ok := DecodeDigest(m.Name, m.Tags); ok {
			g.Status = statusOf(m.Status)
			out = append(out, g)
		}
	}
	slices.SortFunc(out, func(x, y glia.Member) int { return cmp.Compare(x.Announcement.Host, y.Announcement.Host) })
	return out, nil
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
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return registry.ErrClosed
	}
	return r.err
}

// Close takes our tags back, and lets the agent run. Closing again does nothing.
func (r *Remote) Close(ctx context.Context) (err error) {
	r.closing.Do(func() {
		r.stop()
		select {
		case <-r.done:
		case <-ctx.Done():
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		if c, cErr := r.connect(); cErr == nil {
			if r.want != nil {
				err = errors.Join(removeDropIn(r.o.DropIn), c.UpdateTags(nil, digestTags))
			}
			err = errors.Join(err, c.Close())
		}
		r.closed = true
	})
	if err != nil {
		return fmt.Errorf("take back the tags of %s: %w", r.node, err)
	}
	return nil
}
