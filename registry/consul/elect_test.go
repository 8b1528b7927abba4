package consul_test

import (
	"os"
	"strings"
	"testing"

	"github.com/hashicorp/consul/api"

	"glia/internal/testbed"
	"glia/registry"
	"glia/registry/consul"
	"glia/registry/registrytest"
)

func TestMain(m *testing.M) {
	registrytest.CandidateMain(func(args []string) (registry.Elector, error) {
		return consul.NewElector(consul.Options{Address: args[0], Path: args[1], TTL: ttl}, "repairer", "process")
	})
	os.Exit(m.Run())
}

type election struct{ cluster }

type candidate struct {
	registry.Elector
	proxy *testbed.Proxy
}

func (c candidate) Cut()  { c.proxy.Cut() }
func (c candidate) Hang() { c.proxy.Hang() }

func (e election) Candidate(t *testing.T, holder string) registrytest.Candidate {
	p := testbed.NewProxy(t, e.server.Addr)
	el, err := consul.NewElector(consul.Options{Address: p.Addr, Path: e.path, TTL: ttl}, "repairer", holder)
	if err != nil {
		t.Fatal(err)
	}
	return candidate{el, p}
}

func (e election) lock(t *testing.T) *api.KVPair {
	kv, _, err := raw(t, e.server, "").KV().Get(e.path+"/election/repairer", nil)
	if err != nil || kv == nil {
		t.Fatal(kv, err)
	}
	return kv
}

// Sessions counts those of this test only, by the name that they have from the election and its candidates.
func (e election) Sessions(t *testing.T) int {
	all, _, err := raw(t, e.server, "").Session().List(nil)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, s := range all {
		if strings.Contains(s.Name, "in vain") {
			n++
		}
	}
	return n
}

func (e election) Depose(t *testing.T) {
	if _, err := raw(t, e.server, "").Session().Destroy(e.lock(t).Session, nil); err != nil {
		t.Fatal(err)
	}
}

func (e election) Restart(t *testing.T) { e.server.Kill(t); e.server.Start(t) }
func (e election) Args() []string       { return []string{e.server.Addr, e.path} }

func TestElector_Contract(t *testing.T) {
	t.Parallel()
	shared := testbed.Consul(t, "")
	t.Run("all", func(t *testing.T) { // so that the server outlives the parallel parts
		registrytest.RunElection(t, func(t *testing.T) registrytest.Election {
			if strings.Contains(t.Name(), "server") {
				return election{newCluster(testbed.Consul(t, ""))}
			}
			return election{newCluster(shared)}
		})
	})
}

// The key with its value stays when nobody leads, and nobody is mistaken for a leader by it.
func TestElector_AnOldValueElectsNobody(t *testing.T) {
	t.Parallel()
	e := election{newCluster(testbed.Consul(t, ""))}
	for _, want := range []string{`{"epoch":1,"holder":"first"}`, `{"epoch":2,"holder":"first"}`} {
		l, err := e.Candidate(t, "first").Lead(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Resign(t.Context()); err != nil {
			t.Fatal(err)
		}
		if kv := e.lock(t); kv.Session != "" || string(kv.Value) != want {
			t.Errorf("the lock after its leader: %q of session %q", kv.Value, kv.Session)
		}
	}
}
