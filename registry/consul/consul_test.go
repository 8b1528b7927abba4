package consul_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"glia"
	"glia/internal/testbed"
	"glia/registry"
	"glia/registry/consul"
	"glia/registry/registrytest"
)

// ttl is that of the sessions of the tests. Consul ends them after one to two of them.
const ttl = time.Second

func open(t *testing.T, o consul.Options) *consul.Registry {
	t.Helper()
	if o.TTL == 0 {
		o.TTL = ttl
	}
	r, err := consul.Open(o)
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
	*consul.Registry
	proxy *testbed.Proxy
}

var clusters atomic.Int64

func newCluster(s *testbed.Server) cluster {
	return cluster{s, fmt.Sprintf("test/%d/glia", clusters.Add(1))}
}

func (c cluster) host(t *testing.T) host {
	p := testbed.NewProxy(t, c.server.Addr)
	return host{open(t, consul.Options{Address: p.Addr, Path: c.path}), p}
}

func (c cluster) Host(t *testing.T, _ string) registrytest.Host { return c.host(t) }

func (c cluster) Watcher(t *testing.T) registry.Watcher {
	return open(t, consul.Options{Address: c.server.Addr, Path: c.path})
}

func (h host) Crash(*testing.T) { h.proxy.Cut() }

func (h host) Leave(t *testing.T) {
	if err := h.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestRegistry_Contract(t *testing.T) {
	t.Parallel()
	s := testbed.Consul(t, "")
	t.Run("all", func(t *testing.T) { // so that the server outlives the parallel parts
		registrytest.Run(t, func(*testing.T) registrytest.Cluster { return newCluster(s) })
	})
}

// until announces until it succeeds, as a nerve does.
func until(t *testing.T, r *consul.Registry, a glia.Announcement) {
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
func raw(t *testing.T, s *testbed.Server, token string) *api.Client {
	t.Helper()
	c, err := api.NewClient(&api.Config{Address: s.Addr, Token: token})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestRegistry_ServerFaults(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]func(*testing.T, *testbed.Server, *consul.Registry){
		"killed and started again": func(t *testing.T, s *testbed.Server, w *consul.Registry) {
			s.Kill(t)
			registrytest.AwaitError(t, w, "the death of the server")
			s.Start(t)
		},
		"stopped for longer than a session": func(t *testing.T, s *testbed.Server, w *consul.Registry) {
			s.Pause(t)
			registrytest.AwaitError(t, w, "the silence of the server")
			s.Resume(t)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := testbed.Consul(t, "")
			c := newCluster(s)
			h, w := c.host(t), open(t, consul.Options{Address: s.Addr, Path: c.path})
			until(t, h.Registry, registrytest.Announcement("node-1", 1))
			registrytest.Await(t, w, "the host", one(glia.MemberAlive))
			fault(t, s, w)
			registrytest.Await(t, w, "the host after it", one(glia.MemberAlive))
			until(t, h.Registry, registrytest.Announcement("node-1", 2))
			registrytest.Await(t, w, "the next announcement", func(m []glia.Member) bool {
				return one(glia.MemberAlive)(m) && m[0].Announcement.Generation == 2
			})
		})
	}
}

// Nobody calls Announce again: the registry itself puts right what was lost.
func TestRegistry_HealsItself(t *testing.T) {
	t.Parallel()
	s := testbed.Consul(t, "")
	for name, harm := range map[string]func(*testing.T, cluster, host, *consul.Registry){
		"expired session": func(t *testing.T, _ cluster, h host, w *consul.Registry) {
			h.proxy.Cut()
			registrytest.Await(t, w, "the host as gone", one(glia.MemberGone))
			h.proxy.Heal()
		},
		"half-open connection": func(t *testing.T, _ cluster, h host, w *consul.Registry) {
			h.proxy.Hang()
			registrytest.Await(t, w, "the host as gone", one(glia.MemberGone))
			h.proxy.Heal()
		},
		"session destroyed by somebody": func(t *testing.T, c cluster, _ host, _ *consul.Registry) {
			kv, _, err := raw(t, s, "").KV().Get(c.path+"/hosts/node-1", nil)
			if err == nil {
				_, err = raw(t, s, "").Session().Destroy(kv.Session, nil)
			}
			if err != nil {
				t.Fatal(err)
			}
		},
		"key removed by somebody": func(t *testing.T, c cluster, _ host, _ *consul.Registry) {
			if _, err := raw(t, s, "").KV().Delete(c.path+"/hosts/node-1", nil); err != nil {
				t.Fatal(err)
			}
		},
		"document changed by somebody": func(t *testing.T, c cluster, _ host, _ *consul.Registry) {
			if _, err := raw(t, s, "").KV().Put(&api.KVPair{Key: c.path + "/hosts/node-1", Value: []byte("nonsense")}, nil); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(s)
			h, w := c.host(t), open(t, consul.Options{Address: s.Addr, Path: c.path})
			until(t, h.Registry, registrytest.Announcement("node-1", 1))
			registrytest.Await(t, w, "the host", one(glia.MemberAlive))
			harm(t, c, h, w)
			registrytest.Await(t, w, "the host again", one(glia.MemberAlive))
		})
	}
}

