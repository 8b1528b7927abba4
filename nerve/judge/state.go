package judge

import (
	"maps"
	"time"

	"glia"
)

// DiskState is what is remembered of a disk from probe to probe, and across restarts as JSON. The zero value is
// a disk that was never probed. States are values: Step returns a new one and leaves the old one as it was.
type DiskState struct {
	Rules    map[string]RuleState `json:"rules,omitempty"` // by name; one that is missing has seen nothing
	Accepted []Accepted           `json:"accepted,omitempty"`

	// LastProbe is the last time that anything at all could be observed.
	LastProbe time.Time `json:"last_probe"`
	// LastHealth is the last time that something was observed of a class that can show health: media,
	// wear, filesystem or storage.
	LastHealth time.Time `json:"last_health"`
	// Said is the state of the last verdict. What is not decided yet leaves a healthy disk healthy.
	Said glia.State `json:"said"`
	// Blind are the reasons why sources could not look in the last round.
	Blind []string `json:"blind,omitempty"`
}

// RuleState is what one rule has seen of a disk.
type RuleState struct {
	Bad    int  `json:"bad,omitempty"`  // bad probes in a row, counted up to fall
	Good   int  `json:"good,omitempty"` // good probes in a row, counted up to rise
	Active bool `json:"active,omitempty"`

	Since    time.Time     `json:"since"`    // first of the bad probes in a row; of an active rule, of those that made it so
	Evidence glia.Evidence `json:"evidence"` // the last bad one
	LastBad  time.Time     `json:"last_bad,omitzero"`
	Seen     time.Time     `json:"seen"` // when its quantity was last observed in this life of the process

	Growth map[string]Growth `json:"growth,omitempty"` // by What of the evidence
}

// isZero says whether the rule has seen nothing that is to be remembered.
func (s RuleState) isZero() bool {
	return s.Bad == 0 && s.Good == 0 && !s.Active && s.Since.IsZero() && s.Evidence == glia.Evidence{} && s.LastBad.IsZero() && s.Seen.IsZero() && len(s.Growth) == 0
}

// Growth is what a growth rule remembers of one counter.
type Growth struct {
	Baseline float64   `json:"baseline"`
	Last     float64   `json:"last"`
	Moved    time.Time `json:"moved"`         // when Last last changed
	Low      int       `json:"low,omitempty"` // probes in a row below the baseline
}

// AfterRestart is the state as a new process may use it: counts, active rules, baselines and accepted values are kept, but until
// something is observed again every verdict is unknown. Callers apply it to each state that they load.
func (s DiskState) AfterRestart() DiskState {
	rules := maps.Clone(s.Rules)
	for name, r := range rules {
		r.Seen = time.Time{}
		rules[name] = r
	}
	return DiskState{Rules: rules, Accepted: s.Accepted}
}
