package ceph

import (
	"strconv"
	"strings"
	"time"
)

// DecodeHealth reads health with its details: the message and the details of each check that is raised.
func DecodeHealth(b []byte) (map[string][]string, error) {
	const what = "health"
	var in struct {
		Checks *map[string]struct {
			Summary struct {
				Message string `json:"message"`
			} `json:"summary"`
			Detail []struct {
				Message string `json:"message"`
			} `json:"detail"`
		} `json:"checks"`
	}
	if err := unmarshal(what, b, &in); err != nil {
		return nil, err
	}
	if in.Checks == nil {
		return nil, lacks(what, "checks")
	}
	out := map[string][]string{}
	for name, c := range *in.Checks {
		for _, d := range c.Detail {
			out[name] = append(out[name], d.Message)
		}
		out[name] = append(out[name], c.Summary.Message)
	}
	return out, nil
}

// DecodeRepaired reads pg dump osds: how many copies each OSD has mended. An older release does not count.
func DecodeRepaired(b []byte) (map[int]int, error) {
	const what = "pg dump osds"
	var in struct {
		Ready *bool `json:"pg_ready"`
		Stats *[]struct {
			ID       *int `json:"osd"`
			Repaired int  `json:"num_shards_repaired"`
		} `json:"osd_stats"`
	}
	if err := unmarshal(what, b, &in); err != nil {
		return nil, err
	}
	switch {
	case in.Ready != nil && !*in.Ready:
		return nil, errNotReady
	case in.Stats == nil:
		return nil, lacks(what, "osd_stats")
	}
	out := map[int]int{}
	for _, s := range *in.Stats {
		if s.ID == nil {
			return nil, lacks(what, "osd of a row")
		}
		out[*s.ID] = s.Repaired
	}
	return out, nil
}

// stamps are the forms in which Ceph writes times (utime_t::localtime); no time at all is a number.
var stamps = []string{"2006-01-02T15:04:05.999999-0700", "2006-01-02 15:04:05.999999", time.RFC3339Nano}

func stamp(s string) time.Time {
	for _, form := range stamps {
		if t, err := time.Parse(form, s); err == nil {
			return t
		}
	}
	return time.Time{}
}

// DecodeDevices reads device ls. A device without a prediction has no Expects.
func DecodeDevices(b []byte) ([]Device, error) {
	const what = "device ls"
	var in []struct {
		Name    string   `json:"devid"`
		Daemons []string `json:"daemons"`
		Max     string   `json:"life_expectancy_max"`
	}
	if err := unmarshal(what, b, &in); err != nil {
		return nil, err
	}
	var out []Device
	for _, d := range in {
		if d.Name == "" {
			return nil, lacks(what, "devid of a device")
		}
		dev := Device{Name: d.Name, Expects: stamp(d.Max)}
		for _, daemon := range d.Daemons {
			id, ok := strings.CutPrefix(daemon, "osd.")
			if n, err := strconv.Atoi(id); ok && err == nil && n >= 0 {
				dev.OSDs = append(dev.OSDs, n)
			}
		}
		out = append(out, dev)
	}
	return out, nil
}
