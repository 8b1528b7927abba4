package zookeeper_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"glia"
	"glia/internal/testbed"
	"glia/registry/registrytest"
	"glia/registry/zookeeper"
)

// flaps records every state in which the watcher saw the host.
func flaps(t *testing.T, w *zookeeper.Registry) func() []glia.MemberStatus {
	ctx, cancel := context.WithCancel(t.Context())
	done, changes := make(chan struct{}), w.Changes(ctx)
	var seen []glia.MemberStatus
	go func() {
		defer close(done)
		for {
			select {
			case <-ctx.Done():
				return
			case <-changes:
			}
			m, err := w.Members(ctx)
			if err == nil && len(m) == 1 && (len(seen) == 0 || seen[len(seen)-1] != m[0].Status) {
				seen = append(seen, m[0].Status)
			}
		}
	}()
	return func() []glia.MemberStatus { cancel(); <-done; return seen }
}

func TestRegistry_ServerFaults(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]func(*testing.T, *testbed.Server, *zookeeper.Registry){
		"killed and started again": func(t *testing.T, s *testbed.Server, w *zookeeper.Registry) {
			s.Kill(t)
			registrytest.AwaitError(t, w, "the death of the server")
			s.Start(t)
		},
		"stopped for longer than a session": func(t *testing.T, s *testbed.Server, w *zookeeper.Registry) {
			s.Pause(t)
			registrytest.AwaitError(t, w, "the silence of the server")
			s.Resume(t)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := testbed.ZooKeeper(t)
			c := newCluster(s)
			h, w := c.host(t), open(t, zookeeper.Options{Servers: []string{s.Addr}, Path: c.path})
			until(t, h.Registry, registrytest.Announcement("node-1", 1))
			registrytest.Await(t, w, "the host", one(glia.MemberAlive))
			fault(t, s, w)
			registrytest.Await(t, w, "the host after it", one(glia.MemberAlive))
			after := registrytest.Announcement("node-1", 2)
			until(t, h.Registry, after)
			registrytest.Await(t, w, "the next announcement", func(m []glia.Member) bool {
				return len(m) == 1 && m[0].Announcement.Generation == 2 && m[0].Status == glia.MemberAlive
			})
		})
	}
}

func TestRegistry_AShortCutIsNotSeen(t *testing.T) {
	t.Parallel()
	s := testbed.ZooKeeper(t)
	c := newCluster(s)
	p := testbed.NewProxy(t, s.Addr)
	h := open(t, zookeeper.Options{Servers: []string{p.Addr}, Path: c.path, SessionTimeout: 6 * time.Second})
	w := open(t, zookeeper.Options{Servers: []string{s.Addr}, Path: c.path})
	until(t, h, registrytest.Announcement("node-1", 1))
	registrytest.Await(t, w, "the host", one(glia.MemberAlive))
	seen := flaps(t, w)
	for range 3 {
		p.Cut()
		awaitCut(t, h)
		p.Heal()
		registrytest.Await(t, h, "the host by itself", one(glia.MemberAlive))
	}
	if got := seen(); !slices.Equal(got, []glia.MemberStatus{glia.MemberAlive}) {
		t.Errorf("the host was seen as %v", got)
	}
}

// Requests that wait for the connection come back with it, at the very time at which the library would set
// the watches again; the race detector looks on.
func TestRegistry_AskedWhileTheConnectionComesBack(t *testing.T) {
	t.Parallel()
	c := newCluster(testbed.ZooKeeper(t))
	p := testbed.NewProxy(t, c.server.Addr)
	h := host{open(t, zookeeper.Options{Servers: []string{p.Addr}, Path: c.path, SessionTimeout: lasting}), p}
	const hosts = 100
	all := func(m []glia.Member) bool {
		return len(m) == hosts && !slices.ContainsFunc(m, func(m glia.Member) bool { return m.Status != glia.MemberAlive })
	}
	for i := range hosts {
		until(t, h.Registry, registrytest.Announcement(fmt.Sprintf("node-%d", i), 1))
	}
	registrytest.Await(t, h, "the hosts", all)
	ctx, cancel := context.WithCancel(t.Context())
	var askers sync.WaitGroup
	for range 8 {
		askers.Go(func() {
			for ctx.Err() == nil {
				_, _ = h.Members(ctx)
			}
		})
	}
	for range 5 {
		h.proxy.Cut()
		awaitCut(t, h.Registry)
		h.proxy.Heal()
		registrytest.Await(t, h, "the hosts after a cut", all)
	}
	cancel()
	askers.Wait()
}

