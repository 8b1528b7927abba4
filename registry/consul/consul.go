// Package consul is the registry in Consul's key-value store. Below its path it keeps
//
//	hosts/HOST       the newest announcement of a host as the document of package registry, locked by the session
//	                 of the announcer while that lives; stays without a lock when the host is gone
//	election/NAME    the lock of an Elector; never deleted
//
// A Registry guarantees that what was announced is announced again, without being asked, as soon as Consul tells
// that the lock or the key is gone; that nothing is written when nothing changes; and that Members is vouched for
// by the leader of Consul during the call. A watcher waits for news of all hosts in one request, with a
// small answer, and reads all documents in another one, at most every half second. A crashed announcer is
// gone after one to two TTLs, a closed one has left at once.
//
// Sessions have no health checks, so the restart of an agent makes no host disappear. Without a leader Members and
// Announce fail, and go on by themselves once there is one again. Of two announcers that use one host name the second
// one gets an error for as long as the first one lives. A key that can not be read is shown with its Problem and
// disturbs no other.
package consul

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/consul/api"

	"glia"
	"glia/registry"
)

// Registry announces hosts and watches all of them. It is safe for concurrent use.
type Registry struct {
	*client
	changes  registry.Signal
	problems problems
	watching sync.Once
	looking  chan struct{} // holds one token: one look at a time, and whoever has it may use the two below
	shown    shown
	dead     dead

	ctx     context.Context
	stop    context.CancelFunc
	workers sync.WaitGroup

	announcing chan struct{} // holds one token: one ensure at a time

	mu      sync.Mutex
	closed  bool
	session string // empty: none, or it is over
	want    map[string]glia.Announcement
}

var (
	_ registry.Announcer = (*Registry)(nil)
	_ registry.Watcher   = (*Registry)(nil)
)

const hostsFolder = "hosts"

// Open returns a registry. It fails only when the options are wrong.
func Open(o Options) (*Registry, error) {
	host, _ := os.Hostname() // only for people who look at the sessions
	c, err := dial(o.withDefaults(), fmt.Sprintf("glia: process %d on %s", os.Getpid(), host))
	if err != nil {
		return nil, fmt.Errorf("open consul registry: %w", err)
	}
	r := &Registry{client: c, looking: make(chan struct{}, 1), announcing: make(chan struct{}, 1), want: map[string]glia.Announcement{}}
	r.ctx, r.stop = context.WithCancel(context.Background())
	return r, nil
}

// Ready says what does not work, or nil.
func (r *Registry) Ready() error { return r.explain(r.problems.all()) }

// Announce makes a the document of its host, under the lock of our session.
func (r *Registry) Announce(ctx context.Context, a glia.Announcement) error {
	a.Bad = slices.Clone(a.Bad)
	err := ctx.Err()
	if err == nil {
		err = r.take(a)
	}
	if err == nil {
		ctx, cancel := context.WithTimeout(ctx, callTimeout)
		err = r.ensure(ctx, a.Host)
		cancel()
		r.problems.set("announce "+a.Host, err)
	}
	if err != nil {
		return fmt.Errorf("announce %s to consul: %w", a.Host, r.explain(err))
	}
	return nil
}

// take notes what is to be kept from now on, and starts what keeps it.
func (r *Registry) take(a glia.Announcement) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return registry.ErrClosed
	}
	if len(r.want) == 0 {
		r.workers.Go(r.renewals)
	}
	if _, known := r.want[a.Host]; !known {
		r.workers.Go(func() { r.keep(a.Host) })
	}
	r.want[a.Host] = a
	return nil
}

