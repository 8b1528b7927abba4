package zookeeper_test

import (
	"context"
	"fmt"
	"slices"
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

// lease is the session timeout of the tests in which sessions expire, and lasting that of those in which none must, however
// busy the machine is.
const (
	lease   = time.Second
	lasting = time.Minute
)

// connected waits for the first session: without one a call fails after a while.
func connected(t *testing.T, ready func() error) {
	t.Helper()
	tick, limit := time.NewTicker(10*time.Millisecond), time.After(registrytest.Patience)
	defer tick.Stop()
	for ready() != nil {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatal(ready())
		}
	}
}

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

func TestChroot(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		servers, plain []string
		folder         string // empty with plain set: none
	}{
		{[]string{"a", "b:2181"}, []string{"a", "b:2181"}, ""},
		{[]string{"a:1", "b:2/prod"}, []string{"a:1", "b:2"}, "/prod"},
		{[]string{"a/prod/eu", "b/prod/eu"}, []string{"a", "b"}, "/prod/eu"},
		{[]string{"[::1]:2181/x"}, []string{"[::1]:2181"}, "/x"},
		{[]string{"a/prod", "b"}, nil, ""},
		{[]string{"a/prod", "b", "c/prod"}, nil, ""},
		{[]string{"a/prod", "b/test"}, nil, ""},
		{[]string{"a/prod/"}, nil, ""},
		{[]string{"a/"}, nil, ""},
		{[]string{"/prod"}, nil, ""},
		{[]string{"a/../b"}, nil, ""},
	} {
		plain, folder, err := zookeeper.Chroot(c.servers)
		if !slices.Equal(plain, c.plain) || folder != c.folder || (err == nil) != (c.plain != nil) {
			t.Errorf("%v: %v in %q, %v", c.servers, plain, folder, err)
		}
	}
}

// TestRegistry_InAChroot has everything below the folder that stands behind the server, which nobody has made before: hosts,
// elections and nodes of services.
func TestRegistry_InAChroot(t *testing.T) {
	t.Parallel()
	s := testbed.ZooKeeper(t)
	o := zookeeper.Options{Servers: []string{s.Addr + "/prod/eu"}, Path: "/glia"}
	r, a := open(t, o), registrytest.Announcement("node-1", 1)
	until(t, r, a)
	registrytest.Await(t, open(t, o), "the host in the chroot", one(glia.MemberAlive))
	registrytest.Await(t, open(t, zookeeper.Options{Servers: []string{s.Addr}, Path: "/prod/eu/glia"}), "the host by its whole path", one(glia.MemberAlive))
	registrytest.Await(t, open(t, zookeeper.Options{Servers: []string{s.Addr}, Path: "/glia"}), "nothing outside", func(m []glia.Member) bool { return len(m) == 0 })
	if l, err := elector(t, "first", o).Lead(t.Context(), 0); err != nil {
		t.Error(err)
	} else if err := l.Resign(t.Context()); err != nil {
		t.Error(err)
	}
	put(t, openNodes(t, o), "web", zookeeper.Node{Folder: "/services/web", Name: "i-1", Data: []byte("data")})
	awaitNodes(t, raw(t, s), "/prod/eu/services/web", "the service", holds("data"))
	if top, _, err := raw(t, s).Children("/"); err != nil || slices.Contains(top, "glia") || slices.Contains(top, "services") {
		t.Errorf("the root has %v, %v", top, err)
	}
}
