package memory_test

import (
	"errors"
	"testing"

	"glia"
	"glia/registry"
	"glia/registry/memory"
	"glia/registry/registrytest"
)

type cluster struct{ *memory.Registry }

type host struct {
	*memory.Registry
	name string
}

func (c cluster) Host(_ *testing.T, name string) registrytest.Host { return host{c.Registry, name} }
func (c cluster) Watcher(*testing.T) registry.Watcher              { return c.Registry }
func (h host) Leave(*testing.T)                                    { h.SetStatus(h.name, glia.MemberLeft) }
func (h host) Crash(*testing.T)                                    { h.SetStatus(h.name, glia.MemberGone) }

func TestRegistry_Contract(t *testing.T) {
	t.Parallel()
	registrytest.Run(t, func(*testing.T) registrytest.Cluster { return cluster{new(memory.Registry)} })
}

func TestRegistry_WritesOnlyChanges(t *testing.T) {
	t.Parallel()
	var r memory.Registry
	for range 3 {
		if err := r.Announce(t.Context(), registrytest.Announcement("node-1", 1)); err != nil {
			t.Fatal(err)
		}
	}
	if n := r.Writes(); n != 1 {
		t.Errorf("three equal announcements made %d writes, not one", n)
	}
}

func TestRegistry_Fail(t *testing.T) {
	t.Parallel()
	var r memory.Registry
	broken := errors.New("broken")
	r.Fail(broken)
	if _, err := r.Members(t.Context()); !errors.Is(err, broken) {
		t.Errorf("Members: %v", err)
	}
	if err := r.Announce(t.Context(), registrytest.Announcement("node-1", 1)); !errors.Is(err, broken) {
		t.Errorf("Announce: %v", err)
	}
	r.Fail(nil)
	if _, err := r.Members(t.Context()); err != nil {
		t.Errorf("Members after the failure: %v", err)
	}
}

func TestRegistry_ShowsTwoAnnouncersOfOneHostAndForgets(t *testing.T) {
	t.Parallel()
	var r memory.Registry
	m := glia.Member{Announcement: registrytest.Announcement("node-1", 1), Status: glia.MemberAlive}
	r.Put("a", m)
	r.Put("b", m)
	if got, _ := r.Members(t.Context()); len(got) != 2 {
		t.Fatalf("got %v, want the host twice", got)
	}
	r.Forget("a")
	registrytest.Await(t, &r, "the host once", func(m []glia.Member) bool { return len(m) == 1 })
}
