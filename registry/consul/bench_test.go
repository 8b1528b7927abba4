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
	registrytest.Scale(b, func() registry.Announcer { return open() }, func() registry.Watcher { return open() }, nil)
}
