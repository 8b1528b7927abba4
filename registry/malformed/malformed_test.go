package malformed_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"glia"
	"glia/registry"
	"glia/registry/malformed"
	"glia/registry/memory"
	"glia/registry/registrytest"
)

type cluster struct{ *memory.Registry }

type host struct {
	*memory.Registry
	name string
}

func (c cluster) Host(_ *testing.T, name string) registrytest.Host { return host{c.Registry, name} }
func (c cluster) Watcher(*testing.T) registry.Watcher {
	return malformed.New("memory", c.Registry, slog.New(slog.DiscardHandler))
}
func (h host) Leave(*testing.T) { h.SetStatus(h.name, glia.MemberLeft) }
func (h host) Crash(*testing.T) { h.SetStatus(h.name, glia.MemberGone) }

func TestWatcher_Contract(t *testing.T) {
	t.Parallel()
	registrytest.Run(t, func(*testing.T) registrytest.Cluster { return cluster{new(memory.Registry)} })
}

func TestWatcher_CountsAndNamesOnce(t *testing.T) {
	t.Parallel()
	var r memory.Registry
	var log bytes.Buffer
	w := malformed.New("zookeeper", &r, slog.New(slog.NewTextHandler(&log, nil)))
	metrics := prometheus.NewRegistry()
	if err := w.Register(metrics); err != nil {
		t.Fatal(err)
	}
	put := func(name, problem string) {
		r.Put(name, glia.Member{Announcement: glia.Announcement{Host: name}, Status: glia.MemberAlive, Problem: problem})
	}
	var mark registry.Mark
	for i, c := range []struct {
		do    func()
		count float64
		lines int // in the log so far
	}{
		{func() { put("good", "") }, 0, 0},
		{func() { put("bad", "no JSON") }, 1, 1},
		{func() { r.SetStatus("bad", glia.MemberGone) }, 1, 1}, // the same problem
		{func() { put("worse", "no UTF-8"); put("bad", "another format") }, 2, 3},
		{func() { r.Fail(errors.New("away")) }, 2, 3}, // nobody knows better
		{func() { r.Fail(nil); put("bad", "") }, 1, 3},
		{func() { r.Forget("worse") }, 0, 3},
		{func() { put("bad", "another format") }, 1, 4}, // again
	} {
		c.do()
		for range 2 { // readers by changes and of the whole, each of them twice
			if d, err := w.Since(t.Context(), mark); err == nil {
				mark = d.Mark
			}
			_, _ = w.Members(t.Context())
		}
		families, err := metrics.Gather()
		if err != nil || len(families) != 1 {
			t.Fatal(families, err)
		}
		if f, m := families[0], families[0].GetMetric()[0]; f.GetName() != "glia_malformed_announcements" || m.GetLabel()[0].GetValue() != "zookeeper" || m.GetGauge().GetValue() != c.count {
			t.Errorf("step %d: %v, want %v", i, f, c.count)
		}
		if n := strings.Count(log.String(), "\n"); n != c.lines {
			t.Errorf("step %d: %d lines, want %d:\n%s", i, n, c.lines, log.String())
		}
	}
	if line, _, _ := strings.Cut(log.String(), "\n"); !strings.Contains(line, `registry=zookeeper host=bad problem="no JSON"`) {
		t.Errorf("logged %s", line)
	}
}
