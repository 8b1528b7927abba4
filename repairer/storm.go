package repairer

import (
	"fmt"
	"time"

	"glia"
)

// StormPhase says whether so much fails together that it can not be the disks.
type StormPhase string

// The phases of a storm. The zero value counts as normal.
const (
	StormNormal   StormPhase = "normal"
	StormBlowing  StormPhase = "storm"
	StormCoolDown StormPhase = "cool-down"
)

// Storm is the state of the fleet's weather. It is kept in the store.
type Storm struct {
	Phase StormPhase `json:"phase"`
	Why   string     `json:"why,omitempty"`
	Since time.Time  `json:"since"`
}

// over says whether cases may start as far as storms are concerned.
func (s Storm) over() bool { return s.Phase == "" || s.Phase == StormNormal }

// StormLimits say what a storm is. A zero Disks or HostShare leaves that sign out.
type StormLimits struct {
	Disks     int           // more disks than this turning bad within the window; the fleet's size may allow more
	HostShare float64       // more than this share of the hosts out of sight
	Hosts     int           // fewer hosts out of sight than this are no storm, whatever their share
	CoolDown  time.Duration // from the last sign until cases may start again
}

// Signs are what a storm is told by.
type Signs struct {
	Bad    int // disks that turned bad within the window
	Hosts  int // hosts that have not left
	Unseen int // of them, those that are gone or can not be read
}

// ReadSigns counts the signs in a view. A disk whose host tells no detail counts as having turned bad
// just now, because nothing says that it did not.
func ReadSigns(view glia.FleetView, states []glia.State, window time.Duration, now time.Time) Signs {
	opens := map[glia.State]bool{}
	for _, s := range states {
		opens[s] = true
	}
	var out Signs
	for _, h := range view.Hosts {
		if h.Member.Status == glia.MemberLeft {
			continue
		}
		out.Hosts++
		if h.Member.Status != glia.MemberAlive || h.Member.Problem != "" || h.Problem != "" {
			out.Unseen++
			continue
		}
		if len(h.Disks) == 0 {
			for _, b := range h.Member.Announcement.Bad {
				if opens[b.State] {
					out.Bad++
				}
			}
		}
		for _, d := range h.Disks {
			if v := d.Verdict.At(now); opens[v.State] && now.Sub(turned(v)) < window {
				out.Bad++
			}
		}
	}
	return out
}

// turned is when a verdict came to be: when its first reason began to speak.
func turned(v glia.Verdict) time.Time {
	at := v.ObservedAt
	for _, r := range v.Reasons {
		if !r.Since.IsZero() && r.State >= v.State && r.Since.Before(at) {
			at = r.Since
		}
	}
	return at
}

// NextStorm is the state after another look. expected is how many disks of the fleet may turn bad
// within the window by chance.
func NextStorm(prev Storm, l StormLimits, s Signs, expected int, now time.Time) Storm {
	why := ""
	if limit := max(l.Disks, expected); l.Disks > 0 && s.Bad > limit {
		why = fmt.Sprintf("%d disks turned bad together, %d are credible: suspect power, controllers or a release of the prober", s.Bad, limit)
	}
	if l.HostShare > 0 && s.Unseen >= max(1, l.Hosts) && float64(s.Unseen) > l.HostShare*float64(s.Hosts) {
		why = fmt.Sprintf("%d of %d hosts are gone or can not be read: suspect power or the network", s.Unseen, s.Hosts)
	}
	switch {
	case why != "" && prev.Phase == StormBlowing:
		return Storm{Phase: StormBlowing, Why: why, Since: prev.Since}
	case why != "":
		return Storm{Phase: StormBlowing, Why: why, Since: now}
	case prev.Phase == StormBlowing:
		return Storm{Phase: StormCoolDown, Why: prev.Why, Since: now}
	case prev.Phase == StormCoolDown && now.Sub(prev.Since) < l.CoolDown:
		return prev
	case prev.Phase == StormCoolDown:
		return Storm{Phase: StormNormal, Since: now}
	}
	return prev
}

func gateStorm(_ Case, f Facts) *Refusal {
	s := f.Storm
	switch {
	case s.over():
		return nil
	case s.Phase == StormCoolDown:
		return &Refusal{Gate: GateStorm, Value: "a storm is just over: " + s.Why, Limit: "calm for " + f.StormCoolDown.String(), Until: s.Since.Add(f.StormCoolDown).UTC().Format(time.RFC3339)}
	case s.Phase == StormBlowing:
		return &Refusal{Gate: GateStorm, Value: "storm since " + s.Since.UTC().Format(time.RFC3339), Limit: "no more at a time than comes by chance", Until: "hosts and disks are well again, and " + f.StormCoolDown.String() + " have passed"}
	}
	return &Refusal{Gate: GateStorm, Value: "the state of the storm is " + string(s.Phase) + ", which is not known", Limit: "normal", Until: "a newer repairer runs"}
}