// A session may have been replaced by the time that the answer comes which says that it is over. The new one must be kept.
func TestRegistry_KeepsTheSessionThatFollowsALostOne(t *testing.T) {
	t.Parallel()
	s := testbed.Consul(t, "")
	c := newCluster(s)
	const renew = "/v1/session/renew/"
	asked, answer := make(chan string, 100), make(chan struct{})
	held := sync.OnceFunc(func() {
		select {
		case <-answer:
		case <-time.After(registrytest.Patience):
		}
	})
	to := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: s.Addr})
	between := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if id, found := strings.CutPrefix(q.URL.Path, renew); found {
			asked <- id
			held()
		}
		to.ServeHTTP(w, q)
	}))
	t.Cleanup(between.Close)
	h := open(t, consul.Options{Address: between.Listener.Addr().String(), Path: c.path, TTL: 6 * time.Second})
	until(t, h, registrytest.Announcement("node-1", 1))
	renewed := func() string {
		t.Helper()
		select {
		case id := <-asked:
			return id
		case <-time.After(registrytest.Patience):
			t.Fatal("no session is renewed")
		}
		return ""
	}
	first := renewed()
	if _, err := raw(t, s, "").Session().Destroy(first, nil); err != nil {
		t.Fatal(err)
	}
	second := first
	for limit := time.Now().Add(registrytest.Patience); second == "" || second == first; {
		kv, _, err := raw(t, s, "").KV().Get(c.path+"/hosts/node-1", nil)
		if err != nil || time.Now().After(limit) {
			t.Fatalf("no session follows %s: %v", first, err)
		}
		second = kv.Session
	}
	close(answer)
	if got := renewed(); got != second {
		t.Errorf("session %s is renewed, %s has the lock", got, second)
	}
}

func TestRegistry_AShortCutIsNotSeen(t *testing.T) {
	t.Parallel()
	s := testbed.Consul(t, "")
	c := newCluster(s)
	p := testbed.NewProxy(t, s.Addr)
	h := open(t, consul.Options{Address: p.Addr, Path: c.path, TTL: 10 * time.Second})
	w := open(t, consul.Options{Address: s.Addr, Path: c.path})
	until(t, h, registrytest.Announcement("node-1", 1))
	registrytest.Await(t, w, "the host", one(glia.MemberAlive))
	before := index(t, s, c)
	for range 3 {
		p.Cut()
		registrytest.AwaitError(t, h, "the cut")
		p.Heal()
		registrytest.Await(t, h, "the host by itself", one(glia.MemberAlive))
	}
	if after := index(t, s, c); after != before {
		t.Errorf("the key was written: index %d became %d", before, after)
	}
}

