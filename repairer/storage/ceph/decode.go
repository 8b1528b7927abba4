package ceph

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// The decoders below read the JSON answers of monitors and managers. What a decision needs must be
// there and make sense, or the answer is an error; everything else is ignored, because each release
// adds fields. Recorded answers are in testdata.

// Map is the answer of osd dump.
type Map struct {
	Epoch        int
	FSID         string
	Flags        []string // of the cluster
	BackfillFull float64  // share of an OSD from which it takes no more backfill
	Pools        []Pool
	OSDs         map[int]OSDState
	NodeFlags    map[string][]string // of CRUSH nodes, by name
	ClassFlags   map[string][]string // of device classes

}

// Pool is one pool of the map.
type Pool struct {
	ID      int    `json:"pool"`
	Name    string `json:"pool_name"`
	Size    int    `json:"size"`
	MinSize int    `json:"min_size"`
	Rule    int    `json:"crush_rule"`
	PGs     int    `json:"pg_num"`
}

// OSDState is one OSD of the map.
type OSDState struct {
	ID     int
	UUID   string
	Up     bool
	In     bool
	Weight Weight   // the reweight: 0 is out, 1 takes part fully
	State  []string // exists, up, destroyed, new, noin, …
	Before Weight   // the reweight before it was marked out; 0: it was not, or the map does not tell
	UpFrom int      // epoch in which it came up last; 0: never, or the map does not tell
	Laggy  float64  // how likely it is that it lives when it is taken for dead, by what happened so far
	DownAt time.Time
}

// Is says whether the OSD has the state.
func (o OSDState) Is(state string) bool { return slices.Contains(o.State, state) }

func unmarshal(what string, b []byte, into any) error {
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("answer to %s: %w", what, err)
	}
	return nil
}

func lacks(what, field string) error {
	return fmt.Errorf("answer to %s has no usable %s: this release answers in another form; do not repair with it", what, field)
}

// DecodeMap reads osd dump.
func DecodeMap(b []byte) (Map, error) {
	const what = "osd dump"
	var in struct {
		Epoch        *int                `json:"epoch"`
		FSID         string              `json:"fsid"`
		Flags        *string             `json:"flags"`
		FlagsSet     []string            `json:"flags_set"`
		BackfillFull *float64            `json:"backfillfull_ratio"`
		Pools        []Pool              `json:"pools"`
		NodeFlags    map[string][]string `json:"crush_node_flags"`
		ClassFlags   map[string][]string `json:"device_class_flags"`
		Info         []struct {
			ID    int     `json:"osd"`
			Old   uint32  `json:"old_weight"` // 0x10000 is 1
			Laggy float64 `json:"laggy_probability"`
			Down  string  `json:"down_stamp"`
		} `json:"osd_xinfo"`
		OSDs *[]struct {
			ID     *int     `json:"osd"`
			UUID   *string  `json:"uuid"`
			Up     *int     `json:"up"`
			In     *int     `json:"in"`
			Weight *float64 `json:"weight"`
			State  []string `json:"state"`
			UpFrom int      `json:"up_from"`
		} `json:"osds"`
	}
	if err := unmarshal(what, b, &in); err != nil {
		return Map{}, err
	}
	switch {
	case in.Epoch == nil || *in.Epoch <= 0:
		return Map{}, lacks(what, "epoch")
	case in.FSID == "":
		return Map{}, lacks(what, "fsid")
	case in.Flags == nil && in.FlagsSet == nil:
		return Map{}, lacks(what, "flags")
	case in.BackfillFull == nil || *in.BackfillFull <= 0 || *in.BackfillFull > 1:
		return Map{}, lacks(what, "backfillfull_ratio")
	case in.OSDs == nil:
		return Map{}, lacks(what, "osds")
	}
	m := Map{
		Epoch: *in.Epoch, FSID: in.FSID, Flags: in.FlagsSet, BackfillFull: *in.BackfillFull, Pools: in.Pools,
		NodeFlags: in.NodeFlags, ClassFlags: in.ClassFlags, OSDs: map[int]OSDState{},
	}
	if in.Flags != nil { // older releases write some flags only there
		m.Flags = append(m.Flags, strings.Split(*in.Flags, ",")...)
		slices.Sort(m.Flags)
		m.Flags = slices.Compact(m.Flags)
	}
	for _, p := range m.Pools {
		if p.Size <= 0 || p.MinSize <= 0 || p.PGs <= 0 {
			return Map{}, lacks(what, "size, min_size or pg_num of pool "+p.Name)
		}
	}
	for _, o := range *in.OSDs {
		if o.ID == nil || *o.ID < 0 || o.UUID == nil || o.Up == nil || o.In == nil || o.Weight == nil || *o.Weight < 0 || *o.Weight > 1 || len(o.State) == 0 {
			return Map{}, lacks(what, "osd, uuid, up, in, weight or state of an OSD")
		}
		m.OSDs[*o.ID] = OSDState{ID: *o.ID, UUID: *o.UUID, Up: *o.Up == 1, In: *o.In == 1, Weight: Weight(*o.Weight), State: o.State, UpFrom: o.UpFrom}
	}
	for _, i := range in.Info {
		if o, ok := m.OSDs[i.ID]; ok {
			o.Before = Weight(float64(min(i.Old, 0x10000)) / 0x10000)
			o.Laggy, o.DownAt = i.Laggy, stamp(i.Down)
			m.OSDs[i.ID] = o
		}
	}
	return m, nil
}

// Check is one health check that is raised.
type Check struct {
	Severity string // HEALTH_WARN or HEALTH_ERR
	Message  string
	Muted    bool
}