// awaitCut waits until the registry has no session, without the patience that a call has.
func awaitCut(t *testing.T, r *zookeeper.Registry) {
	t.Helper()
	deadline := time.After(registrytest.Patience)
	for r.Ready() == nil {
		select {
		case <-time.After(time.Millisecond):
		case <-deadline:
			t.Fatal("the cut is not noticed")
		}
	}
}

// Nobody calls Announce again: the registry itself puts right what was lost.
func TestRegistry_HealsItself(t *testing.T) {
	t.Parallel()
	s := testbed.ZooKeeper(t)
	for name, harm := range map[string]func(*testing.T, cluster, host, *zookeeper.Registry){
		"expired session": func(t *testing.T, _ cluster, h host, w *zookeeper.Registry) {
			h.proxy.Cut()
			registrytest.Await(t, w, "the host as gone", one(glia.MemberGone))
			h.proxy.Heal()
		},
		"half-open connection": func(t *testing.T, _ cluster, h host, w *zookeeper.Registry) {
			h.proxy.Hang()
			registrytest.Await(t, w, "the host as gone", one(glia.MemberGone))
			h.proxy.Heal()
		},
		"nodes removed by somebody": func(t *testing.T, c cluster, _ host, w *zookeeper.Registry) {
			z := raw(t, s)
			for _, n := range []string{"/alive/node-1", "/hosts/node-1"} {
				if err := z.Delete(c.path+n, -1); err != nil {
					t.Fatal(err)
				}
			}
		},
		"document changed by somebody": func(t *testing.T, c cluster, _ host, w *zookeeper.Registry) {
			if _, err := raw(t, s).Set(c.path+"/hosts/node-1", []byte("nonsense"), -1); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(s)
			h, w := c.host(t), open(t, zookeeper.Options{Servers: []string{s.Addr}, Path: c.path})
			until(t, h.Registry, registrytest.Announcement("node-1", 1))
			registrytest.Await(t, w, "the host", one(glia.MemberAlive))
			harm(t, c, h, w)
			registrytest.Await(t, w, "the host again", one(glia.MemberAlive))
		})
	}
}

func TestRegistry_FoldersAreRemoved(t *testing.T) {
	t.Parallel()
	s := testbed.ZooKeeper(t)
	c := newCluster(s)
	o := zookeeper.Options{Servers: []string{s.Addr}, Path: c.path, SessionTimeout: lasting}
	h, w := open(t, o), open(t, o)
	until(t, h, registrytest.Announcement("node-1", 1))
	registrytest.Await(t, w, "the host", one(glia.MemberAlive))
	var all []any
	for _, n := range []string{"/alive/node-1", "/hosts/node-1", "/alive", "/hosts", ""} {
		all = append(all, &zk.DeleteRequest{Path: c.path + n, Version: -1})
	}
	if _, err := raw(t, s).Multi(all...); err != nil { // at once, before the host puts one of them right
		t.Fatal(err)
	}
	registrytest.Await(t, open(t, o), "the host again", one(glia.MemberAlive))
}

// An Announce that was given up goes on in the background, and must not undo the goodbye.
func TestRegistry_LeavesInTheMiddleOfAnAnnounce(t *testing.T) {
	t.Parallel()
	s := testbed.ZooKeeper(t)
	for range 3 {
		c := newCluster(s)
		p := testbed.NewProxy(t, s.Addr)
		h := open(t, zookeeper.Options{Servers: []string{p.Addr}, Path: c.path, SessionTimeout: lasting})
		until(t, h, registrytest.Announcement("node-1", 1))
		p.HangAfter("alive/node-1")
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		if err := h.Announce(ctx, registrytest.Announcement("node-1", 2)); err == nil {
			t.Error("announced through a connection that hangs")
		}
		cancel()
		left := make(chan error)
		go func() {
			left <- nil
			left <- h.Close(t.Context())
		}()
		<-left
		p.Heal()
		if err := <-left; err != nil {
			t.Error(err)
		}
		registrytest.Await(t, open(t, zookeeper.Options{Servers: []string{s.Addr}, Path: c.path}), "the host as left", one(glia.MemberLeft))
	}
}

