package program_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	gliav1 "glia/api/glia/v1"
	"glia/config"
	"glia/internal/program/repairerd"
	"glia/internal/testbed"
	"glia/repairer/store/storetest"
)

// configured writes a configuration for the command line, without a running repairer.
func configured(t *testing.T, database, more string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "repairer.toml")
	if err := os.WriteFile(path, fmt.Appendf(nil, "database = %q\nsynapse = \"http://127.0.0.1:1\"\n%s", database, more), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// problem is what is wrong with a need; empty when nothing is.
func problem(t *testing.T, m *gliav1.GetEntrypointResponse, name string) string {
	t.Helper()
	for _, n := range m.GetNeeds() {
		if n.GetName() == name {
			return n.GetProblem()
		}
	}
	t.Fatalf("%s is not told: %v", name, m)
	return ""
}

func entrypointOf(t *testing.T, o one) *gliav1.GetEntrypointResponse {
	t.Helper()
	r, err := o.entry.GetEntrypoint(t.Context(), connect.NewRequest(&gliav1.GetEntrypointRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	return r.Msg
}

func straight(t *testing.T, path string) *gliav1.GetEntrypointResponse {
	t.Helper()
	m, err := repairerd.Entrypoint(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestEntrypoint_OfASQLiteFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "glia.db")
	conf := configured(t, file, "")
	if m := straight(t, conf); m.GetLeading() != gliav1.Leading_LEADING_NOBODY || m.GetWhy() != "no repairer has led on this database yet" {
		t.Errorf("before the first repairer: %v", m)
	}
	a := start(t, file)
	for name, m := range map[string]*gliav1.GetEntrypointResponse{"from the repairer": entrypointOf(t, a), "straight": straight(t, conf)} {
		if m.GetLeading() != gliav1.Leading_LEADING_SOMEBODY || !strings.HasPrefix(m.GetHolder(), fmt.Sprintf("process %d on ", os.Getpid())) || m.GetEpoch() == 0 || time.Since(m.GetSince().AsTime()) > time.Hour {
			t.Errorf("%s: %v", name, m)
		}
		if p := problem(t, m, "synapse"); !strings.Contains(p, "connection refused") {
			t.Errorf("%s: the synapse has the problem %q", name, p)
		}
	}
	a.stop()
	if m := straight(t, conf); m.GetLeading() != gliav1.Leading_LEADING_NOBODY || m.GetHolder() == "" || !strings.HasPrefix(m.GetWhy(), "the last one was stopped") {
		t.Errorf("after the last repairer: %v", m)
	}
}

func TestEntrypoint_OfTwoRepairers(t *testing.T) {
	t.Parallel()
	srv, err := storetest.StartPostgres(t.Context(), "fsync=off")
	if errors.Is(err, storetest.ErrNoServer) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Close() })
	zk, consul := testbed.ZooKeeper(t), testbed.Consul(t, "")
	for by, server := range map[config.Elect]*testbed.Server{config.ElectDatabase: nil, config.ElectZooKeeper: zk, config.ElectConsul: consul} {
		t.Run(string(by), func(t *testing.T) {
			name, err := srv.NewDatabase(t.Context(), "")
			if err != nil {
				t.Fatal(err)
			}
			addr := "127.0.0.1:1"
			if server != nil {
				addr = server.Addr
			}
			conf := configured(t, srv.URL(name), fmt.Sprintf("[election]\nby = %q\n[zookeeper]\nservers = [%q]\nsession_timeout = \"2s\"\n[consul]\naddress = %q\nttl = \"2s\"\n", by, addr, addr))
			if m := straight(t, conf); m.GetLeading() != gliav1.Leading_LEADING_NOBODY || m.GetElectedBy() != string(by) {
				t.Errorf("before the first repairer: %v", m)
			}
			elect := func(c *config.Repairer) {
				c.Election.By = by
				c.ZooKeeper.Servers, c.ZooKeeper.SessionTimeout = []string{addr}, config.Duration(2*time.Second)
				c.Consul.Address, c.Consul.TTL = addr, config.Duration(2*time.Second)
			}
			a := start(t, srv.URL(name), elect)
			var epoch uint64
			a.until(t, "leading", leads(&epoch))
			b := start(t, srv.URL(name), elect)
			b.until(t, "standing by", waits)
			for who, m := range map[string]*gliav1.GetEntrypointResponse{"the leader": entrypointOf(t, a), "one that stands by": entrypointOf(t, b), "the configuration": straight(t, conf)} {
				if m.GetLeading() != gliav1.Leading_LEADING_SOMEBODY || m.GetEpoch() != epoch || m.GetHolder() == "" || m.GetSince() == nil || problem(t, m, "database") != "" {
					t.Errorf("%s tells %v, want epoch %d", who, m, epoch)
				}
			}
			b.stop()
			if server != nil {
				server.Kill(t)
				m := straight(t, conf)
				if m.GetLeading() != gliav1.Leading_LEADING_UNSPECIFIED || problem(t, m, fmt.Sprintf("election (%s)", by)) == "" || problem(t, m, "database") != "" {
					t.Errorf("without what elects: %v", m)
				}
				server.Start(t)
			}
			a.stop()
			// A session that the server lost with its connection still counts until it expires.
			deadline := time.Now().Add(patience)
			for m := straight(t, conf); m.GetLeading() != gliav1.Leading_LEADING_NOBODY || m.GetHolder() == ""; m = straight(t, conf) {
				if time.Now().After(deadline) {
					t.Fatalf("after the last repairer: %v", m)
				}
			}
		})
	}
	if err := srv.Close(); err != nil {
		t.Fatal(err)
	}
	m := straight(t, configured(t, srv.URL("glia"), ""))
	if m.GetLeading() != gliav1.Leading_LEADING_UNSPECIFIED || problem(t, m, "database") == "" {
		t.Errorf("without the database: %v", m)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if m, err := repairerd.Entrypoint(ctx, configured(t, srv.URL("glia"), "")); err != nil || m.GetLeading() != gliav1.Leading_LEADING_UNSPECIFIED {
		t.Errorf("interrupted: %v, %v", m, err)
	}
}
