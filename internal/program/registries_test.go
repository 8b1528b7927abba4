package program_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"

	"glia"
	gliav1 "glia/api/glia/v1"
	"glia/api/glia/v1/gliav1connect"
	"glia/config"
	"glia/internal/program/nerved"
	"glia/internal/program/synapsed"
	"glia/internal/testbed"
)

type noDisks struct{}

func (noDisks) Scan(context.Context) ([]glia.Disk, error)        { return nil, nil }
func (noDisks) Probe(context.Context, glia.Disk) []glia.Evidence { return nil }

// run runs a program until stop is called or the test ends.
func run(t *testing.T, program func(ctx context.Context, started func()) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended, started := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		if err := program(ctx, sync.OnceFunc(func() { close(started) })); err != nil {
			t.Error(err)
		}
	}()
	stop = sync.OnceFunc(func() { cancel(); <-ended })
	t.Cleanup(stop)
	select {
	case <-started:
	case <-ended:
		t.FailNow()
	}
	return stop
}

// untilSeen watches a synapse until it shows the only host with that status. One that has no view yet ends the stream, and is asked
// again, as a repairer does.
func untilSeen(t *testing.T, addr string, status glia.MemberStatus) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		stream, err := gliav1connect.NewFleetServiceClient(http.DefaultClient, "http://"+addr).WatchFleet(ctx, connect.NewRequest(&gliav1.WatchFleetRequest{}))
		if err != nil {
			t.Fatal(err)
		}
		for stream.Receive() {
			if h := stream.Msg().GetView().GetHosts(); len(h) == 1 && h[0].GetAnnouncement().GetHost() == "node-1" && h[0].GetStatus() == string(status) {
				_ = stream.Close()
				return
			}
		}
		_ = stream.Close()
		if err := stream.Err(); connect.CodeOf(err) != connect.CodeUnavailable || ctx.Err() != nil {
			t.Fatalf("node-1 is not %s: %v", status, err)
		}
	}
}

func TestPrograms_OverEachRegistryAndAllOfThem(t *testing.T) {
	t.Parallel()
	zk, consul := testbed.ZooKeeper(t), testbed.Consul(t, "")
	all := []config.Registry{config.RegistrySerf, config.RegistryZooKeeper, config.RegistryConsul}
	log := slog.New(slog.DiscardHandler)

	n := config.DefaultNerve()
	n.Host, n.StateDir, n.Hand.Enabled, n.API.Listen = "node-1", t.TempDir(), false, testbed.Addr(t)
	n.Registries, n.Serf.Bind, n.Serf.RPC = all, testbed.Addr(t), ""
	n.ZooKeeper.Servers, n.Consul.Address = []string{zk.Addr}, consul.Addr
	n.Resolve("")
	stop := run(t, func(ctx context.Context, started func()) error {
		return nerved.Run(ctx, n, nerved.Parts{Inventory: noDisks{}, Prober: noDisks{}, Started: started}, log)
	})

	var watchers []string
	for _, use := range [][]config.Registry{all[:1], all[1:2], all[2:], all} {
		for _, watch := range []config.Watch{config.WatchUnion, config.WatchPrefer} {
			s := config.DefaultSynapse()
			s.Host, s.API.Listen, s.Registries, s.Watch = "watcher-"+string(use[0])+string(watch)+string(rune('0'+len(use))), testbed.Addr(t), use, watch
			s.Serf.Bind, s.Serf.Join = testbed.Addr(t), []string{n.Serf.Bind}
			s.ZooKeeper, s.Consul = n.ZooKeeper, n.Consul
			s.Resolve("")
			run(t, func(ctx context.Context, started func()) error {
				return synapsed.Run(ctx, s, synapsed.Parts{Started: started}, log)
			})
			watchers = append(watchers, s.API.Listen)
		}
	}
	for _, addr := range watchers {
		untilSeen(t, addr, glia.MemberAlive)
	}
	stop()
	for _, addr := range watchers {
		untilSeen(t, addr, glia.MemberLeft)
	}
	// Something in Consul that is no announcement is counted there, and nowhere else.
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://"+consul.Addr+"/v1/kv/glia/hosts/garbage", strings.NewReader("no JSON"))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	untilMetrics(t, watchers[len(watchers)-2], // the union of all
		`glia_malformed_announcements{registry="consul"} 1`, `glia_malformed_announcements{registry="zookeeper"} 0`, `glia_malformed_announcements{registry="serf"} 0`)
}

// untilMetrics waits until a program has all these lines among its metrics.
func untilMetrics(t *testing.T, addr string, lines ...string) {
	t.Helper()
	limit, tick := time.After(patience), time.NewTicker(20*time.Millisecond)
	defer tick.Stop()
	for {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+"/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		all, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err == nil && !slices.ContainsFunc(lines, func(l string) bool { return !strings.Contains(string(all), l+"\n") }) {
			return
		}
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("not among the metrics of %s: %q", addr, lines)
		}
	}
}

func TestPrograms_ThroughASerfAgentThatRunsAlready(t *testing.T) {
	t.Parallel()
	agent, gossip, dir := testbed.Serf(t, "node-1")
	log := slog.New(slog.DiscardHandler)
	n := config.DefaultNerve()
	n.Host, n.StateDir, n.Hand.Enabled, n.API.Listen = "node-1", t.TempDir(), false, testbed.Addr(t)
	n.Serf.Agent, n.Serf.DropIn = agent.Addr, filepath.Join(dir, "zzz_nerve_glia.json")
	n.Resolve("")
	stop := run(t, func(ctx context.Context, started func()) error {
		return nerved.Run(ctx, n, nerved.Parts{Inventory: noDisks{}, Prober: noDisks{}, Started: started}, log)
	})
	s := config.DefaultSynapse()
	s.Host, s.API.Listen, s.Serf.Bind, s.Serf.RPC, s.Serf.Join = "watcher", testbed.Addr(t), testbed.Addr(t), "", []string{gossip}
	s.Resolve("")
	run(t, func(ctx context.Context, started func()) error {
		return synapsed.Run(ctx, s, synapsed.Parts{Started: started}, log)
	})
	untilSeen(t, s.API.Listen, glia.MemberAlive)
	stop()
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("in the directory of the agent are %v, %v", left, err)
	}
}
