package zookeeper_test

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"glia/internal/testbed"
	"glia/registry"
	"glia/registry/registrytest"
	"glia/registry/zookeeper"
)

func TestMain(m *testing.M) {
	registrytest.CandidateMain(func(args []string) (registry.Elector, error) {
		return zookeeper.NewElector(zookeeper.Options{Servers: args[:1], Path: args[1], SessionTimeout: lease}, "repairer", "process")
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

func elector(t *testing.T, holder string, o zookeeper.Options) registry.Elector {
	t.Helper()
	if o.SessionTimeout == 0 {
		o.SessionTimeout = lease
	}
	e, err := zookeeper.NewElector(o, "repairer", holder)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func (e election) Candidate(t *testing.T, holder string) registrytest.Candidate {
	p := testbed.NewProxy(t, e.server.Addr)
	return candidate{elector(t, holder, zookeeper.Options{Servers: []string{p.Addr}, Path: e.path}), p}
}

func (e election) candidates(t *testing.T) []string {
	names, _, err := raw(t, e.server).Children(e.path + "/election/repairer")
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func (e election) Sessions(t *testing.T) int { return len(e.candidates(t)) }

func (e election) Depose(t *testing.T) {
	for _, n := range e.candidates(t) {
		if err := raw(t, e.server).Delete(e.path+"/election/repairer/"+n, -1); err != nil {
			t.Fatal(err)
		}
	}
}

func (e election) Restart(t *testing.T) { e.server.Kill(t); e.server.Start(t) }
func (e election) Args() []string       { return []string{e.server.Addr, e.path} }

func TestElector_Contract(t *testing.T) {
	t.Parallel()
	shared := testbed.ZooKeeper(t)
	t.Run("all", func(t *testing.T) { // so that the server outlives the parallel parts
		registrytest.RunElection(t, func(t *testing.T) registrytest.Election {
			if strings.Contains(t.Name(), "server") {
				return election{newCluster(testbed.ZooKeeper(t))}
			}
			return election{newCluster(shared)}
		})
	})
}

func TestElector_NobodyLeadsWithoutQuorum(t *testing.T) {
	t.Parallel()
	servers := testbed.ZooKeepers(t, 3)
	var addrs []string
	for _, s := range servers {
		addrs = append(addrs, s.Addr)
	}
	o := zookeeper.Options{Servers: addrs, Path: "/glia", SessionTimeout: 4 * time.Second}
	first, err := elector(t, "first", o).Lead(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	servers[0].Kill(t)
	servers[1].Kill(t)
	<-first.Lost()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if l, err := elector(t, "second", o).Lead(ctx, 0); err == nil {
		t.Errorf("%d leads without a quorum", l.Epoch())
	} else if !strings.Contains(err.Error(), "no session with any of its servers") {
		t.Errorf("Lead: %v", err)
	}
	servers[1].Start(t)
	second, err := elector(t, "second", o).Lead(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if second.Epoch() <= first.Epoch() {
		t.Errorf("epoch %d follows %d", second.Epoch(), first.Epoch())
	}
	if err := second.Resign(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestElector_WrongCredentials(t *testing.T) {
	t.Parallel()
	c := newCluster(testbed.ZooKeeper(t))
	o := zookeeper.Options{Servers: []string{c.server.Addr}, Path: c.path, User: "glia", Password: "secret"}
	l, err := elector(t, "first", o).Lead(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	o.Password = "other"
	if _, err := elector(t, "stranger", o).Lead(t.Context(), 0); err == nil || !strings.Contains(err.Error(), "belong to another user") {
		t.Errorf("Lead: %v", err)
	}
	if err := l.Resign(t.Context()); err != nil {
		t.Error(err)
	}
}
