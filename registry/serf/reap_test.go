package serf_test

import (
	"testing"
	"time"

	"github.com/hashicorp/memberlist"

	"glia"
	"glia/registry/registrytest"
	"glia/registry/serf"
)

// TestAgent_ForgetsTheDeadAndTakesThemBack has a host crash, and leave, for longer than it is remembered. It disappears then, and is shown
// with what it announces when it comes back.
func TestAgent_ForgetsTheDeadAndTakesThemBack(t *testing.T) {
	t.Parallel()
	seed := start(t, serf.Options{Node: "seed", Forget: time.Second, Tune: fast})
	w := start(t, serf.Options{Node: "watcher", Forget: time.Second, Join: []string{seed.Addr()}, Tune: fast})
	var follower registrytest.Follower
	follow := func(what string, want func([]glia.Member) bool) {
		t.Helper()
		registrytest.Await(t, w, what, func(all []glia.Member) bool {
			d, err := w.Since(t.Context(), follower.Mark)
			if err == nil {
				follower.Take(d)
			}
			return err == nil && want(all) && want(follower.Members())
		})
	}
	shows := func(status glia.MemberStatus, a glia.Announcement) func([]glia.Member) bool {
		return func(all []glia.Member) bool {
			return len(all) == 1 && all[0].Status == status && all[0].Announcement.Generation == a.Generation && all[0].Announcement.API == a.API
		}
	}
	none := func(all []glia.Member) bool { return len(all) == 0 }
	for i, end := range []func(*serf.Agent) error{
		func(a *serf.Agent) error { return a.Abort() },
		func(a *serf.Agent) error { return a.Close(t.Context()) },
		func(a *serf.Agent) error { return a.Abort() },
	} {
		first := registrytest.Announcement("node-1", uint64(10-i)) //nolint:gosec // lower ones come later
		first.API = []string{"10.0.0.1:1", "10.0.0.1:2", "10.0.0.1:3"}[i]
		a := start(t, serf.Options{Node: "node-1", Bind: "127.0.0.2:0", Join: []string{seed.Addr()}, First: &first, Forget: time.Second, Tune: fast})
		follow("the host", shows(glia.MemberAlive, first))
		if err := end(a); err != nil {
			t.Fatal(err)
		}
		follow("no host", none)
	}
}

// TestAgent_TimesItsGossipByTheProfile compares what an agent gossips with to the timings of the library that stock agents have, too.
func TestAgent_TimesItsGossipByTheProfile(t *testing.T) {
	t.Parallel()
	for profile, want := range map[serf.Profile]*memberlist.Config{
		"":         memberlist.DefaultLANConfig(),
		serf.LAN:   memberlist.DefaultLANConfig(),
		serf.WAN:   memberlist.DefaultWANConfig(),
		serf.Local: memberlist.DefaultLocalConfig(),
	} {
		var got memberlist.Config
		a, err := serf.Start(serf.Options{Node: "node-1", Bind: "127.0.0.1:0", Profile: profile, Tune: func(m *memberlist.Config) { got = *m }})
		if err != nil {
			t.Fatal(err)
		}
		_ = a.Abort()
		type timings struct {
			tcp, probe, probeTimeout, pushPull, gossip, toTheDead time.Duration
			suspicion, longest, retransmit, nodes, indirect       int
		}
		of := func(m *memberlist.Config) timings {
			return timings{m.TCPTimeout, m.ProbeInterval, m.ProbeTimeout, m.PushPullInterval, m.GossipInterval, m.GossipToTheDeadTime,
				m.SuspicionMult, m.SuspicionMaxTimeoutMult, m.RetransmitMult, m.GossipNodes, m.IndirectChecks}
		}
		if of(&got) != of(want) {
			t.Errorf("profile %q has %+v, want %+v", profile, of(&got), of(want))
		}
	}
	lan, wan, local := memberlist.DefaultLANConfig(), memberlist.DefaultWANConfig(), memberlist.DefaultLocalConfig()
	if !(local.PushPullInterval < lan.PushPullInterval && lan.PushPullInterval < wan.PushPullInterval) {
		t.Error("the library's profiles do not differ")
	}
}
