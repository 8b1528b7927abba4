//go:build ceph

package ceph_test

import (
	"log/slog"
	"slices"
	"testing"
	"time"

	"glia"
	"glia/internal/figures"
	testbed "glia/internal/testbed/ceph"
	"glia/repairer"
	"glia/repairer/storage/ceph"
)

// BenchmarkDriver_LooksAt3000RealOSDs is the driver's full look, and then all that it asks before a case starts,
// to a real monitor and manager whose map has 3000 OSDs. Target: a look below 2 s.
func BenchmarkDriver_LooksAt3000RealOSDs(b *testing.B) {
	const osds = 3000
	start := time.Now()
	c := testbed.For(b, testbed.Options{MapOnly: osds})
	b.Logf("%d OSDs were put into the map in %s", osds, time.Since(start).Round(time.Second))
	conn := connect(b, c)
	osd, err := c.OSD(b.Context(), 2)
	if err != nil {
		b.Fatal(err)
	}
	dr := ceph.New(nil, []ceph.Settings{{
		Name: "test", FSID: c.FSID, HostName: c.Name, Cluster: conn, Pacing: ceph.Pacing{PGs: 8, Quiet: 3 * time.Second}, Margin: 0.02, Drains: 1,
	}}, time.Now, slog.New(slog.DiscardHandler))
	own := repairer.Case{ID: "c", Disk: glia.Disk{OSDs: []glia.OSD{{ID: 2, UUID: osd.UUID, Cluster: c.FSID, Role: glia.RoleBlock, Mode: glia.ModeRaw}}}}
	var looks, checks []time.Duration
	for b.Loop() {
		start := time.Now()
		l, err := ceph.LookAt(b.Context(), conn, c.FSID, time.Now)
		if err != nil {
			b.Fatal(err)
		}
		if len(l.Map.OSDs) != osds || len(l.Tree.Under("mapped", "hdd")) != osds {
			b.Fatalf("%d OSDs are seen", len(l.Map.OSDs))
		}
		looks = append(looks, time.Since(start))
		start = time.Now()
		dr.Check(b.Context(), own, "", nil)
		checks = append(checks, time.Since(start))
	}
	b.ReportMetric(slices.Max(looks).Seconds(), "look-max-s")
	b.ReportMetric(2, "look-max-s"+figures.AtMost)
	b.ReportMetric(slices.Max(checks).Seconds(), "whole-check-max-s")
}
