// Package registrytest is the contract suite of package registry. Every backend runs it, so that all
// of them mean the same by what they show.
package registrytest

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"glia"
	"glia/registry"
)

// Patience bounds every wait of the suite. It is generous, because only a failing test waits so long.
const Patience = 90 * time.Second

// Cluster is a fresh registry of one backend.
type Cluster interface {
	// Host returns the announcer of one host, alive until it leaves or crashes.
	Host(t *testing.T, name string) Host
	// Watcher returns a watcher that announces nothing itself. Each call may be another member.
	Watcher(t *testing.T) registry.Watcher
}

// Host is one announcer with its ends.
type Host interface {
	registry.Announcer
	Leave(t *testing.T) // says goodbye
	Crash(t *testing.T) // stops answering
}

// Run runs the suite; newCluster makes a cluster that nobody else uses.
func Run(t *testing.T, newCluster func(t *testing.T) Cluster) {
	for name, test := range map[string]func(*testing.T, Cluster){
		"nobody announces":               testEmpty,
		"all announcements are shown":    testShows,
		"the newest announcement counts": testNewest,
		"announcing again is harmless":   testRepeat,
		"every watcher is told":          testWatchers,
		"a host leaves":                  testLeave,
		"a host crashes and comes back":  testCrash,
		"changes add up to the whole":    testChanges,
		"results belong to the caller":   testOwned,
		"a context that is done":         testContext,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, newCluster(t))
		})
	}
}

// Announcement is a typical announcement of a host with one bad disk.
func Announcement(host string, generation uint64) glia.Announcement {
	return glia.Announcement{
		Host: host, Generation: generation, API: "10.0.0.1:7411",
		Fingerprint: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
		DiskCount:   60, Worst: glia.StateFailing,
		Bad: []glia.BadDisk{{Device: "sdk", State: glia.StateFailing}, {Device: "sdq", State: glia.StateSuspect}},
	}
}

// Await waits until the watcher's members are as wanted, and looks only when it was signalled: a
// change without a signal makes it fail.
func Await(t testing.TB, w registry.Watcher, what string, want func([]glia.Member) bool) []glia.Member {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	changes := w.Changes(ctx)
	var last string
	for {
		select {
		case <-changes:
		case <-ctx.Done():
			t.Fatalf("%s: not seen within %v; last seen %s", what, Patience, last)
		}
		members, err := w.Members(ctx)
		last = fmt.Sprintf("%+v, error %v", members, err)
		if err == nil && want(members) {
			return members
		}
	}
}

// AwaitError waits until the watcher does not vouch for its members any more.
func AwaitError(t *testing.T, w registry.Watcher, what string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond) // not every way in which a registry goes away comes with a signal
	defer tick.Stop()
	for {
		_, err := w.Members(ctx)
		if err != nil && ctx.Err() == nil {
			t.Logf("%s: %v", what, err)
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s: not noticed within %v", what, Patience)
		}
	}
}

func shows(wants ...glia.Member) func([]glia.Member) bool {
	return func(got []glia.Member) bool { return reflect.DeepEqual(got, wants) }
}

func alive(a glia.Announcement) glia.Member {
	return glia.Member{Announcement: a, Status: glia.MemberAlive}
}

// announce announces as a nerve does: an announcement that could not be made is made again.
func announce(t *testing.T, to registry.Announcer, a glia.Announcement) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	for {
		err := to.Announce(ctx, a)
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			t.Fatal(err)
		}
		t.Logf("once more: %v", err)
	}
}

func testEmpty(t *testing.T, c Cluster) {
	Await(t, c.Watcher(t), "no member", func(m []glia.Member) bool { return len(m) == 0 })
}

func testShows(t *testing.T, c Cluster) {
	w := c.Watcher(t)
	var want []glia.Member
	for i, name := range []string{"node-3", "node-1", "node-2"} {
		a := Announcement(name, uint64(i+1))
		announce(t, c.Host(t, name), a)
		want = append(want, alive(a))
	}
	healthy := glia.Announcement{Host: "node-4", Generation: 1, API: "[::1]:7411", DiskCount: 4, Worst: glia.StateHealthy}
	announce(t, c.Host(t, "node-4"), healthy)
	want = append(want, alive(healthy))
	slices.SortFunc(want, func(a, b glia.Member) int {
		if a.Announcement.Host < b.Announcement.Host {
			return -1
		}
		return 1
	})
	Await(t, w, "four members, sorted", shows(want...))
}

func testNewest(t *testing.T, c Cluster) {
	w, h := c.Watcher(t), c.Host(t, "node-1")
	var a glia.Announcement
	for g := range uint64(20) {
		a = Announcement("node-1", g+1)
		a.DiskCount = int(g)
		announce(t, h, a)
	}
	Await(t, w, "the last of twenty announcements", shows(alive(a)))
	back := Announcement("node-1", 1) // a nerve that lost its state starts anew
	announce(t, h, back)
	Await(t, w, "a lower generation that was announced later", shows(alive(back)))
}

func testRepeat(t *testing.T, c Cluster) {
	w, h := c.Watcher(t), c.Host(t, "node-1")
	a := Announcement("node-1", 1)
	for range 3 {
		announce(t, h, a)
	}
	Await(t, w, "one member", shows(alive(a)))
}

func testWatchers(t *testing.T, c Cluster) {
	h, w := c.Host(t, "node-1"), c.Watcher(t)
	watchers := []registry.Watcher{w, w, c.Watcher(t)}
	for g := range uint64(2) {
		a := Announcement("node-1", g+1)
		announce(t, h, a)
		for i, w := range watchers {
			Await(t, w, fmt.Sprintf("generation %d by watcher %d", g+1, i), shows(alive(a)))
		}
	}
}

func testLeave(t *testing.T, c Cluster) {
	w, h := c.Watcher(t), c.Host(t, "node-1")
	a := Announcement("node-1", 1)
	announce(t, h, a)
	Await(t, w, "the host", shows(alive(a)))
	h.Leave(t)
	Await(t, w, "the host as left", shows(glia.Member{Announcement: a, Status: glia.MemberLeft}))
}

func testCrash(t *testing.T, c Cluster) {
	w, h := c.Watcher(t), c.Host(t, "node-1")
	a := Announcement("node-1", 1)
	announce(t, h, a)
	Await(t, w, "the host", shows(alive(a)))
	h.Crash(t)
	Await(t, w, "the host as gone", shows(glia.Member{Announcement: a, Status: glia.MemberGone}))
	a.Generation = 2
	announce(t, c.Host(t, "node-1"), a)
	Await(t, w, "the host as alive again", shows(alive(a)))
}

func testOwned(t *testing.T, c Cluster) {
	w, h := c.Watcher(t), c.Host(t, "node-1")
	given, want := Announcement("node-1", 1), Announcement("node-1", 1)
	announce(t, h, given)
	given.Bad[0].Device = "changed by the announcer"
	got := Await(t, w, "the host", shows(alive(want)))
	got[0].Announcement.Bad[0].Device = "changed by a reader"
	Await(t, w, "the host unchanged", shows(alive(want)))
}

func testContext(t *testing.T, c Cluster) {
	w, h := c.Watcher(t), c.Host(t, "node-1")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.Announce(ctx, Announcement("node-1", 1)); err == nil {
		t.Error("announced with a context that is done")
	}
	if m, err := w.Members(ctx); err == nil {
		t.Errorf("told members %v with a context that is done", m)
	}
}
