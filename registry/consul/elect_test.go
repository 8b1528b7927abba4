package consul_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"glia/internal/testbed"
	"glia/registry"
	"glia/registry/consul"
	"glia/registry/registrytest"
)

func TestMain(m *testing.M) {
	registrytest.CandidateMain(func(args []string) (registry.Elector, error) {
		ttl, err := time.ParseDuration(args[2])
		if err != nil {
			return nil, err
		}
		return consul.NewElector(consul.Options{Address: args[0], Path: args[1], TTL: ttl}, "repairer", "process")
	})
	registrytest.AnnouncerMain(func(_ string, args []string) (registrytest.Leaver, error) {
		return consul.Open(consul.Options{Address: args[0], Path: args[1], TTL: registrytest.Lease(args[2:], ttl)})
	})
	os.Exit(m.Run())
}

type election struct {
	cluster
	peer *testbed.Server // without which the server has no quorum; nil when it needs none
}

type candidate struct {
	*consul.Elector
	*testbed.Proxy
}

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

// Depose ends the session of the leader. Those of others are of candidates that have not locked anything: they have none yet.
func (e election) Depose(t *testing.T) {
	if _, err := raw(t, e.server, "").Session().Destroy(e.lock(t).Session, nil); err != nil {
		t.Fatal(err)
	}
}

func (e election) Restart(t *testing.T) { e.server.Kill(t); e.server.Start(t) }

// Within counts the delay of the lock, of 2 s.
func (e election) Within() time.Duration { return 2*ttl + 2*time.Second }

func (e election) Args(long bool) []string {
	lease := ttl
	if long {
		lease = time.Minute
	}
	return []string{e.server.Addr, e.path, lease.String()}
}

func (e election) LoseQuorum(t *testing.T) (words string, mend func()) {
	e.peer.Kill(t)
	return "consul does not answer", func() { e.peer.Start(t) }
}

func TestElector_Contract(t *testing.T) {
	t.Parallel()
	shared := testbed.Consul(t, "")
	t.Run("all", func(t *testing.T) { // so that the server outlives the parallel parts
		registrytest.RunElection(t, func(t *testing.T) registrytest.Election {
			switch {
			case strings.Contains(t.Name(), "quorum"):
				two := testbed.Consuls(t, 2)
				return election{newCluster(two[0]), two[1]}
			case strings.Contains(t.Name(), "server"):
				return election{newCluster(testbed.Consul(t, "")), nil}
			}
			return election{newCluster(shared), nil}
		})
	})
}

// The key with its value stays when nobody leads, and nobody is mistaken for a leader by it.
func TestElector_AnOldValueElectsNobody(t *testing.T) {
	t.Parallel()
	e := election{newCluster(testbed.Consul(t, "")), nil}
	var last uint64
	for range 2 {
		l, err := e.Candidate(t, "first").Lead(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Resign(t.Context()); err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf(`{"epoch":%d,"holder":"first"}`, l.Epoch())
		if kv := e.lock(t); kv.Session != "" || string(kv.Value) != want {
			t.Errorf("the lock after its leader: %q of session %q, want %s", kv.Value, kv.Session, want)
		}
		if l.Epoch() <= last {
			t.Errorf("epoch %d follows %d", l.Epoch(), last)
		}
		last = l.Epoch()
	}
}