// index tells when the key of node-1 was written last.
func index(t *testing.T, s *testbed.Server, c cluster) uint64 {
	t.Helper()
	kv, _, err := raw(t, s, "").KV().Get(c.path+"/hosts/node-1", nil)
	if err != nil || kv == nil {
		t.Fatal(kv, err)
	}
	return kv.ModifyIndex
}

func TestRegistry_WritesOnlyChanges(t *testing.T) {
	t.Parallel()
	s := testbed.Consul(t, "")
	c := newCluster(s)
	h := open(t, consul.Options{Address: s.Addr, Path: c.path, TTL: time.Minute})
	a := registrytest.Announcement("node-1", 1)
	until(t, h, a)
	before := index(t, s, c)
	for range 100 {
		if err := h.Announce(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	if after := index(t, s, c); after != before {
		t.Errorf("index %d became %d with nothing changing", before, after)
	}
}

func TestRegistry_ForgetsTheDead(t *testing.T) {
	t.Parallel()
	s := testbed.Consul(t, "")
	c := newCluster(s)
	w := open(t, consul.Options{Address: s.Addr, Path: c.path, Forget: time.Nanosecond})
	h := c.host(t)
	until(t, h.Registry, registrytest.Announcement("node-1", 1))
	registrytest.Await(t, w, "the host", one(glia.MemberAlive))
	h.Leave(t)
	registrytest.Await(t, w, "the host as left", one(glia.MemberLeft))
	if _, err := w.Members(t.Context()); err != nil { // the second look at a dead one
		t.Fatal(err)
	}
	registrytest.Await(t, w, "nobody", func(m []glia.Member) bool { return len(m) == 0 })
}

func TestRegistry_BadInput(t *testing.T) {
	t.Parallel()
	s := testbed.Consul(t, "")
	c := newCluster(s)
	first := c.host(t)
	until(t, first.Registry, registrytest.Announcement("node-1", 1))

	other := registrytest.Announcement("node-1", 1)
	other.API = "10.0.0.2:7411"
	second := c.host(t)
	if err := second.Announce(t.Context(), other); err == nil || !strings.Contains(err.Error(), `host name node-1 is in use at "10.0.0.1:7411" too`) {
		t.Errorf("a name used twice: %v", err)
	}
	first.Leave(t) // and the second one takes its place by itself
	w := open(t, consul.Options{Address: s.Addr, Path: c.path})
	registrytest.Await(t, w, "the second one", func(m []glia.Member) bool { return one(glia.MemberAlive)(m) && m[0].Announcement.API == other.API })

	if _, err := raw(t, s, "").KV().Put(&api.KVPair{Key: c.path + "/hosts/node-2", Value: []byte("{")}, nil); err != nil {
		t.Fatal(err)
	}
	m := registrytest.Await(t, w, "a bad key beside a good one", func(m []glia.Member) bool { return len(m) == 2 })
	if m[0].Problem != "" || !strings.Contains(m[1].Problem, "no announcement") || m[1].Status != glia.MemberGone {
		t.Errorf("members %+v", m)
	}
}

func TestRegistry_ACL(t *testing.T) {
	t.Parallel()
	const master = "b1gs33cr3t-b1gs-33cr-3tb1-gs33cr3tb1gs"
	s := testbed.Consul(t, `acl { enabled = true default_policy = "deny" tokens { master = "`+master+`" } }`)
	c := newCluster(s)
	token := func(name, rules string) string {
		t.Helper()
		acl, w := raw(t, s, master).ACL(), &api.WriteOptions{}
		p, _, err := acl.PolicyCreate(&api.ACLPolicy{Name: name, Rules: rules}, w)
		if err != nil {
			t.Fatal(err)
		}
		tok, _, err := acl.TokenCreate(&api.ACLToken{Policies: []*api.ACLTokenPolicyLink{{ID: p.ID}}}, w)
		if err != nil {
			t.Fatal(err)
		}
		return tok.SecretID
	}
	awaitACL(t, s, master)
	nerve := token("nerve", `key_prefix "`+c.path+`/" { policy = "write" } session_prefix "" { policy = "write" }`)
	synapse := token("synapse", `key_prefix "`+c.path+`/" { policy = "read" }`)
	h := open(t, consul.Options{Address: s.Addr, Path: c.path, Token: nerve})
	until(t, h, registrytest.Announcement("node-1", 1))
	w := open(t, consul.Options{Address: s.Addr, Path: c.path, Token: synapse})
	registrytest.Await(t, w, "the host", one(glia.MemberAlive))
	err := w.Announce(t.Context(), registrytest.Announcement("node-2", 1))
	if err == nil || !strings.Contains(err.Error(), `the token needs key_prefix "`+c.path+`/" and session_prefix "" with policy write`) || strings.Contains(err.Error(), synapse) {
		t.Errorf("announced with a token to read: %v", err)
	}
	if m, err := open(t, consul.Options{Address: s.Addr, Path: c.path}).Members(t.Context()); len(m) > 0 {
		t.Errorf("anybody reads %v, %v", m, err)
	}
}

// awaitACL waits until the server has its ACL system, which is some time after its first answers.
func awaitACL(t *testing.T, s *testbed.Server, token string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), registrytest.Patience)
	defer cancel()
	for {
		_, _, err := raw(t, s, token).ACL().PolicyList((&api.QueryOptions{}).WithContext(ctx))
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatal(err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func TestRegistry_TLS(t *testing.T) {
	t.Parallel()
	certs := testbed.NewCerts(t)
	_, secure := testbed.ConsulTLS(t, certs)
	o := consul.Options{Address: secure, TLS: certs.Client(t, true)}
	h, w := open(t, o), open(t, o)
	until(t, h, registrytest.Announcement("node-1", 1))
	registrytest.Await(t, w, "the host", one(glia.MemberAlive))
	for words, conf := range map[string]*tls.Config{"without a certificate": certs.Client(t, false), "with another authority": testbed.NewCerts(t).Client(t, true)} {
		o.TLS = conf
		if m, err := open(t, o).Members(t.Context()); err == nil {
			t.Errorf("%s: reads %v", words, m)
		} else {
			t.Logf("%s: %v", words, err)
		}
	}
}

func TestRegistry_SaysThatTheServerIsAway(t *testing.T) {
	t.Parallel()
	s := testbed.Consul(t, "")
	c := newCluster(s)
	s.Stop(t)
	h := open(t, consul.Options{Address: s.Addr, Path: c.path})
	if err := h.Announce(t.Context(), registrytest.Announcement("node-1", 1)); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("Announce: %v", err)
	}
	if err := h.Ready(); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("Ready: %v", err)
	}
	s.Start(t)
	registrytest.Await(t, h, "what was announced before", one(glia.MemberAlive))
}

func TestOpen_RefusesWrongOptions(t *testing.T) {
	t.Parallel()
	for want, o := range map[string]consul.Options{
		`path "/glia"`:     {Path: "/glia"},
		`path "a//b"`:      {Path: "a//b"},
		`address "consul"`: {Address: "consul"},
	} {
		if _, err := consul.Open(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	short := open(t, consul.Options{Address: testbed.Consul(t, `session_ttl_min = "10s"`).Addr, TTL: 3 * time.Second})
	err := short.Announce(t.Context(), registrytest.Announcement("node-1", 1))
	if err == nil || !strings.Contains(err.Error(), "raise the TTL") {
		t.Errorf("a TTL that is too short: %v", err)
	}
}

func TestRegistry_ProcessesThatDieAndThatEnd(t *testing.T) {
	t.Parallel()
	c := newCluster(testbed.Consul(t, ""))
	registrytest.Deaths(t, c.Watcher(t), 2*ttl, c.server.Addr, c.path)
}

func TestRegistry_TheWallClockJumps(t *testing.T) {
	t.Parallel()
	c := newCluster(testbed.Consul(t, ""))
	registrytest.ClockJumps(t, c.Watcher(t), 2*time.Second, c.server.Addr, c.path, "5s")
}