func TestRegistry_EnsembleLosesOneThenTwo(t *testing.T) {
	t.Parallel()
	servers := testbed.ZooKeepers(t, 3)
	var addrs []string
	for _, s := range servers {
		addrs = append(addrs, s.Addr)
	}
	o := zookeeper.Options{Servers: addrs, Path: "/glia", SessionTimeout: 4 * time.Second}
	h, w := open(t, o), open(t, o)
	until(t, h, registrytest.Announcement("node-1", 1))
	registrytest.Await(t, w, "the host", one(glia.MemberAlive))
	servers[0].Kill(t)
	until(t, h, registrytest.Announcement("node-1", 2))
	registrytest.Await(t, w, "a change with two of three", func(m []glia.Member) bool { return one(glia.MemberAlive)(m) && m[0].Announcement.Generation == 2 })
	servers[1].Kill(t)
	registrytest.AwaitError(t, w, "the loss of the quorum")
	if err := h.Announce(t.Context(), registrytest.Announcement("node-1", 3)); err == nil {
		t.Error("announced without a quorum")
	}
	servers[1].Start(t)
	registrytest.Await(t, w, "what could not be announced, without another call", func(m []glia.Member) bool {
		return one(glia.MemberAlive)(m) && m[0].Announcement.Generation == 3
	})
}

var zxid = regexp.MustCompile(`Zxid: (0x[0-9a-f]+)`)

