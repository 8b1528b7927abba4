package several_test

import (
	"errors"
	"reflect"
	"slices"
	"testing"

	"glia"
	"glia/registry"
	"glia/registry/memory"
	"glia/registry/registrytest"
	"glia/registry/several"
)

type cluster struct {
	all   *several.Registry
	parts [2]*memory.Registry
}

func newCluster(mode several.Mode) cluster {
	c := cluster{parts: [2]*memory.Registry{new(memory.Registry), new(memory.Registry)}}
	c.all = several.New(mode, several.Named{Name: "old", Backend: c.parts[0]}, several.Named{Name: "new", Backend: c.parts[1]})
	return c
}

type host struct {
	cluster
	*several.Registry
	name string
}

func (c cluster) Host(_ *testing.T, name string) registrytest.Host { return host{c, c.all, name} }
func (c cluster) Watcher(*testing.T) registry.Watcher              { return c.all }

func (h host) set(s glia.MemberStatus) {
	for _, p := range h.parts {
		p.SetStatus(h.name, s)
	}
}

func (h host) Leave(*testing.T) { h.set(glia.MemberLeft) }
func (h host) Crash(*testing.T) { h.set(glia.MemberGone) }

func TestRegistry_Contract(t *testing.T) {
	t.Parallel()
	for _, mode := range []several.Mode{several.Union, several.Prefer} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			registrytest.Run(t, func(*testing.T) registrytest.Cluster { return newCluster(mode) })
		})
	}
}

func TestRegistry_OneOfThemFails(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for mode, vouches := range map[several.Mode]bool{several.Union: false, several.Prefer: true} {
		c := newCluster(mode)
		c.parts[0].Fail(broken)
		if err := c.all.Announce(t.Context(), registrytest.Announcement("node-1", 1)); !errors.Is(err, broken) {
			t.Errorf("%s: Announce: %v", mode, err)
		}
		if m, err := c.parts[1].Members(t.Context()); err != nil || len(m) != 1 {
			t.Errorf("%s: it did not get to the one that works: %v, %v", mode, m, err)
		}
		if _, err := c.all.Members(t.Context()); (err == nil) != vouches {
			t.Errorf("%s: Members: %v", mode, err)
		}
		c.parts[1].Fail(broken)
		if _, err := c.all.Members(t.Context()); !errors.Is(err, broken) {
			t.Errorf("%s: Members of none: %v", mode, err)
		}
	}
}

func member(api string, generation uint64, status glia.MemberStatus, problem string, bad ...string) glia.Member {
	a := glia.Announcement{Host: "node-1", API: api, Generation: generation}
	for _, d := range bad {
		a.Bad = append(a.Bad, glia.BadDisk{Device: d, State: glia.StateFailing})
	}
	return glia.Member{Announcement: a, Status: status, Problem: problem}
}

func TestMerge(t *testing.T) {
	t.Parallel()
	const alive, left, gone = glia.MemberAlive, glia.MemberLeft, glia.MemberGone
	for _, c := range []struct {
		words string
		in    []glia.Member // what each registry tells
		want  []int         // which of them are shown
	}{
		{"the same in both", []glia.Member{member("a", 1, alive, ""), member("a", 1, alive, "")}, []int{0}},
		{"alive in one is alive", []glia.Member{member("a", 9, gone, ""), member("a", 1, alive, "")}, []int{1}},
		{"the newest counts", []glia.Member{member("a", 1, alive, ""), member("a", 2, alive, "")}, []int{1}},
		{"the one that tells more", []glia.Member{member("a", 2, alive, "", "sda"), member("a", 2, alive, "", "sda", "sdb")}, []int{1}},
		{"what can be read", []glia.Member{member("a", 2, alive, "garbage"), member("a", 1, alive, "")}, []int{1}},
		{"two of one name", []glia.Member{member("a", 1, alive, ""), member("b", 1, alive, "")}, []int{0, 1}},
		{"one of two is gone", []glia.Member{member("a", 1, gone, ""), member("b", 1, alive, "")}, []int{1}},
		{"goodbye before silence", []glia.Member{member("a", 2, gone, ""), member("a", 1, left, "")}, []int{1}},
	} {
		var want []glia.Member
		for _, i := range c.want {
			want = append(want, c.in[i])
		}
		if got := several.Merge(c.in[:1], c.in[1:]); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, want %+v", c.words, got, want)
		}
		if len(want) == 1 {
			slices.Reverse(c.in)
			if got := several.Merge(c.in); !reflect.DeepEqual(got, want) {
				t.Errorf("%s, the other way round: got %+v, want %+v", c.words, got, want)
			}
		}
	}
}
