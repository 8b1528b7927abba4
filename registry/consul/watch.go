package consul

import (
	"context"
	"fmt"
	"slices"
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
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	r.mu.Lock()
	closed := r.closed
	r.mu.Unlock()
	if closed {
		return nil, fmt.Errorf("read consul members: %w", registry.ErrClosed)
	}
	keys, _, err := r.api.KV().List(r.key(hostsFolder, ""), r.read(ctx))
	if err != nil {
		return nil, fmt.Errorf("read consul members: %w", r.explain(err))
	}
	out := make([]glia.Member, 0, len(keys))
	for _, kv := range keys {
		m := registry.DecodeDocument(strings.TrimPrefix(kv.Key, r.key(hostsFolder, "")), kv.Value)
		switch {
		case kv.Session != "":
			m.Status = glia.MemberAlive
		case m.Status == "":
			m.Status = glia.MemberGone
		}
		out = append(out, m)
	}
	slices.SortFunc(out, func(x, y glia.Member) int { return strings.Compare(x.Announcement.Host, y.Announcement.Host) })
	for _, kv := range r.dead.due(keys, time.Now(), r.o.Forget) {
		deleted, _, err := r.api.KV().DeleteCAS(kv, r.write(ctx)) // not permitted: left to others
		if err == nil && deleted {
			r.o.Log.Info("forgot a host that is dead for long", "key", kv.Key, "after", r.o.Forget)
		}
	}
	return out, nil
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
