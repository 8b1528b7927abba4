package judge

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Accepted is a value of one disk that a person has looked at and accepted. Until it ends, the rule counts an
// observation as bad only when it is greater than that by the rule's own measure: only growth beyond it counts.
type Accepted struct {
	Rule   string    `json:"rule"`
	Value  float64   `json:"value"`
	Reason string    `json:"reason"`
	Person string    `json:"person"`
	At     time.Time `json:"at"`
	Until  time.Time `json:"until"`
}

// MaxAccepted bounds how long a value can be accepted for: whoever accepts looks again once a year.
const MaxAccepted = 366 * 24 * time.Hour

// Validate tells what keeps the value from being accepted under these rules; nil if nothing does.
func (a Accepted) Validate(rs RuleSet, now time.Time) error {
	var errs []error
	if _, ok := rs.Rule(a.Rule); !ok {
		errs = append(errs, fmt.Errorf("no rule with the name %q judges this disk", a.Rule))
	}
	if math.IsNaN(a.Value) || math.IsInf(a.Value, 0) || a.Value < 0 {
		errs = append(errs, fmt.Errorf("%v is not a value from 0 on", a.Value))
	}
	if strings.TrimSpace(a.Reason) == "" {
		errs = append(errs, errors.New("a reason is needed"))
	}
	if strings.TrimSpace(a.Person) == "" {
		errs = append(errs, errors.New("the name of the person is needed"))
	}
	if d := a.Until.Sub(now); d <= 0 || d > MaxAccepted {
		errs = append(errs, errors.New("it must end within a year from now"))
	}
	return errors.Join(errs...)
}

// Accept returns the state with the value accepted, instead of one that was accepted for the rule before.
func (s DiskState) Accept(a Accepted) DiskState {
	s.Accepted = slices.DeleteFunc(slices.Clone(s.Accepted), func(old Accepted) bool { return old.Rule == a.Rule })
	s.Accepted = append(s.Accepted, a)
	return s
}

// inForce are those that have not ended.
func inForce(all []Accepted, now time.Time) []Accepted {
	if !slices.ContainsFunc(all, func(a Accepted) bool { return !now.Before(a.Until) }) {
		return all
	}
	return slices.DeleteFunc(slices.Clone(all), func(a Accepted) bool { return !now.Before(a.Until) })
}

func acceptedFor(all []Accepted, rule string) *Accepted {
	for i := range all {
		if all[i].Rule == rule {
			return &all[i]
		}
	}
	return nil
}

// exceeded says whether a value is beyond what was accepted; everything is beyond nothing. A rule of growth
// tolerates as much growth beyond the accepted value as beyond any other.
func (a *Accepted) exceeded(r Rule, value float64) bool {
	switch {
	case a == nil:
		return true
	case r.Growth:
		return value-a.Value > r.Above
	}
	return value > a.Value
}
