package zookeeper_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"glia"
	"glia/internal/testbed"
	"glia/registry"
	"glia/registry/registrytest"
	"glia/registry/zookeeper"
)

// lease is the session timeout of the tests.
const lease = time.Second

func open(t *testing.T, o zookeeper.Options) *zookeeper.Registry {
	t.Helper()
	if o.SessionTimeout == 0 {
		o.SessionTimeout = lease
	}
	r, err := zookeeper.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = r.Close(ctx) // without goodbye
	})
	return r
}

// cluster is a folder of one server that the tests share.
type cluster struct {
	server *testbed.Server
	path   string
}

type host struct {
	*zookeeper.Registry
	proxy *testbed.Proxy
}

var clusters atomic.Int64

func newCluster(s *testbed.Server) cluster {
	return cluster{s, fmt.Sprintf("/test/%d/glia", clusters.Add(1))}
}

func (c cluster) host(t *testing.T) host {
	p := testbed.NewProxy(t, c.server.Addr)
	return host{open(t, zookeeper.Options{Servers: []string{p.Addr}, Path: c.path}), p}
}

func (c cluster) Host(t *testing.T, _ string) registrytest.Host { return c.host(t) }

func (c cluster) Watcher(t *testing.T) registry.Watcher {
	return open(t, zookeeper.Options{Servers: []string{c.server.Addr}, Path: c.path})
}

func (h host) Crash(*testing.T) { h.proxy.Cut() }

func (h host) Leave(t *testing.T) {
	if err := h.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestRegistry_Contract(t *testing.T) {
	t.Parallel()
	s := testbed.ZooKeeper(t)
	t.Run("all", func(t *testing.T) { // so that the server outlives the parallel parts
		registrytest.Run(t, func(*testing.T) registrytest.Cluster { return newCluster(s) })
	})
}

// until announces until it succeeds, as a nerve does.
func until(t *testing.T, r *zookeeper.Registry, a glia.Announcement) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), registrytest.Patience)
	defer cancel()
	for {
		err := r.Announce(ctx, a)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatal(err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func one(status glia.MemberStatus) func([]glia.Member) bool {
	return func(m []glia.Member) bool { return len(m) == 1 && m[0].Status == status && m[0].Problem == "" }
}

// raw is a client beside ours.
func raw(t *testing.T, s *testbed.Server) *zk.Conn {
	t.Helper()
	c, events, err := zk.Connect([]string{s.Addr}, 10*time.Second, zk.WithLogInfo(false))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	for e := range events {
		if e.State == zk.StateHasSession {
			return c
		}
	}
	t.Fatal("no session")
	return nil
}
