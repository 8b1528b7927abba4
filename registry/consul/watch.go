package consul

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/consul/api"

	"glia"
	"glia/registry"
)

// pace is the least time between two signals. Changes of many hosts within it are one signal.
const pace = 500 * time.Millisecond

// Changes signals after changes of any host, and when Consul stops or begins to answer.
func (r *Registry) Changes(ctx context.Context) <-chan struct{} {
	r.watching.Do(func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if !r.closed {
			r.workers.Go(r.watch)
		}
	})
	return r.changes.Subscribe(ctx)
}

// watch waits for news. The answer names no host but the folder, so it stays small in a fleet of any size.
func (r *Registry) watch() {
	var index uint64
	for failures := 0; r.ctx.Err() == nil; {
		ctx, cancel := context.WithTimeout(r.ctx, waitTimeout)
		_, meta, err := r.api.KV().Keys(r.key(hostsFolder), "/", r.wait(ctx, index))
		cancel()
		if r.ctx.Err() != nil {
			return
		}
		if r.problems.set("watch the hosts", err) && err != nil {
			r.o.Log.Warn("consul does not tell of changes", "error", r.explain(err))
			r.changes.Send()
		}
		if failures++; err != nil {
			index = 0 // so that the next attempt looks at once
			pause(r.ctx, backoff(failures))
			continue
		}
		failures = 0
		if index != meta.LastIndex {
			r.changes.Send()
			pause(r.ctx, pace)
		}
		index = next(index, meta.LastIndex)
	}
}

// Members tells every host with a key.
func (r *Registry) Members(ctx context.Context) ([]glia.Member, error) {
	if err := r.look(ctx); err != nil {
		return nil, fmt.Errorf("read consul members: %w", err)
	}
	return r.shown.journal.Members(), nil
}

// Since tells what differs from the state that the mark names.
func (r *Registry) Since(ctx context.Context, m registry.Mark) (registry.Delta, error) {
	if err := r.look(ctx); err != nil {
		return registry.Delta{}, fmt.Errorf("read consul members: %w", err)
	}
	return r.shown.journal.Since(m), nil
}

// look reads the keys of all hosts.
func (r *Registry) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	select {
	case r.looking <- struct{}{}:
		defer func() { <-r.looking }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	r.mu.Lock()
	closed := r.closed
	r.mu.Unlock()
	if closed {
		return registry.ErrClosed
	}
	keys, _, err := r.api.KV().List(r.key(hostsFolder, ""), r.read(ctx))
	if err != nil {
		return r.explain(err)
	}
	r.shown.take(keys, r.key(hostsFolder, ""))
	for _, kv := range r.dead.due(keys, time.Now(), r.o.Forget) {
		deleted, _, err := r.api.KV().DeleteCAS(kv, r.write(ctx)) // not permitted: left to others
		if err == nil && deleted {
			r.o.Log.Info("forgot a host that is dead for long", "key", kv.Key, "after", r.o.Forget)
		}
	}
	return nil
}

// shown is what the keys of the hosts say. All are read each time, and a document that is the same as before is not
// decoded again. It is used by one call at a time.
type shown struct {
	known   map[string]decoded // by key
	journal registry.Journal
}

// decoded is what a key says.
type decoded struct {
	document []byte
	locked   bool
	member   glia.Member
}

// take takes over the keys below a prefix.
func (s *shown) take(keys api.KVPairs, prefix string) {
	known, members := make(map[string]decoded, len(keys)), make([]glia.Member, 0, len(keys))
	for _, kv := range keys {
		d, ok := s.known[kv.Key]
		if locked := kv.Session != ""; !ok || d.locked != locked || !bytes.Equal(d.document, kv.Value) {
			d = decoded{kv.Value, locked, registry.DecodeDocument(strings.TrimPrefix(kv.Key, prefix), kv.Value)}
			switch {
			case locked:
				d.member.Status = glia.MemberAlive
			case d.member.Status == "":
				d.member.Status = glia.MemberGone
			}
		}
		known[kv.Key] = d
		members = append(members, d.member)
	}
	s.known = known
	s.journal.Replace(members)
}

// dead remembers since when hosts were not alive.
type dead struct {
	mu    sync.Mutex
	since map[string]time.Time // by key
}

// due are the keys of those that are dead for as long as that.
func (d *dead) due(keys api.KVPairs, now time.Time, forget time.Duration) (out api.KVPairs) {
	d.mu.Lock()
	defer d.mu.Unlock()
	still := make(map[string]time.Time, len(d.since))
	for _, kv := range keys {
		if kv.Session != "" {
			continue
		}
		since, known := d.since[kv.Key]
		if !known {
			since = now
		}
		still[kv.Key] = since
		if now.Sub(since) >= forget {
			out = append(out, kv)
		}
	}
	d.since = still
	return out
}
