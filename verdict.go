package glia

import (
	"fmt"
	"strings"
	"time"
)

// State is the judgement of a disk. The zero value is StateUnknown: what was not looked at is not
// known, and unknown never leads to a repair.
type State int

// The states, from the least to the most pressing one for an operator.
const (
	StateUnknown State = iota
	StateHealthy
	StateSuspect
	StateWorn
	StateMissing
	StateFailing
	StateFailed
)

var stateNames = [...]string{"unknown", "healthy", "suspect", "worn", "missing", "failing", "failed"}

func (s State) String() string {
	if s < 0 || int(s) >= len(stateNames) {
		return fmt.Sprintf("State(%d)", int(s))
	}
	return stateNames[s]
}

// ParseState reads the name of a state as String writes it.
func ParseState(name string) (State, error) {
	for i, n := range stateNames {
		if n == name {
			return State(i), nil
		}
	}
	return StateUnknown, fmt.Errorf("%q is not a verdict; known are %s", name, strings.Join(stateNames[:], ", "))
}

// MarshalText writes the state by its name.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a name that MarshalText wrote.
func (s *State) UnmarshalText(text []byte) error {
	v, err := ParseState(string(text))
	if err != nil {
		return err
	}
	*s = v
	return nil
}

// Bad says whether the state needs somebody's attention. Unknown is not bad: it is not known.
func (s State) Bad() bool { return s >= StateSuspect }

// Reason is one rule that fired, with the evidence that made it fire.
type Reason struct {
	Rule     string        `json:"rule"`
	Class    EvidenceClass `json:"class"`
	State    State         `json:"state"` // what this rule alone says
	Words    string        `json:"words"` // for the person with the screwdriver
	Evidence Evidence      `json:"evidence"`
	Since    time.Time     `json:"since"` // first of the probes in a row that made it fire
}

// Verdict is the judgement of one disk at one time.
type Verdict struct {
	State      State     `json:"state"`
	Reasons    []Reason  `json:"reasons,omitempty"` // most pressing first
	Why        string    `json:"why,omitempty"`     // why it is unknown or missing; empty otherwise
	ObservedAt time.Time `json:"observed_at"`       // the newest probe that it rests on; zero when never probed
	ExpiresAt  time.Time `json:"expires_at"`        // after it the verdict is unknown
	RuleSet    string    `json:"rule_set,omitempty"`
	Prober     string    `json:"prober,omitempty"`
	Kernel     string    `json:"kernel,omitempty"` // release of the kernel that it was observed under
}

// At is the verdict as it stands at a later time: itself, or unknown once it has expired.
func (v Verdict) At(now time.Time) Verdict {
	if v.ExpiresAt.IsZero() || !now.After(v.ExpiresAt) {
		return v
	}
	v.Why = fmt.Sprintf("last looked at %s, which is too long ago (it said %s)", v.ObservedAt.UTC().Format(time.RFC3339), v.State)
	v.State, v.Reasons = StateUnknown, nil
	return v
}

// Witnesses are the distinct classes of evidence that say the disk itself is failing or failed. An
// irreversible step needs two of them, or a person's approval.
func (v Verdict) Witnesses() []EvidenceClass {
	var out []EvidenceClass
	seen := map[EvidenceClass]bool{Interface: true, Thermal: true}
	for _, r := range v.Reasons {
		if r.State >= StateFailing && !seen[r.Class] {
			seen[r.Class] = true
			out = append(out, r.Class)
		}
	}
	return out
}

// Summary is one line for people: the state and its most pressing reason.
func (v Verdict) Summary() string {
	switch {
	case len(v.Reasons) > 0:
		s := v.State.String() + ": " + v.Reasons[0].Words
		if d := v.Reasons[0].Evidence.Detail; d != "" {
			s += " (" + d + ")"
		}
		return s
	case v.Why != "":
		return v.State.String() + ": " + v.Why
	}
	return v.State.String()
}

// DiskStatus is a disk with its verdict and the evidence of the last probe.
type DiskStatus struct {
	Disk     Disk       `json:"disk"`
	Verdict  Verdict    `json:"verdict"`
	Evidence []Evidence `json:"evidence,omitempty"`
}
