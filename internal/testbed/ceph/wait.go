package ceph

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// pause is between two looks at the cluster.
const pause = 200 * time.Millisecond

// until looks until it is true. The error names what was last seen.
func until(ctx context.Context, what string, look func(context.Context) (ok bool, seen string)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("not so after %s", patience))
	defer cancel()
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	last := "nothing"
	for {
		ok, seen := look(ctx)
		if ok {
			return nil
		}
		if ctx.Err() == nil {
			last = seen
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait until %s: %w; last seen: %s", what, context.Cause(ctx), last)
		case <-ticker.C:
		}
	}
}

// WaitClean waits until every placement group of every pool is active and clean, as told by primaries
// that have seen the osd map of this moment: what the mgr remembers from before may be stale, and says
// clean for about a second after a change that will move data.
func (c *Cluster) WaitClean(ctx context.Context) error {
	first, err := c.pools(ctx)
	if err != nil {
		return err
	}
	return until(ctx, "all placement groups are active+clean", func(ctx context.Context) (bool, string) {
		var out struct {
			Ready bool `json:"pg_ready"`
			PGs   []struct {
				State    string
				Reported json.Number `json:"reported_epoch"` // a string in some releases
			} `json:"pg_stats"`
		}
		if err := c.JSON(ctx, &out, "pg", "ls"); err != nil {
			return false, err.Error()
		}
		now, err := c.pools(ctx) // the mgr makes one of its own, when it comes to it
		if err != nil {
			return false, err.Error()
		}
		want := 0
		for _, p := range now.Pools {
			want += p.PGNum
		}
		clean, stale := 0, 0
		states := map[string]int{}
		for _, p := range out.PGs {
			epoch, _ := p.Reported.Int64() // 0 when it is no number: stale
			states[p.State]++
			switch {
			case epoch < first.Epoch:
				stale++
			case p.State == "active+clean":
				clean++
			}
		}
		return out.Ready && clean == want && len(out.PGs) == want, fmt.Sprintf("of %d: %v, %d not reported since osd map %d", want, states, stale, first.Epoch)
	})
}

// poolMap is what the osd map says of the pools.
type poolMap struct {
	Epoch int64
	Pools []struct {
		PGNum int `json:"pg_num"`
	}
}

func (c *Cluster) pools(ctx context.Context) (m poolMap, err error) {
	err = c.JSON(ctx, &m, "osd", "dump")
	return m, err
}

// WaitUp waits until the mon sees an OSD up.
func (c *Cluster) WaitUp(ctx context.Context, id int) error { return c.waitState(ctx, id, "up", true) }

// WaitDown waits until the mon sees an OSD down.
func (c *Cluster) WaitDown(ctx context.Context, id int) error {
	return c.waitState(ctx, id, "up", false)
}

func (c *Cluster) waitState(ctx context.Context, id int, state string, want bool) error {
	return until(ctx, fmt.Sprintf("osd.%d: %s is %v", id, state, want), func(ctx context.Context) (bool, string) {
		o, err := c.OSD(ctx, id)
		if err != nil {
			return false, err.Error()
		}
		return slices.Contains(o.State, state) == want, fmt.Sprint(o.State)
	})
}

// OSD is what the mon knows of an OSD.
type OSD struct {
	ID    int      `json:"osd"`
	UUID  string   `json:"uuid"` // all zero while destroyed
	State []string `json:"state"`
}

// OSD asks the mon about an OSD. An id that it does not know is an error.
func (c *Cluster) OSD(ctx context.Context, id int) (OSD, error) {
	var o OSD
	err := c.JSON(ctx, &o, "osd", "info", fmt.Sprint(id))
	return o, err
}
