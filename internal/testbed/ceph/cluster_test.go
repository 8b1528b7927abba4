//go:build ceph

package ceph_test

import (
	"testing"
	"time"

	"glia/internal/testbed/ceph"
)

func TestCluster_KeepsObjectsOverALostHost(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	start := time.Now()
	c := ceph.For(t, ceph.Options{})
	t.Logf("active+clean after %s", time.Since(start).Round(10*time.Millisecond))

	objects, err := c.Write(ctx, "o", 16, 256<<10)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"kill", func() error { return c.KillOSD(ctx, 2) }},
		{"see it down", func() error { return c.WaitDown(ctx, 2) }},
		{"read degraded", func() error { return c.Verify(ctx, objects) }},
		{"start", func() error { return c.StartOSD(2) }},
		{"see it up", func() error { return c.WaitUp(ctx, 2) }},
		{"clean", func() error { return c.WaitClean(ctx) }},
		{"read", func() error { return c.Verify(ctx, objects) }},
		{"add a host", func() error { _, err := c.AddHost(ctx, "h4", 1); return err }},
		{"clean again", func() error { return c.WaitClean(ctx) }},
		{"read from five", func() error { return c.Verify(ctx, objects) }},
	} {
		begun := time.Now()
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.what, err)
		}
		t.Logf("%s: %s", step.what, time.Since(begun).Round(10*time.Millisecond))
	}
}
