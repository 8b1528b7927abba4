// Package zookeeper is the registry on ZooKeeper. Below its path it keeps
//
//	hosts/HOST   the newest announcement of a host as the document of package registry; stays when the host is gone
//	alive/HOST   ephemeral: exists while the session of the announcer lives; holds the address of its API
//	election/…   the candidates of an Elector
//
// A Registry guarantees that what was announced is announced again at once, without being asked, when a session
// has expired or somebody has removed the nodes; that nothing is written when nothing changes; and that
// Members is never older than the call, because each call asks the server to catch up with its ensemble
// first. A change costs each watcher one read, of the node that has changed; after a reconnection everything is
// read once. A crashed announcer is gone after its session timeout, a closed one has left at once.
//
// Without a session, or without a quorum behind it, Members and Announce fail, and go on by themselves once there is
// one again. Of two announcers that use one host name the second one gets an error for as long as the first one
// lives. A node that can not be read is shown with its Problem and disturbs no other.
package zookeeper

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path"
	"slices"
	"sync"
	"time"

	"github.com/go-zookeeper/zk"

	"glia"
	"glia/registry"
)

// Registry announces hosts and watches all of them, in one session. It is safe for concurrent use.
type Registry struct {
	*client
	changes registry.Signal
	cache   cache

	stop   context.CancelFunc
	healer sync.WaitGroup
	heal   chan struct{}

	announcing chan struct{} // holds one token: one ensure at a time
	wantMu     sync.Mutex
	want       map[string]glia.Announcement // by host: what is to be kept
}

var (
	_ registry.Announcer = (*Registry)(nil)
	_ registry.Watcher   = (*Registry)(nil)
)

const (
	hostsFolder = "hosts"
	aliveFolder = "alive"
)