func TestRegistry_WritesOnlyChanges(t *testing.T) {
	t.Parallel()
	s := testbed.ZooKeeper(t)
	o := zookeeper.Options{Servers: []string{s.Addr}, Path: newCluster(s).path, SessionTimeout: lasting}
	h, w := open(t, o), open(t, o)
	a := registrytest.Announcement("node-1", 1)
	until(t, h, a)
	registrytest.Await(t, w, "the host", one(glia.MemberAlive))
	writes := func() string {
		said, err := testbed.ZooKeeperWord(t.Context(), s.Addr, "srvr")
		if err != nil {
			t.Fatal(err)
		}
		return zxid.FindString(said)
	}
	before := writes()
	for range 100 {
		if err := h.Announce(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Members(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if after := writes(); after != before || before == "" {
		t.Errorf("%s became %s with nothing changing", before, after)
	}
}

func TestRegistry_ForgetsTheDead(t *testing.T) {
	t.Parallel()
	s := testbed.ZooKeeper(t)
	c := newCluster(s)
	w := open(t, zookeeper.Options{Servers: []string{s.Addr}, Path: c.path, Forget: time.Nanosecond})
	h := c.host(t)
	until(t, h.Registry, registrytest.Announcement("node-1", 1))
	registrytest.Await(t, w, "the host", one(glia.MemberAlive))
	h.Leave(t)
	registrytest.Await(t, w, "nobody", func(m []glia.Member) bool { return len(m) == 0 })
	until(t, c.host(t).Registry, registrytest.Announcement("node-1", 1))
	registrytest.Await(t, w, "the host again", one(glia.MemberAlive))
}

func TestRegistry_BadInput(t *testing.T) {
	t.Parallel()
	s := testbed.ZooKeeper(t)
	c := newCluster(s)
	o := zookeeper.Options{Servers: []string{s.Addr}, Path: c.path, SessionTimeout: lasting}
	first := open(t, o)
	until(t, first, registrytest.Announcement("node-1", 1))

	other := registrytest.Announcement("node-1", 1)
	other.API = "10.0.0.2:7411"
	second := open(t, o)
	connected(t, second.Ready)
	if err := second.Announce(t.Context(), other); err == nil || !strings.Contains(err.Error(), `host name node-1 is in use at "10.0.0.1:7411" too`) {
		t.Errorf("a name used twice: %v", err)
	}
	if err := first.Close(t.Context()); err != nil { // and the second one takes its place by itself
		t.Error(err)
	}
	w := open(t, zookeeper.Options{Servers: []string{s.Addr}, Path: c.path})
	registrytest.Await(t, w, "the second one", func(m []glia.Member) bool { return one(glia.MemberAlive)(m) && m[0].Announcement.API == other.API })

	if _, err := raw(t, s).Create(c.path+"/hosts/node-2", []byte("{"), 0, zk.WorldACL(zk.PermAll)); err != nil {
		t.Fatal(err)
	}
	m := registrytest.Await(t, w, "a bad node beside a good one", func(m []glia.Member) bool { return len(m) == 2 })
	if m[0].Problem != "" || !strings.Contains(m[1].Problem, "no announcement") || m[1].Status != glia.MemberGone {
		t.Errorf("members %+v", m)
	}
}

func TestRegistry_DigestKeepsOthersOut(t *testing.T) {
	t.Parallel()
	s := testbed.ZooKeeper(t)
	c := newCluster(s)
	o := zookeeper.Options{Servers: []string{s.Addr}, Path: c.path, User: "glia", Password: "secret", SessionTimeout: lasting}
	h, w := open(t, o), open(t, o)
	until(t, h, registrytest.Announcement("node-1", 1))
	registrytest.Await(t, w, "the host", one(glia.MemberAlive))
	o.Password = "wrong"
	stranger := open(t, o)
	connected(t, stranger.Ready)
	err := stranger.Announce(t.Context(), registrytest.Announcement("node-2", 1))
	if err == nil || !strings.Contains(err.Error(), "belong to another user; use the credentials") || strings.Contains(err.Error(), "wrong") {
		t.Errorf("announced with a wrong password: %v", err)
	}
	if m, err := stranger.Members(t.Context()); err == nil {
		t.Errorf("a stranger reads %v", m)
	}
}

func TestRegistry_TLS(t *testing.T) {
	t.Parallel()
	certs := testbed.NewCerts(t)
	_, secure := testbed.ZooKeeperTLS(t, certs)
	_, port, _ := strings.Cut(secure, ":")
	o := zookeeper.Options{Servers: []string{"localhost:" + port}, TLS: certs.Client(t, true), SessionTimeout: 4 * time.Second}
	h, w := open(t, o), open(t, o)
	until(t, h, registrytest.Announcement("node-1", 1))
	registrytest.Await(t, w, "the host", one(glia.MemberAlive))
	for words, conf := range map[string]*tls.Config{"without a certificate": certs.Client(t, false), "with another authority": testbed.NewCerts(t).Client(t, true)} {
		o.TLS = conf
		stranger := open(t, o)
		if m, err := stranger.Members(t.Context()); err == nil {
			t.Errorf("%s: reads %v", words, m)
		} else {
			t.Logf("%s: %v", words, err)
		}
	}
}

func TestRegistry_SaysThatTheServerIsAway(t *testing.T) {
	t.Parallel()
	s := testbed.ZooKeeper(t)
	c := newCluster(s)
	s.Stop(t)
	h := open(t, zookeeper.Options{Servers: []string{s.Addr}, Path: c.path})
	err := h.Announce(t.Context(), registrytest.Announcement("node-1", 1))
	if err == nil || !strings.Contains(err.Error(), "no session with any of its servers: dial tcp "+s.Addr+": connect: connection refused") {
		t.Errorf("Announce: %v", err)
	}
	if err := h.Ready(); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("Ready: %v", err)
	}
	s.Start(t)
	registrytest.Await(t, h, "what was announced before", one(glia.MemberAlive))
	if err := h.Ready(); err != nil {
		t.Errorf("Ready: %v", err)
	}
}

func TestRegistry_SaysWhyItLeavesWithoutGoodbye(t *testing.T) {
	t.Parallel()
	s := testbed.ZooKeeper(t)
	c := newCluster(s)
	h, err := zookeeper.Open(zookeeper.Options{Servers: []string{s.Addr}, Path: c.path})
	if err != nil {
		t.Fatal(err)
	}
	until(t, h, registrytest.Announcement("node-1", 1))
	s.Stop(t)
	for deadline := time.Now().Add(registrytest.Patience); h.Ready() == nil && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
	}
	if err := h.Close(t.Context()); err == nil || !strings.Contains(err.Error(), "leave zookeeper: no session with any of its servers") {
		t.Errorf("Close: %v", err)
	}
}

func TestOpen_RefusesWrongOptions(t *testing.T) {
	t.Parallel()
	for want, o := range map[string]zookeeper.Options{
		"no servers are named":   {},
		`path "glia"`:            {Servers: []string{"a"}, Path: "glia"},
		`path "/"`:               {Servers: []string{"a"}, Path: "/"},
		`path "/a/"`:             {Servers: []string{"a"}, Path: "/a/"},
		"open zookeeper registr": {},
	} {
		if _, err := zookeeper.Open(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

func TestRegistry_ProcessesThatDieAndThatEnd(t *testing.T) {
	t.Parallel()
	c := newCluster(testbed.ZooKeeper(t))
	registrytest.Deaths(t, c.Watcher(t), 2*lease, c.server.Addr, c.path)
}

func TestRegistry_TheWallClockJumps(t *testing.T) {
	t.Parallel()
	c := newCluster(testbed.ZooKeeper(t))
	registrytest.ClockJumps(t, c.Watcher(t), 2*time.Second, c.server.Addr, c.path, "8s")
}
