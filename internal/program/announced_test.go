package program_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"glia/config"
	"glia/internal/program/nerved"
	"glia/internal/testbed"
)

// The bytes of the announcement are those that nerve 0.9.7 writes for this service, and so is its name in the path encoding.
func TestNerve_AnnouncesServicesAsSmartstackDoes(t *testing.T) {
	t.Parallel()
	const (
		want   = `{"host":"10.0.0.1","port":3000,"name":"i-1","labels":{"az":"us-east-1a"}}`
		inPath = `base64_100_eyJob3N0IjoiMTAuMC4wLjEiLCJwb3J0IjozMDAwLCJuYW1lIjoiaS0xIiwibGFiZWxzIjp7ImF6IjoidXMtZWFzdC0xYSJ9fQ==_`
	)
	s := testbed.ZooKeeper(t)
	n := config.DefaultNerve()
	n.Host, n.StateDir, n.Hand.Enabled, n.API.Listen = "i-1", t.TempDir(), false, testbed.Addr(t)
	n.Serf.Bind, n.Serf.RPC, n.ZooKeeper.Servers = testbed.Addr(t), "", []string{s.Addr}
	web := config.ServicePlace{Registry: config.RegistryZooKeeper, Path: "/nerve/services/web/services", Numbered: true}
	encoded, plain := web, web
	encoded.Path, encoded.PathEncoding = "/nerve/services/encoded/services", true
	plain.Path, plain.Numbered = "/nerve/services/plain/services", false
	for i, p := range []config.ServicePlace{web, encoded, plain} {
		s := config.AnnouncedService{Name: fmt.Sprint("web-", i), Host: "10.0.0.1", Port: 3000, Weight: -1, Labels: []string{"az=us-east-1a"}, Interval: config.Duration(time.Second)}
		s.Places = []config.ServicePlace{p}
		n.Services = append(n.Services, s)
	}
	n.Resolve("")
	stop := run(t, func(ctx context.Context, started func()) error {
		return nerved.Run(ctx, n, nerved.Parts{Inventory: noDisks{}, Prober: noDisks{}, Started: started}, slog.New(slog.DiscardHandler))
	})

	c, _, err := zk.Connect([]string{s.Addr}, 10*time.Second, zk.WithLogInfo(false))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	for path, name := range map[string]string{web.Path: "i-1_0000000000", encoded.Path: inPath + "0000000000", plain.Path: "i-1"} {
		awaitChildren(t, c, path, 1)
		if data, stat, err := c.Get(path + "/" + name); err != nil || string(data) != want || stat.EphemeralOwner == 0 {
			t.Errorf("%s/%s has %s, %v", path, name, data, err)
		}
	}
	stop()
	for _, path := range []string{web.Path, encoded.Path, plain.Path} {
		awaitChildren(t, c, path, 0)
	}
}

// awaitChildren waits until a folder has so many nodes.
func awaitChildren(t *testing.T, c *zk.Conn, path string, n int) {
	t.Helper()
	limit, tick := time.After(patience), time.NewTicker(20*time.Millisecond)
	defer tick.Stop()
	for {
		names, _, err := c.Children(path)
		if err == nil && len(names) == n {
			return
		}
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("%s has %v, want %d: %v", path, names, n, err)
		}
	}
}
