package zookeeper

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/go-zookeeper/zk"
	"golang.org/x/sync/errgroup"

	"glia"
	"glia/registry"
)

// reads bounds how many nodes are asked for at one time.
const reads = 64

// cache is what was read of the hosts, and what of it may have changed since. What is stale is noted before the
// server's answer to any later request is seen, so after a sync nothing is missing.
type cache struct {
	hosts, alivePath string
	forget           time.Duration
	reading          chan struct{} // holds one token: one refresh at a time

	mu         sync.Mutex
	staleHosts bool // the list of documents
	staleAlive bool // the list of those alive
	stale      map[string]bool
	docs       map[string]entry
	alive      map[string]bool
	dead       map[string]time.Time // since when we know
	touched    map[string]bool      // what may differ from the journal

	journal registry.Journal
}

type entry struct {
	member  glia.Member
	version int32
}

func (c *cache) init(root string, forget time.Duration) {
	c.hosts, c.alivePath, c.forget = path.Join(root, hostsFolder), path.Join(root, aliveFolder), forget
	c.reading = make(chan struct{}, 1)
	c.stale, c.docs, c.alive, c.dead = map[string]bool{}, map[string]entry{}, map[string]bool{}, map[string]time.Time{}
	c.touched = map[string]bool{}
	c.staleHosts, c.staleAlive = true, true
}

// note marks what an event makes stale. A session that comes or goes makes everything so, because no watch outlives
// a connection.
func (c *cache) note(e event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case e.path == "":
		c.staleHosts, c.staleAlive = true, true
		for h := range c.docs {
			c.stale[h] = true
		}
	case e.path == c.hosts:
		c.staleHosts = true
	case e.path == c.alivePath:
		c.staleAlive = true
	case path.Dir(e.path) == c.hosts:
		c.stale[path.Base(e.path)] = true
	}
}

// Members tells every host with a document.
func (r *Registry) Members(ctx context.Context) ([]glia.Member, error) {
	if err := r.look(ctx); err != nil {
		return nil, err
	}
	return r.cache.journal.Members(), nil
}

// Since tells what differs from the state that the mark names.
func (r *Registry) Since(ctx context.Context, m registry.Mark) (registry.Delta, error) {
	if err := r.look(ctx); err != nil {
		return registry.Delta{}, err
	}
	return r.cache.journal.Since(m), nil
}

// look brings the journal up to date.
func (r *Registry) look(ctx context.Context) error {
	_, err := within(ctx, func() (struct{}, error) {
		select {
		case r.cache.reading <- struct{}{}:
			defer func() { <-r.cache.reading }()
		case <-ctx.Done():
			return struct{}{}, context.Cause(ctx)
		}
		return struct{}{}, r.catchUp(ctx)
	})
	if err != nil {
		return fmt.Errorf("read zookeeper members: %w", r.explain(err))
	}
	return nil
}

func (r *Registry) catchUp(ctx context.Context) error {
	if err := r.await(ctx); err != nil {
		return err
	}
	if _, err := r.conn.Sync(r.root); err != nil {
		return err
	}
	for more := true; more; {
		var err error
		if more, err = r.refresh(); err != nil {
			return err
		}
	}
	r.cache.show()
	return r.forgetDead(time.Now())
}

// refresh reads what is stale, and says whether it should be called again.
func (r *Registry) refresh() (more bool, err error) {
	c := &r.cache
	c.mu.Lock()
	hosts, alive, stale := c.staleHosts, c.staleAlive, c.stale
	c.staleHosts, c.staleAlive, c.stale = false, false, map[string]bool{}
	c.mu.Unlock()
	if !hosts && !alive && len(stale) == 0 {
		return false, nil
	}
	defer func() {
		if err != nil {
			c.mu.Lock()
			c.staleHosts, c.staleAlive = c.staleHosts || hosts, c.staleAlive || alive
			maps.Copy(c.stale, stale)
			c.mu.Unlock()
		}
	}()
	if hosts {
		names, err := r.children(c.hosts)
		if err != nil {
			return false, err
		}
		c.list(names, stale)
	}
	if alive {
		names, err := r.children(c.alivePath)
		if err != nil {
			return false, err
		}
		c.setAlive(names, time.Now())
	}
	var g errgroup.Group
	g.SetLimit(reads)
	for host := range stale {
		g.Go(func() error { return r.readHost(host) })
	}
	return true, g.Wait()
}

// list takes over which documents there are; those that are new are added to the stale ones.
func (c *cache) list(names []string, stale map[string]bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	there := make(map[string]bool, len(names))
	for _, n := range names {
		there[n] = true
		if _, known := c.docs[n]; !known {
			stale[n] = true
		}
	}
	for h := range c.docs {
		if !there[h] {
			delete(c.docs, h)
			c.touched[h] = true
		}
	}
}

func (c *cache) setAlive(names []string, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.alive
	c.alive = make(map[string]bool, len(names))
	for _, n := range names {
		c.alive[n] = true
		delete(c.dead, n)
		if !before[n] {
			c.touched[n] = true
		}
	}
	for n := range before {
		if !c.alive[n] {
			c.touched[n] = true
		}
	}
	for h := range c.docs {
		if _, known := c.dead[h]; !known && !c.alive[h] {
			c.dead[h] = now
		}
	}
}

func (r *Registry) readHost(host string) error {
	data, stat, err := r.get(path.Join(r.cache.hosts, host))
	r.cache.mu.Lock()
	defer r.cache.mu.Unlock()
	r.cache.touched[host] = true
	switch {
	case errors.Is(err, zk.ErrNoNode):
		delete(r.cache.docs, host)
		delete(r.cache.dead, host)
	case errors.Is(err, zk.ErrNoAuth):
		m := glia.Member{Announcement: glia.Announcement{Host: host}, Problem: "its document can not be read: " + err.Error()}
		r.cache.docs[host] = entry{member: m}
	case err != nil:
		return err
	default:
		m := registry.DecodeDocument(host, data)
		r.cache.docs[host] = entry{member: m, version: stat.Version}
		if _, known := r.cache.dead[host]; !known && !r.cache.alive[host] {
			r.cache.dead[host] = time.Now()
		}
	}
	return nil
}

// show brings the journal in line with what was read.
func (c *cache) show() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for host := range c.touched {
		e, ok := c.docs[host]
		if !ok {
			c.journal.Set(strings.ToValidUTF8(host, "\uFFFD"))
			continue
		}
		m := e.member
		switch {
		case c.alive[host]:
			m.Status = glia.MemberAlive
		case m.Status == "":
			m.Status = glia.MemberGone
		}
		c.journal.Set(m.Announcement.Host, m)
	}
	clear(c.touched)
}

// forgetDead removes the documents of hosts that are dead for long, unless they have changed meanwhile. A watcher
// that may not write leaves that to others.
func (r *Registry) forgetDead(now time.Time) error {
	c := &r.cache
	c.mu.Lock()
	due := map[string]int32{}
	for h, since := range c.dead {
		if e, ok := c.docs[h]; ok && now.Sub(since) >= c.forget {
			due[h] = e.version
		}
	}
	c.mu.Unlock()
	for h, version := range due {
		err := r.conn.Delete(path.Join(c.hosts, h), version)
		switch {
		case err == nil:
			r.log.Info("forgot a host that is dead for long", "host", h, "after", c.forget)
		case !errors.Is(err, zk.ErrNoNode) && !errors.Is(err, zk.ErrBadVersion) && !errors.Is(err, zk.ErrNoAuth):
			return fmt.Errorf("forget %s: %w", h, err)
		}
	}
	return nil
}
