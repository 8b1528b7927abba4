package ceph

import (
	"errors"
	"slices"
)

// Truth is one of three answers. The zero value is unknown.
type Truth int

// The answers.
const (
	Unknown Truth = iota
	No
	Yes
)

func (t Truth) String() string { return []string{"unknown", "no", "yes"}[t] }

// Answer is what the cluster says to a question, and why when it is not yes.
type Answer struct {
	Is  Truth
	Why string
}

// errNotReady says that the manager has just begun to collect its statistics.
var errNotReady = errors.New("the manager has not heard of all PGs yet")

// exist says whether all ids are in the map and not destroyed. The manager must not be asked about
// others: it answers that they are safe to destroy and to stop.
func exist(m Map, ids []int) Answer {
	if len(ids) == 0 {
		return Answer{Unknown, "no OSD was named"}
	}
	for _, id := range ids {
		switch o, ok := m.OSDs[id]; {
		case !ok || !o.Is("exists"):
			return Answer{Unknown, name(id) + " is not in the OSD map"}
		case o.Is("destroyed"):
			return Answer{Unknown, name(id) + " is destroyed"}
		}
	}
	return Answer{Is: Yes}
}

// SafeToDestroy reads the answer of osd safe-to-destroy about these OSDs, all of which are in the map. It
// is yes only if the manager says so of each of them and has nothing against any.
func SafeToDestroy(m Map, ids []int, b []byte, err error) Answer {
	if a := exist(m, ids); a.Is != Yes {
		return a
	}
	if err != nil {
		return Answer{Unknown, err.Error()}
	}
	var in struct {
		Safe    *[]int `json:"safe_to_destroy"`
		Active  *[]int `json:"active"`
		Missing *[]int `json:"missing_stats"`
		Stored  *[]int `json:"stored_pgs"`
	}
	if err := unmarshal("osd safe-to-destroy", b, &in); err != nil {
		return Answer{Unknown, err.Error()}
	}
	if in.Safe == nil || in.Active == nil || in.Missing == nil || in.Stored == nil {
		return Answer{Unknown, lacks("osd safe-to-destroy", "safe_to_destroy, active, missing_stats or stored_pgs").Error()}
	}
	switch {
	case len(*in.Active) > 0:
		return Answer{No, "PGs are mapped to " + names(*in.Active)}
	case len(*in.Stored) > 0:
		return Answer{No, "PGs are stored on " + names(*in.Stored) + " and are not clean elsewhere"}
	case len(*in.Missing) > 0:
		return Answer{Unknown, "the manager has no statistics of " + names(*in.Missing) + ", and not all PGs are clean"}
	}
	for _, id := range ids {
		if !slices.Contains(*in.Safe, id) {
			return Answer{Unknown, "the manager says nothing about " + name(id)}
		}
	}
	return Answer{Is: Yes}
}

// OkToStop reads the answer of osd ok-to-stop about these OSDs.
func OkToStop(m Map, ids []int, b []byte, err error) Answer {
	if a := exist(m, ids); a.Is != Yes {
		return a
	}
	var said *CommandError
	if err != nil && !(errors.As(err, &said) && said.Errno == ebusy && len(b) > 0) {
		return Answer{Unknown, err.Error()}
	}
	var in struct {
		OK   *bool `json:"ok_to_stop"`
		OSDs []int `json:"osds"`
		Bad  *int  `json:"num_not_ok_pgs"`
	}
	if err := unmarshal("osd ok-to-stop", b, &in); err != nil {
		return Answer{Unknown, err.Error()}
	}
	if in.OK == nil || in.Bad == nil {
		return Answer{Unknown, lacks("osd ok-to-stop", "ok_to_stop or num_not_ok_pgs").Error()}
	}
	for _, id := range ids {
		if !slices.Contains(in.OSDs, id) {
			return Answer{Unknown, "the manager says nothing about " + name(id)}
		}
	}
	if !*in.OK || *in.Bad > 0 {
		return Answer{No, "PGs would become inactive without " + names(ids)}
	}
	return Answer{Is: Yes}
}

// errno(3)
const (
	eagain = 11
	ebusy  = 16
)
