package zookeeper_test

import (
	"context"
	"regexp"
	"strconv"
	"testing"
	"time"

	"glia/internal/testbed"
	"glia/registry"
	"glia/registry/registrytest"
	"glia/registry/zookeeper"
)

var received = regexp.MustCompile(`recved=(\d+)`)

func BenchmarkRegistry_Scale(b *testing.B) {
	s := testbed.ZooKeeper(b)
	open := func() *zookeeper.Registry {
		r, err := zookeeper.Open(zookeeper.Options{Servers: []string{s.Addr}, SessionTimeout: 4 * time.Second})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			_ = r.Close(ctx) // without goodbye
		})
		return r
	}
	// The busiest connection is that of the consumer.
	requests := func() (most int) {
		said, err := testbed.ZooKeeperWord(b.Context(), s.Addr, "cons")
		if err != nil {
			b.Fatal(err)
		}
		for _, m := range received.FindAllStringSubmatch(said, -1) {
			n, _ := strconv.Atoi(m[1])
			most = max(most, n)
		}
		return most
	}
	registrytest.Scale(b, func() registry.Announcer { return open() }, func() registry.Watcher { return open() }, requests, s.Addr, "/glia")
}

// BenchmarkRegistry_Death has a session timeout of one second.
func BenchmarkRegistry_Death(b *testing.B) {
	s := testbed.ZooKeeper(b)
	w, err := zookeeper.Open(zookeeper.Options{Servers: []string{s.Addr}, SessionTimeout: lease})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = w.Close(context.Background()) })
	registrytest.ReportDeaths(b, w, 2*lease, s.Addr, "/glia")
}
