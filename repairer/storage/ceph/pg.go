package ceph

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
)

// PG is one placement group, as the manager knows it from the last report of its primary.
type PG struct {
	ID       string
	Pool     string // number of the pool
	State    string
	Reported int // epoch of the map that the report was made under
	Up       []int
	Acting   []int
	Primary  int // of the acting OSDs
	Reads    int64
	Writes   int64 // operations of clients since the PG was made
	Objects  int
	Bytes    int64
	Astray   int // copies of objects that are not where they belong, or not there at all
}

// unfit are the states in which copies are missing, in the wrong place, or not served. A PG in none of
// them is settled, whatever else it does, such as scrubbing.
var unfit = []string{
	"creating", "activating", "peering", "peered", "remapped", "degraded", "undersized", "stale", "down", "incomplete", "recovering",
	"recovery_wait", "recovery_toofull", "recovery_unfound", "backfilling", "backfill_wait", "backfill_toofull", "backfill_unfound",
}

// Settled says whether all copies of the PG are there and where they belong.
func (p PG) Settled() bool {
	for s := range strings.SplitSeq(p.State, "+") {
		if slices.Contains(unfit, s) {
			return false
		}
	}
	return strings.Contains(p.State, "active")
}

// Touches says whether one of the OSDs has, or is to have, a copy of the PG.
func (p PG) Touches(ids []int) bool {
	return slices.ContainsFunc(ids, func(id int) bool { return slices.Contains(p.Up, id) || slices.Contains(p.Acting, id) })
}

// Holds says whether the OSD has a copy of the PG that is in use.
func (p PG) Holds(id int) bool { return slices.Contains(p.Acting, id) }

// Left are the bytes that one OSD still has to give away or to take: of its present place, or of the one
// to come.
func (p PG) Left() int64 {
	if p.Settled() || p.Objects <= 0 {
		return p.Bytes
	}
	return int64(float64(p.Bytes) * min(1, float64(p.Astray)/float64(p.Objects)))
}

// DecodePGs reads pg ls and pg ls-by-osd. A manager that has not heard of all PGs yet is an error.
func DecodePGs(b []byte) ([]PG, error) {
	const what = "pg ls"
	var in struct {
		Ready *bool `json:"pg_ready"`
		Stats []struct {
			ID       string      `json:"pgid"`
			State    string      `json:"state"`
			Reported json.Number `json:"reported_epoch"` // older releases write it as a string
			Up       []int       `json:"up"`
			Acting   []int       `json:"acting"`
			Primary  *int        `json:"acting_primary"`
			Sum      *struct {
				Bytes     int64 `json:"num_bytes"`
				Objects   int   `json:"num_objects"`
				Misplaced int   `json:"num_objects_misplaced"`
				Degraded  int   `json:"num_objects_degraded"`
				Reads     int64 `json:"num_read"`
				Writes    int64 `json:"num_write"`
			} `json:"stat_sum"`
		} `json:"pg_stats"` // absent when no PG is meant
	}
	if err := unmarshal(what, b, &in); err != nil {
		return nil, err
	}
	switch {
	case in.Ready == nil:
		return nil, lacks(what, "pg_ready")
	case !*in.Ready:
		return nil, errNotReady
	}
	out := make([]PG, 0, len(in.Stats))
	for _, s := range in.Stats {
		pool, _, ok := strings.Cut(s.ID, ".")
		epoch, err := strconv.Atoi(s.Reported.String())
		if !ok || err != nil || s.State == "" || s.Up == nil || s.Acting == nil || s.Sum == nil {
			return nil, lacks(what, "pgid, state, reported_epoch, up, acting or stat_sum of a PG")
		}
		primary := -1
		if s.Primary != nil {
			primary = *s.Primary
		}
		out = append(out, PG{
			ID: s.ID, Pool: pool, State: s.State, Reported: epoch, Up: s.Up, Acting: s.Acting, Primary: primary, Reads: s.Sum.Reads, Writes: s.Sum.Writes,
			Objects: s.Sum.Objects, Bytes: s.Sum.Bytes, Astray: s.Sum.Misplaced + s.Sum.Degraded,
		})
	}
	return out, nil
}
