package ceph_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"glia/repairer/storage/ceph"
)

// canned is a cluster that answers at once, so that only the driver's own work is measured.
type canned map[string][]byte

func (c canned) Mon(_ context.Context, cmd ceph.Command, _ []byte) ([]byte, error) {
	return c[fmt.Sprint(cmd["prefix"])], nil
}

func (c canned) Mgr(ctx context.Context, cmd ceph.Command) ([]byte, error) {
	return c.Mon(ctx, cmd, nil)
}

// grown makes the recorded answers those of a cluster with so many OSDs, 24 on a host.
func grown(tb testing.TB, osds int) canned {
	tb.Helper()
	c := canned{}
	for name, prefix := range map[string]string{"status": "status", "osd-dump": "osd dump", "osd-crush-rule-dump": "osd crush rule dump", "versions": "versions", "osd-df": "osd df", "osd-perf": "osd perf"} {
		c[prefix] = recorded(tb, name)
	}
	c["pg ls"] = []byte(`{"pg_ready":true}`)
	repeat := func(prefix, list, id string) {
		var doc map[string]any
		if err := json.Unmarshal(c[prefix], &doc); err != nil {
			tb.Fatal(err)
		}
		one := doc[list].([]any)[0].(map[string]any)
		var all []any
		for i := range osds {
			o := map[string]any{}
			for k, v := range one {
				o[k] = v
			}
			o[id] = i
			all = append(all, o)
		}
		doc[list] = all
		c[prefix], _ = json.Marshal(doc)
	}
	repeat("osd dump", "osds", "osd")
	repeat("osd df", "nodes", "id")
	root := map[string]any{"id": -1, "name": "default", "type": "root"}
	nodes, hosts := []any{root}, []int{}
	for h := range (osds + 23) / 24 {
		var children []int
		for i := h * 24; i < min(osds, h*24+24); i++ {
			children = append(children, i)
			nodes = append(nodes, map[string]any{"id": i, "name": fmt.Sprint("osd.", i), "type": "osd", "crush_weight": 7.27, "device_class": "hdd"})
		}
		hosts = append(hosts, -2-h)
		nodes = append(nodes, map[string]any{"id": -2 - h, "name": fmt.Sprint("h", h), "type": "host", "children": children})
	}
	root["children"] = hosts
	c["osd tree"], _ = json.Marshal(map[string]any{"nodes": nodes})
	return c
}

// One full look with all decisions on it, at 3000 OSDs. The answers are the recorded ones, multiplied.
func BenchmarkLook(b *testing.B) {
	c := grown(b, 3000)
	fsid := must(b, ceph.DecodeMap, "osd-dump").FSID
	pgs := []ceph.PG{{ID: "1.0", Pool: "1", State: "active+clean", Up: []int{7, 100, 200}, Acting: []int{7, 100, 200}, Objects: 1, Bytes: 1 << 30}}
	for b.Loop() {
		l, err := ceph.LookAt(b.Context(), c, fsid, time.Now)
		if err != nil {
			b.Fatal(err)
		}
		ceph.Unfitness(l, []int{7}, ceph.Policy{}, false)
		if r := ceph.Room(l, []int{7}, pgs, 0.02); r != nil {
			b.Fatal(r)
		}
	}
}

func TestLook_OfAClusterWithThreeThousandOSDs(t *testing.T) {
	t.Parallel()
	l, err := ceph.LookAt(t.Context(), grown(t, 3000), must(t, ceph.DecodeMap, "osd-dump").FSID, time.Now)
	if err != nil || len(l.Map.OSDs) != 3000 || len(l.Usage) != 3000 || len(l.Tree.Under("default", "hdd")) != 3000 {
		t.Fatalf("%d OSDs, %v", len(l.Map.OSDs), err)
	}
	if _, err := ceph.LookAt(t.Context(), grown(t, 3), "another", time.Now); err == nil {
		t.Error("another cluster is taken")
	}
	half := grown(t, 3)
	half["osd df"] = nil
	if _, err := ceph.LookAt(t.Context(), half, must(t, ceph.DecodeMap, "osd-dump").FSID, time.Now); err == nil {
		t.Error("half a look is taken")
	}
}