// Status is the answer of status.
type Status struct {
	FSID         string
	Checks       map[string]Check
	Quorum       []string
	Mons         int
	MgrAvailable bool
	Modules      []string // of the manager
	PGs          int
	States       map[string]int // number of PGs, by state
	Unfound      int            // objects
}

// DecodeStatus reads status.
func DecodeStatus(b []byte) (Status, error) {
	const what = "status"
	var in struct {
		FSID   string `json:"fsid"`
		Health struct {
			Checks *map[string]struct {
				Severity string `json:"severity"`
				Muted    bool   `json:"muted"`
				Summary  struct {
					Message string `json:"message"`
				} `json:"summary"`
			} `json:"checks"`
		} `json:"health"`
		Quorum []string `json:"quorum_names"`
		Monmap struct {
			Num  int               `json:"num_mons"`
			Mons []json.RawMessage `json:"mons"`
		} `json:"monmap"`
		Mgrmap struct {
			Available *bool    `json:"available"`
			Modules   []string `json:"modules"`
		} `json:"mgrmap"`
		PGmap struct {
			States []struct {
				Name  string `json:"state_name"`
				Count int    `json:"count"`
			} `json:"pgs_by_state"`
			PGs     *int `json:"num_pgs"`
			Unfound int  `json:"unfound_objects"`
		} `json:"pgmap"`
	}
	if err := unmarshal(what, b, &in); err != nil {
		return Status{}, err
	}
	s := Status{
		FSID: in.FSID, Checks: map[string]Check{}, Quorum: in.Quorum, Mons: max(in.Monmap.Num, len(in.Monmap.Mons)),
		Modules: in.Mgrmap.Modules, States: map[string]int{}, Unfound: in.PGmap.Unfound,
	}
	switch {
	case in.FSID == "":
		return Status{}, lacks(what, "fsid")
	case in.Health.Checks == nil:
		return Status{}, lacks(what, "health.checks")
	case len(in.Quorum) == 0 || s.Mons == 0:
		return Status{}, lacks(what, "quorum_names or monmap")
	case in.Mgrmap.Available == nil:
		return Status{}, lacks(what, "mgrmap.available")
	case in.PGmap.PGs == nil:
		return Status{}, lacks(what, "pgmap.num_pgs")
	}
	s.MgrAvailable, s.PGs = *in.Mgrmap.Available, *in.PGmap.PGs
	for name, c := range *in.Health.Checks {
		s.Checks[name] = Check{Severity: c.Severity, Message: c.Summary.Message, Muted: c.Muted}
	}
	for _, st := range in.PGmap.States {
		s.States[st.Name] += st.Count
	}
	return s, nil
}

// Usage is how full one OSD is, of osd df.
type Usage struct {
	ID    int    `json:"id"`
	PGs   int    `json:"pgs"`
	Total uint64 `json:"kb"` // KiB
	Used  uint64 `json:"kb_used"`
	Data  uint64 `json:"kb_used_data"`
	Omap  uint64 `json:"kb_used_omap"`
}

// Moves is what has to move when the OSD is emptied, in KiB.
func (u Usage) Moves() uint64 { return u.Data + u.Omap }

// DecodeUsage reads osd df.
func DecodeUsage(b []byte) (map[int]Usage, error) {
	const what = "osd df"
	var in struct {
		Nodes *[]struct {
			ID   *int    `json:"id"`
			KB   *uint64 `json:"kb"`
			Used *uint64 `json:"kb_used"`
			Data *uint64 `json:"kb_used_data"`
			Omap uint64  `json:"kb_used_omap"`
			PGs  *int    `json:"pgs"`
		} `json:"nodes"`
	}
	if err := unmarshal(what, b, &in); err != nil {
		return nil, err
	}
	if in.Nodes == nil {
		return nil, lacks(what, "nodes")
	}
	out := map[int]Usage{}
	for _, n := range *in.Nodes {
		if n.ID == nil || n.KB == nil || n.Used == nil || n.Data == nil || n.PGs == nil {
			return nil, lacks(what, "id, kb, kb_used, kb_used_data or pgs of an OSD")
		}
		out[*n.ID] = Usage{ID: *n.ID, PGs: *n.PGs, Total: *n.KB, Used: *n.Used, Data: *n.Data, Omap: n.Omap}
	}
	return out, nil
}

// DecodeLatency reads osd perf: the larger of commit and apply latency of each OSD, in milliseconds.
func DecodeLatency(b []byte) (map[int]float64, error) {
	type infos struct {
		Infos *[]struct {
			ID    *int `json:"id"`
			Stats struct {
				Commit float64 `json:"commit_latency_ms"`
				Apply  float64 `json:"apply_latency_ms"`
			} `json:"perf_stats"`
		} `json:"osd_perf_infos"`
	}
	var in struct {
		infos           // before Nautilus
		OSDStats *infos `json:"osdstats"`
	}
	if err := unmarshal("osd perf", b, &in); err != nil {
		return nil, err
	}
	list := in.Infos
	if in.OSDStats != nil {
		list = in.OSDStats.Infos
	}
	if list == nil {
		return nil, lacks("osd perf", "osd_perf_infos")
	}
	out := map[int]float64{}
	for _, i := range *list {
		if i.ID == nil {
			return nil, lacks("osd perf", "id of an OSD")
		}
		out[*i.ID] = max(i.Stats.Commit, i.Stats.Apply)
	}
	return out, nil
}

// DecodeVersions reads versions: how many daemons run each version.
func DecodeVersions(b []byte) (map[string]int, error) {
	var in struct {
		Overall map[string]int `json:"overall"`
	}
	if err := unmarshal("versions", b, &in); err != nil {
		return nil, err
	}
	if len(in.Overall) == 0 {
		return nil, lacks("versions", "overall")
	}
	return in.Overall, nil
}