// ensure brings the key of a host in line with what is wanted for it.
func (r *Registry) ensure(ctx context.Context, host string) error {
	select {
	case r.announcing <- struct{}{}:
		defer func() { <-r.announcing }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	r.mu.Lock()
	a, wanted := r.want[host]
	r.mu.Unlock()
	if !wanted {
		return nil
	}
	doc, err := registry.EncodeDocument(a, false)
	if err != nil {
		return err
	}
	for failures := 0; ; failures++ {
		done, err := r.lock(ctx, a, doc)
		if done || err != nil {
			return err
		}
		if !pause(ctx, backoff(failures)/8) {
			return fmt.Errorf("lock key %s: %w", r.key(hostsFolder, host), context.Cause(ctx))
		}
	}
}

// lock makes one attempt. A lock that another session holds is taken over when the document names our address: then
// it was ours, before a crash or the end of a session, as no two programs can listen there.
func (r *Registry) lock(ctx context.Context, a glia.Announcement, doc []byte) (done bool, err error) {
	id, err := r.ourSession(ctx)
	if err != nil {
		return false, err
	}
	key := r.key(hostsFolder, a.Host)
	kv, _, err := r.api.KV().Get(key, r.read(ctx))
	if err != nil {
		return false, err
	}
	switch {
	case kv == nil || kv.Session == "":
	case kv.Session == id && bytes.Equal(kv.Value, doc):
		return true, nil
	case kv.Session != id:
		if api := registry.DecodeDocument(a.Host, kv.Value).Announcement.API; api != a.API {
			return false, fmt.Errorf("the host name %s is in use at %q too: rename one of the two hosts", a.Host, api)
		}
		if _, _, err := r.api.KV().Release(kv, r.write(ctx)); err != nil {
			return false, err
		}
	}
	done, _, err = r.api.KV().Acquire(&api.KVPair{Key: key, Value: doc, Session: id}, r.write(ctx))
	if strings.Contains(fmt.Sprint(err), "invalid session") { // over, and not told yet
		r.forgetSession(id)
		return false, nil
	}
	return done, err
}

// ourSession is the session, made when there is none.
func (r *Registry) ourSession(ctx context.Context) (string, error) {
	r.mu.Lock()
	id := r.session
	r.mu.Unlock()
	if id != "" {
		return id, nil
	}
	id, err := r.newSession(ctx, time.Millisecond) // no delay: the documents say who is who
	if err != nil {
		return "", err
	}
	r.mu.Lock()
	r.session = id
	r.mu.Unlock()
	return id, nil
}

// forgetSession notes that a session is over, unless there is another one by now.
func (r *Registry) forgetSession(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.session == id {
		r.session = ""
	}
}

// renewals keeps the session.
func (r *Registry) renewals() {
	for failures := 0; ; {
		wait := r.o.TTL / 3
		if failures > 0 {
			wait = min(wait, backoff(failures))
		}
		if !pause(r.ctx, wait) {
			return
		}
		r.mu.Lock()
		id := r.session
		r.mu.Unlock()
		if id == "" {
			continue
		}
		ctx, cancel := context.WithTimeout(r.ctx, r.o.TTL/3)
		err := r.renew(ctx, id)
		cancel()
		if failures++; err == nil || errors.Is(err, errNoSession) {
			failures = 0
		}
		if errors.Is(err, errNoSession) { // the end of a session frees its keys, and that wakes keep
			r.o.Log.Warn("consul session is over, making another one", "session", id)
			r.forgetSession(id)
		}
		r.problems.set("renew the session", err)
	}
}

// keep waits for news of our own key, and puts right what is not as it should be.
func (r *Registry) keep(host string) {
	key := r.key(hostsFolder, host)
	var index uint64
	for failures := 0; r.ctx.Err() == nil; {
		ctx, cancel := context.WithTimeout(r.ctx, waitTimeout)
		_, meta, err := r.api.KV().Get(key, r.wait(ctx, index))
		cancel()
		if err == nil {
			index = next(index, meta.LastIndex)
			ctx, cancel := context.WithTimeout(r.ctx, callTimeout)
			err = r.ensure(ctx, host)
			cancel()
		}
		if r.ctx.Err() != nil {
			return
		}
		if r.problems.set("announce "+host, err) && err != nil {
			r.o.Log.Warn("announcement can not be kept", "host", host, "error", r.explain(err))
		}
		if failures++; err == nil {
			failures = 0
			continue
		}
		index = 0 // so that the next attempt looks at once
		if !pause(r.ctx, backoff(failures)) {
			return
		}
	}
}

// next is the index to wait for after an answer. One that has gone back, as after the restore of a snapshot, starts anew.
func next(index, answered uint64) uint64 {
	if answered < index {
		return 0
	}
	return max(answered, 1)
}

// Close says goodbye for what was announced here. When ctx ends before, the hosts are gone instead of left. Closing
// again does nothing.
func (r *Registry) Close(ctx context.Context) error {
	r.mu.Lock()
	again, want, id := r.closed, r.want, r.session
	r.closed, r.want = true, map[string]glia.Announcement{}
	r.mu.Unlock()
	r.stop()
	r.workers.Wait()
	r.changes.Send()
	if again || id == "" {
		return nil
	}
	var errs []error
	for host, a := range want {
		doc, err := registry.EncodeDocument(a, true)
		if err == nil {
			_, _, err = r.api.KV().Release(&api.KVPair{Key: r.key(hostsFolder, host), Value: doc, Session: id}, r.write(ctx))
		}
		errs = append(errs, err)
	}
	if err := errors.Join(append(errs, r.destroy(ctx, id))...); err != nil {
		return fmt.Errorf("leave consul: %w", r.explain(err))
	}
	return nil
}
