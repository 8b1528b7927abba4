package dev

import (
	"context"
	"fmt"
	"slices"

	testbed "glia/internal/testbed/ceph"
)

// placement is where the copies of each PG are, and how large it is.
type placement map[string]pg

type pg struct {
	osds  []int
	bytes uint64
}

// placed asks the cluster.
func placed(ctx context.Context, c *testbed.Cluster) (placement, error) {
	var out struct {
		PGs []struct {
			ID     string `json:"pgid"`
			Acting []int  `json:"acting"`
			Stats  struct {
				Bytes uint64 `json:"num_bytes"`
			} `json:"stat_sum"`
		} `json:"pg_stats"`
	}
	if err := c.JSON(ctx, &out, "pg", "ls"); err != nil {
		return nil, err
	}
	p := placement{}
	for _, s := range out.PGs {
		p[s.ID] = pg{s.Acting, s.Stats.Bytes}
	}
	return p, nil
}

// movement is how many PGs have got a copy where they had none, and their bytes.
type movement struct {
	pgs   int
	bytes uint64
}

func (m movement) String() string {
	return fmt.Sprintf("%d PGs (%.1f MB)", m.pgs, float64(m.bytes)/1e6)
}

// until is what has moved from or to the OSD between two looks, and what has moved beside that.
func (p placement) until(later placement, osd int) (own, other movement) {
	for id, now := range later {
		before := p[id]
		copies := 0
		for _, o := range now.osds {
			if !slices.Contains(before.osds, o) {
				copies++
			}
		}
		if copies == 0 {
			continue
		}
		m := &other
		if slices.Contains(before.osds, osd) != slices.Contains(now.osds, osd) {
			m = &own
		}
		m.pgs++
		m.bytes += uint64(copies) * now.bytes
	}
	return own, other
}

// where is an OSD in the CRUSH tree, with its weights.
func where(ctx context.Context, c *testbed.Cluster, osd int) (string, error) {
	var tree struct {
		Nodes []struct {
			ID       int     `json:"id"`
			Name     string  `json:"name"`
			Class    string  `json:"device_class"`
			Weight   float64 `json:"crush_weight"`
			Reweight float64 `json:"reweight"`
			Children []int   `json:"children"`
		} `json:"nodes"`
	}
	if err := c.JSON(ctx, &tree, "osd", "tree"); err != nil {
		return "", err
	}
	below, at := "nothing", ""
	for _, n := range tree.Nodes {
		if slices.Contains(n.Children, osd) {
			below = n.Name
		}
		if n.ID == osd {
			at = fmt.Sprintf("class %s, CRUSH weight %.5f, reweight %.2f", n.Class, n.Weight, n.Reweight)
		}
	}
	return "in " + below + ", " + at, nil
}
