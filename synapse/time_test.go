package synapse_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"

	"glia"
	"glia/api"
	gliav1 "glia/api/glia/v1"
	"glia/registry/memory"
	"glia/synapse"
)

// fakes are nerves without a network, for tests in which time is fake.
type fakes struct {
	mu    sync.Mutex
	disks map[string][]glia.DiskStatus // by host
	gens  map[string]uint64            // generation they tell
	errs  map[string]error
	hangs map[string]bool
	asked map[string][]time.Duration // when, since start
	start time.Time
}

func newFakes() *fakes {
	return &fakes{disks: map[string][]glia.DiskStatus{}, gens: map[string]uint64{}, errs: map[string]error{},
		hangs: map[string]bool{}, asked: map[string][]time.Duration{}, start: time.Now()}
}

func (f *fakes) client(a glia.Announcement) (synapse.HostClient, error) { return fake{f, a.Host}, nil }

// times tells when a host was asked, in whole seconds since the start.
func (f *fakes) times(host string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []string
	for _, d := range f.asked[host] {
		out = append(out, d.Round(time.Second).String())
	}
	return strings.Join(out, " ")
}

func (f *fakes) set(host string, generation uint64, disks ...glia.DiskStatus) glia.Announcement {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.disks[host], f.gens[host] = disks, generation
	a := glia.NewAnnouncement(host, host+":1", disks)
	a.Generation = generation
	return a
}

type fake struct {
	*fakes
	host string
}

func (f fake) ListDisks(ctx context.Context, _ *connect.Request[gliav1.ListDisksRequest]) (*connect.Response[gliav1.ListDisksResponse], error) {
	f.mu.Lock()
	f.asked[f.host] = append(f.asked[f.host], time.Since(f.start))
	hangs, err := f.hangs[f.host], f.errs[f.host]
	resp := &gliav1.ListDisksResponse{Host: f.host, Generation: f.gens[f.host], Disks: api.DiskStatusesToProto(f.disks[f.host])}
	f.mu.Unlock()
	if hangs {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(resp), nil
}

// after lets fake time pass and everything settle.
func after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestFleet_WhenAHostIsAsked(t *testing.T) {
	t.Parallel()
	bad, healthy, unknown := disk("h", "a", glia.StateFailed), disk("h", "a", glia.StateHealthy), disk("h", "a", glia.StateUnknown)
	for _, c := range []struct {
		name  string
		steps func(announce func(generation uint64, d glia.DiskStatus), f *fakes)
		want  string
	}{
		{"a healthy host never", func(say func(uint64, glia.DiskStatus), _ *fakes) { say(1, healthy); after(time.Minute) }, ""},
		{"an unknown host never", func(say func(uint64, glia.DiskStatus), _ *fakes) { say(1, unknown); after(time.Minute) }, ""},
		{"a bad host each resync", func(say func(uint64, glia.DiskStatus), _ *fakes) { say(1, bad); after(65 * time.Second) }, "0s 30s 1m0s"},
		{"at once when the generation changes", func(say func(uint64, glia.DiskStatus), _ *fakes) {
			say(1, bad)
			after(5 * time.Second)
			say(2, bad)
			after(10 * time.Second)
		}, "0s 5s"},
		{"not for a generation that the nerve told before", func(say func(uint64, glia.DiskStatus), f *fakes) {
			say(1, bad)
			f.set("h", 2, bad) // the API is ahead of the registry
			after(5 * time.Second)
			say(2, bad)
			after(5 * time.Second)
		}, "0s"},
		{"once more when it is healthy again", func(say func(uint64, glia.DiskStatus), _ *fakes) {
			say(1, bad)
			after(5 * time.Second)
			say(2, healthy)
			after(time.Minute)
		}, "0s 5s"},
		{"once more when nobody knows any more", func(say func(uint64, glia.DiskStatus), _ *fakes) {
			say(1, bad)
			after(5 * time.Second)
			say(1, unknown) // a nerve that started anew
			after(time.Minute)
		}, "0s 5s"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var r memory.Registry
				f := newFakes()
				say := func(g uint64, d glia.DiskStatus) {
					announce(t, &r, f.set("h", g, d))
				}
				run(t, synapse.Options{Watcher: &r, Nerves: f.client})
				c.steps(say, f)
				if got := f.times("h"); got != c.want {
					t.Errorf("asked at %q, want %q", got, c.want)
				}
			})
		})
	}
}

func TestFleet_DropsTheDetailOfAClearedHostOneResyncLater(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var r memory.Registry
		f := newFakes()
		announce(t, &r, f.set("h", 1, disk("h", "a", glia.StateFailed)))
		fleet := run(t, synapse.Options{Watcher: &r, Nerves: f.client})
		after(time.Second)
		announce(t, &r, f.set("h", 2, disk("h", "a", glia.StateHealthy)))
		after(time.Second)
		h := of(fleet.View(), "h")
		if len(h.Disks) != 1 || h.Disks[0].Verdict.State != glia.StateHealthy {
			t.Errorf("the cleared verdict is not shown: %+v", h)
		}
		after(28 * time.Second)
		if h = of(fleet.View(), "h"); len(h.Disks) != 1 {
			t.Error("dropped before everybody could see it")
		}
		after(2 * time.Second)
		if h = of(fleet.View(), "h"); len(h.Disks) != 0 || !h.FetchedAt.IsZero() || h.Member.Status != glia.MemberAlive {
			t.Errorf("not dropped: %+v", h)
		}
	})
}

func TestFleet_BacksOffFromANerveThatFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var r memory.Registry
		f := newFakes()
		f.errs["h"] = errors.New("broken")
		a := f.set("h", 1, disk("h", "a", glia.StateFailed))
		announce(t, &r, a)
		fleet := run(t, synapse.Options{Watcher: &r, Nerves: f.client})
		for g := range uint64(100) { // changes do not make it be asked more often
			a.Generation = g + 2
			announce(t, &r, a)
			after(3 * time.Second)
		}
		f.mu.Lock()
		asked := slices.Clone(f.asked["h"])
		f.mu.Unlock()
		if n := len(asked); n < 8 || n > 25 {
			t.Errorf("asked %d times in five minutes: %v", n, asked)
		}
		if d := of(fleet.View(), "h"); d.Problem != "ask nerve of h at h:1: broken" {
			t.Errorf("problem is %q", d.Problem)
		}
		// Another address deserves a try at once.
		a.API = "h:2"
		announce(t, &r, a)
		after(time.Second)
		f.mu.Lock()
		defer f.mu.Unlock()
		if last := f.asked["h"][len(f.asked["h"])-1]; last < 300*time.Second {
			t.Errorf("last asked at %v", last)
		}
	})
}

func TestFleet_HungNervesAreAskedAfterTheOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var r memory.Registry
		f := newFakes()
		for i := range 40 {
			host := fmt.Sprintf("hung-%02d", i)
			f.hangs[host] = true
			announce(t, &r, f.set(host, 1, disk(host, "a", glia.StateFailed)))
		}
		announce(t, &r, f.set("zz", 1, disk("zz", "a", glia.StateFailed)))
		fleet := run(t, synapse.Options{Watcher: &r, Nerves: f.client, FetchTimeout: 4 * time.Second})
		after(13 * time.Second)
		if h := of(fleet.View(), "zz"); len(h.Disks) != 1 {
			t.Fatal("never asked behind 40 hosts that hang")
		}
		if h := of(fleet.View(), "hung-00"); !strings.Contains(h.Problem, context.DeadlineExceeded.Error()) {
			t.Errorf("problem is %q", h.Problem)
		}
		announce(t, &r, f.set("zz", 2, disk("zz", "a", glia.StateHealthy)))
		after(5 * time.Second) // one deadline at most until a fetcher is free
		if h := of(fleet.View(), "zz"); h.Disks[0].Verdict.State != glia.StateHealthy {
			t.Error("a change waits behind hosts that hang")
		}
	})
}

func TestFleet_ViewsAreCoalesced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var r memory.Registry
		fleet := run(t, synapse.Options{Watcher: &r, Nerves: newFakes().client})
		changes := fleet.Changes(t.Context())
		views := 0
		for i := range 1000 { // in one second
			announce(t, &r, glia.Announcement{Host: "h", Generation: uint64(i), Worst: glia.StateHealthy})
			after(time.Millisecond)
			select {
			case <-changes:
				views++
			default:
			}
		}
		after(time.Second)
		if views < 5 || views > 12 {
			t.Errorf("%d views in one second", views)
		}
		if g := of(fleet.View(), "h").Member.Announcement.Generation; g != 999 {
			t.Errorf("the last view shows generation %d", g)
		}
	})
}

func TestFleet_AnswersOfNervesAreCoalescedToo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var r memory.Registry
		f := newFakes()
		announce(t, &r, f.set("h", 1, disk("h", "a", glia.StateFailed)))
		fleet := run(t, synapse.Options{Watcher: &r, Nerves: f.client})
		after(50 * time.Millisecond)
		if v := fleet.View(); len(v.Hosts) != 1 || len(of(v, "h").Disks) != 0 {
			t.Errorf("two views within 100 ms: %+v", v)
		}
		after(60 * time.Millisecond)
		if v := fleet.View(); len(of(v, "h").Disks) != 1 {
			t.Errorf("the answer is not shown: %+v", v)
		}
	})
}

func TestFleet_NeverAsksWhoCannotAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var r memory.Registry
		f := newFakes()
		alive := glia.Member{Status: glia.MemberAlive, Announcement: f.set("twice", 1, disk("twice", "a", glia.StateFailed))}
		r.Put("one", alive)
		r.Put("two", alive)
		announce(t, &r, f.set("h", 1, disk("h", "a", glia.StateFailed)))
		run(t, synapse.Options{Watcher: &r, Nerves: f.client})
		after(time.Second)
		r.SetStatus("h", glia.MemberGone)
		after(5 * time.Minute)
		if h, twice := f.times("h"), f.times("twice"); h != "0s" || twice != "" {
			t.Errorf("a host that is gone was asked at %q, one that is claimed twice at %q", h, twice)
		}
		r.SetStatus("h", glia.MemberAlive)
		after(time.Second)
		if h := f.times("h"); h != "0s 5m1s" {
			t.Errorf("asked at %q after it came back", h)
		}
	})
}

func TestFleet_AsksAFailingRegistryAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var r memory.Registry
		r.Fail(errors.New("no quorum"))
		fleet := run(t, synapse.Options{Watcher: mute{&r}, Nerves: newFakes().client})
		after(10 * time.Second)
		if v := fleet.View(); !v.At.IsZero() {
			t.Errorf("a view without an answer: %+v", v)
		}
		r.Fail(nil)
		after(30 * time.Second)
		if err := fleet.Ready(); err != nil {
			t.Error(err)
		}
		r.Fail(errors.New("no quorum"))
		after(3 * time.Minute)
		if err := fleet.Ready(); err == nil || !strings.Contains(err.Error(), "no quorum") {
			t.Errorf("Ready: %v", err)
		}
	})
}

// mute is a registry that never signals.
type mute struct{ *memory.Registry }

func (mute) Changes(context.Context) <-chan struct{} { return nil }