// Open returns a registry that connects in the background. It fails only when the options are wrong.
func Open(o Options) (*Registry, error) {
	o, _, err := o.resolve()
	if err != nil {
		return nil, fmt.Errorf("open zookeeper registry: %w", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	r := &Registry{stop: stop, heal: make(chan struct{}, 1), announcing: make(chan struct{}, 1), want: map[string]glia.Announcement{}}
	ready := make(chan struct{})
	c, err := dial(o, func(e event) { <-ready; r.hear(e) })
	if err != nil {
		stop()
		return nil, fmt.Errorf("open zookeeper registry: %w", err)
	}
	r.client = c
	r.cache.init(o.Path, o.Forget)
	close(ready)
	r.healer.Go(func() { r.keep(ctx) })
	return r, nil
}

// hear notes what has changed and who must know.
func (r *Registry) hear(e event) {
	r.cache.note(e)
	r.wantMu.Lock()
	_, own := r.want[path.Base(e.path)]
	r.wantMu.Unlock()
	if own || e.path == "" {
		select {
		case r.heal <- struct{}{}:
		default:
		}
	}
	r.changes.Send()
}

// Changes signals after every change, and when the session comes or goes.
func (r *Registry) Changes(ctx context.Context) <-chan struct{} { return r.changes.Subscribe(ctx) }

// Ready says why there is no session, or nil.
func (r *Registry) Ready() error { return r.ready() }

// Announce makes a the document of its host, and the host alive.
func (r *Registry) Announce(ctx context.Context, a glia.Announcement) error {
	err := ctx.Err()
	if err == nil {
		a.Bad = slices.Clone(a.Bad)
		r.wantMu.Lock()
		r.want[a.Host] = a
		r.wantMu.Unlock()
		_, err = within(ctx, func() (struct{}, error) { return struct{}{}, r.ensure(ctx, a.Host) })
	}
	if err != nil {
		return fmt.Errorf("announce %s to zookeeper: %w", a.Host, r.explain(err))
	}
	return nil
}

// ensure brings the nodes of a host in line with what is wanted for it.
func (r *Registry) ensure(ctx context.Context, host string) error {
	select {
	case r.announcing <- struct{}{}:
		defer func() { <-r.announcing }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if err := r.await(ctx); err != nil {
		return err
	}
	r.wantMu.Lock()
	a, wanted := r.want[host]
	r.wantMu.Unlock()
	if !wanted {
		return nil
	}
	for range tries {
		err := r.makeFolders(hostsFolder, aliveFolder)
		if err == nil {
			err = r.beAlive(a)
		}
		if err == nil {
			err = r.write(a, false)
		}
		if errors.Is(err, zk.ErrNoNode) {
			r.unmade()
		}
		// Somebody else was faster: look again.
		if !errors.Is(err, zk.ErrNodeExists) && !errors.Is(err, zk.ErrBadVersion) && !errors.Is(err, zk.ErrNoNode) {
			return err
		}
	}
	return errors.New("its nodes change all the time; is it announced by two?")
}

// tries bounds how often a change by others between reading and writing is waited out at one go.
const tries = 5

// beAlive makes the ephemeral node ours. One that another session holds is taken over when it names our address:
// then it was ours, before a crash or an expired session, as no two programs can listen there.
func (r *Registry) beAlive(a glia.Announcement) error {
	node := path.Join(r.root, aliveFolder, a.Host)
	data, stat, err := r.get(node)
	switch {
	case errors.Is(err, zk.ErrNoNode):
		_, err = r.conn.Create(node, []byte(a.API), zk.FlagEphemeral, r.acl)
		return err
	case err != nil:
		return err
	case stat.EphemeralOwner == r.conn.SessionID():
		if string(data) != a.API {
			_, err = r.conn.Set(node, []byte(a.API), stat.Version)
		}
		return err
	case string(data) != a.API:
		return fmt.Errorf("the host name %s is in use at %q too: rename one of the two hosts", a.Host, data)
	}
	if err := r.conn.Delete(node, stat.Version); err != nil && !errors.Is(err, zk.ErrNoNode) {
		return err
	}
	return zk.ErrNodeExists
}

// write makes the document of a host say a, and writes nothing when it does already.
func (r *Registry) write(a glia.Announcement, left bool) error {
	doc, err := registry.EncodeDocument(a, left)
	if err != nil {
		return err
	}
	node := path.Join(r.root, hostsFolder, a.Host)
	data, stat, err := r.get(node)
	switch {
	case errors.Is(err, zk.ErrNoNode):
		_, err = r.conn.Create(node, doc, 0, r.acl)
	case err == nil && string(data) != string(doc):
		_, err = r.conn.Set(node, doc, stat.Version)
	}
	return err
}

// keep announces again whenever something has happened to what is announced.
func (r *Registry) keep(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.heal:
		}
		r.wantMu.Lock()
		hosts := make([]string, 0, len(r.want))
		for h := range r.want {
			hosts = append(hosts, h)
		}
		r.wantMu.Unlock()
		failed := false
		for _, h := range hosts {
			if _, err := within(ctx, func() (struct{}, error) { return struct{}{}, r.ensure(ctx, h) }); err != nil && r.ready() == nil && ctx.Err() == nil {
				failed = true
				r.log.Warn("announcement was lost and is not back yet", "host", h, "error", r.explain(err))
			}
		}
		if !failed {
			continue
		}
		select { // the next event, or the next Announce, comes sooner or later; this is for neither
		case <-ctx.Done():
			return
		case <-time.After(time.Second + rand.N(time.Second)):
			select {
			case r.heal <- struct{}{}:
			default:
			}
		}
	}
}

// Close says goodbye for what was announced here, and closes the session. When ctx ends before, the hosts are gone
// instead of left. Closing again does nothing.
func (r *Registry) Close(ctx context.Context) error {
	r.stop()
	r.healer.Wait()
	r.wantMu.Lock()
	own := r.want
	r.want = map[string]glia.Announcement{}
	r.wantMu.Unlock()
	_, err := within(ctx, func() (struct{}, error) { return struct{}{}, r.goodbye(ctx, own) })
	// While the session is there: afterwards all that it says is that it is closed.
	err = r.explain(err)
	within(context.WithoutCancel(ctx), func() (struct{}, error) { r.close(); return struct{}{}, nil }) //nolint:errcheck // can not fail
	if err != nil {
		return fmt.Errorf("leave zookeeper: %w", err)
	}
	return nil
}

// goodbye waits for an Announce that was given up and goes on in the background: it would write over what is written here.
func (r *Registry) goodbye(ctx context.Context, own map[string]glia.Announcement) error {
	if len(own) == 0 {
		return nil
	}
	select {
	case r.announcing <- struct{}{}:
		defer func() { <-r.announcing }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if err := r.ready(); err != nil {
		return err
	}
	for host, a := range own {
		node := path.Join(r.root, aliveFolder, host)
		_, stat, err := r.conn.Get(node)
		if err != nil || stat.EphemeralOwner != r.conn.SessionID() {
			continue // not ours
		}
		if err := r.write(a, true); err != nil {
			return err
		}
		if err := r.conn.Delete(node, stat.Version); err != nil && !errors.Is(err, zk.ErrNoNode) {
			return err
		}
	}
	return nil
}
