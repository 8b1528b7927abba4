package zookeeper_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"glia/internal/testbed"
	"glia/registry"
	"glia/registry/registrytest"
	"glia/registry/zookeeper"
)

func TestMain(m *testing.M) {
	registrytest.CandidateMain(func(args []string) (registry.Elector, error) {
		timeout, err := time.ParseDuration(args[2])
		if err != nil {
			return nil, err
		}
		return zookeeper.NewElector(zookeeper.Options{Servers: args[:1], Path: args[1], SessionTimeout: timeout}, "repairer", "process")
	})
	registrytest.AnnouncerMain(func(_ string, args []string) (registrytest.Leaver, error) {
		return zookeeper.Open(zookeeper.Options{Servers: args[:1], Path: args[1], SessionTimeout: registrytest.Lease(args[2:], lease)})
	})
	os.Exit(m.Run())
}

type election struct {
	cluster
	peer *testbed.Server // without which the server has no quorum; nil when it needs none
}

type candidate struct {
	*zookeeper.Elector
	*testbed.Proxy
}

func elector(t *testing.T, holder string, o zookeeper.Options) *zookeeper.Elector {
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

func (e election) Restart(t *testing.T)  { e.server.Kill(t); e.server.Start(t) }
func (e election) Within() time.Duration { return 2 * lease }

func (e election) Args(long bool) []string {
	timeout := lease
	if long {
		timeout = time.Minute
	}
	return []string{e.server.Addr, e.path, timeout.String()}
}

func (e election) LoseQuorum(t *testing.T) (words string, mend func()) {
	e.peer.Kill(t)
	return "no session with any of its servers", func() { e.peer.Start(t) }
}

func TestElector_Contract(t *testing.T) {
	t.Parallel()
	shared := testbed.ZooKeeper(t)
	t.Run("all", func(t *testing.T) { // so that the server outlives the parallel parts
		registrytest.RunElection(t, func(t *testing.T) registrytest.Election {
			switch {
			case strings.Contains(t.Name(), "quorum"):
				two := testbed.ZooKeepers(t, 2)
				return election{newCluster(two[0]), two[1]}
			case strings.Contains(t.Name(), "server"):
				return election{newCluster(testbed.ZooKeeper(t)), nil}
			}
			return election{newCluster(shared), nil}
		})
	})
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

// An election whose folder somebody has removed goes on in a new one.
func TestElector_FolderIsRemoved(t *testing.T) {
	t.Parallel()
	c := newCluster(testbed.ZooKeeper(t))
	z := raw(t, c.server)
	o := zookeeper.Options{Servers: []string{c.server.Addr}, Path: c.path, SessionTimeout: lasting}
	first, err := elector(t, "first", o).Lead(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	waits := make(chan string, 100)
	o.Waiting = func(why string) { waits <- why }
	second := make(chan registry.Term, 1)
	go func() {
		l, err := elector(t, "second", o).Lead(t.Context(), 7)
		if err != nil {
			t.Error(err)
		}
		second <- l
	}()
	select {
	case <-waits:
	case <-time.After(registrytest.Patience):
		t.Fatal("the second one does not stand by")
	}
	folder := c.path + "/election/repairer"
	var all []any
	for _, n := range (election{cluster: c}).candidates(t) {
		all = append(all, &zk.DeleteRequest{Path: folder + "/" + n, Version: -1})
	}
	if _, err := z.Multi(append(all, &zk.DeleteRequest{Path: folder, Version: -1})...); err != nil {
		t.Fatal(err)
	}
	select {
	case <-first.Lost():
	case <-time.After(registrytest.Patience):
		t.Fatal("the first one does not notice")
	}
	select {
	case l := <-second:
		if l == nil || l.Epoch() != 8 {
			t.Errorf("the second one leads as %+v", l)
		}
	case <-time.After(registrytest.Patience):
		t.Fatal("the second one does not lead")
	}
}
