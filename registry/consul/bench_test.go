package consul_test

import (
	"context"
	"testing"
	"time"

	"glia/internal/testbed"
	"glia/registry"
	"glia/registry/consul"
	"glia/registry/registrytest"
)

func BenchmarkRegistry_Scale(b *testing.B) {
	s := testbed.Consul(b, "")
	open := func() *consul.Registry {
		r, err := consul.Open(consul.Options{Address: s.Addr, TTL: 10 * time.Second})
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
	registrytest.Scale(b, func() registry.Announcer { return open() }, func() registry.Watcher { return open() }, nil, s.Addr, "glia")
}

// BenchmarkRegistry_Death has sessions with a TTL of one second; watchers are told at most every half second.
func BenchmarkRegistry_Death(b *testing.B) {
	s := testbed.Consul(b, "")
	w, err := consul.Open(consul.Options{Address: s.Addr, TTL: ttl})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = w.Close(context.Background()) })
	registrytest.ReportDeaths(b, w, 2*ttl+time.Second/2, s.Addr, "glia")
}
