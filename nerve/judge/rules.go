package judge

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"glia"
)

// Rule says which observations speak against a disk, and what they mean.
type Rule struct {
	Name  string             `json:"name"`  // unique in its set
	What  string             `json:"what"`  // the observed quantity; What[x] of evidence is What of x
	Class glia.EvidenceClass `json:"class"` // evidence of another class is not for this rule
	Above float64            `json:"above"` // an observation is bad when its value is greater
	State glia.State         `json:"state"` // what a disk is while the rule is active

	// Growth compares with the baseline instead: the value seen first. An observation is bad when the
	// value has grown by more than Above since.
	Growth bool `json:"growth,omitempty"`
	// Quiet, of a growth rule, is how long the value must stand still until it becomes the new baseline, so
	// that an old, finished incident clears. 0: never.
	Quiet time.Duration `json:"quiet,omitempty"`

	Fall int `json:"fall,omitempty"` // bad probes in a row until it is active; 0: as the set says
	Rise int `json:"rise,omitempty"` // good probes in a row until it is not; 0: as the set says

	Words string `json:"words"` // for the person with the screwdriver
}

// RuleSet is what disks are judged by.
type RuleSet struct {
	Rules []Rule `json:"rules"`
	Fall  int    `json:"fall"`
	Rise  int    `json:"rise"`
}

// maxCount bounds Fall and Rise. At the usual minute between probes it is more than an hour.
const maxCount = 100

// Validate tells everything that is wrong with the set, not only the first fault.
func (rs RuleSet) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if rs.Fall < 1 || rs.Fall > maxCount {
		bad("fall is %d, which is not within 1 to %d", rs.Fall, maxCount)
	}
	if rs.Rise < 1 || rs.Rise > maxCount {
		bad("rise is %d, which is not within 1 to %d", rs.Rise, maxCount)
	}
	seen := map[string]bool{}
	for i, r := range rs.Rules {
		name := r.Name
		if name == "" {
			name = fmt.Sprint("number ", i+1)
			bad("rule %s has no name", name)
		} else if seen[name] {
			bad("rule %s is there twice", name)
		}
		seen[name] = true
		if r.What == "" || strings.ContainsAny(r.What, "[]") {
			bad("rule %s: %q is not a quantity", name, r.What)
		}
		if !slices.Contains(classes, r.Class) {
			bad("rule %s: %q is not a class of evidence", name, r.Class)
		}
		if math.IsNaN(r.Above) || math.IsInf(r.Above, 0) || r.Above < 0 {
			bad("rule %s: above is %v, which is not a number from 0 on", name, r.Above)
		}
		if !r.State.Bad() || r.State == glia.StateMissing || r.State > glia.StateFailed {
			bad("rule %s: evidence cannot make a disk %s", name, r.State)
		} else if r.State != glia.StateSuspect && (r.Class == glia.Interface || r.Class == glia.Thermal) {
			bad("rule %s: evidence of class %s asks for a cable or for cooling, so it makes a disk suspect at most, not %s", name, r.Class, r.State)
		}
		if r.Quiet < 0 || r.Quiet > 0 && !r.Growth {
			bad("rule %s: quiet is for growth rules, and not negative", name)
		}
		if r.Fall < 0 || r.Fall > maxCount || r.Rise < 0 || r.Rise > maxCount {
			bad("rule %s: fall and rise are not within 0 to %d", name, maxCount)
		}
		if r.Words == "" {
			bad("rule %s has no words for the person who must act on it", name)
		}
	}
	return errors.Join(errs...)
}

var classes = []glia.EvidenceClass{glia.Media, glia.Interface, glia.Wear, glia.Thermal,
	glia.Filesystem, glia.Latency, glia.Presence, glia.Storage}

// Hash names the set: twelve hex digits that are the same for two sets exactly when they hold the same rules,
// in whatever order.
func (rs RuleSet) Hash() string {
	rs.Rules = slices.Clone(rs.Rules)
	slices.SortStableFunc(rs.Rules, func(a, b Rule) int { return strings.Compare(a.Name, b.Name) })
	b, err := json.Marshal(rs)
	if err != nil { // NaN or infinity, which Validate refuses
		b = fmt.Appendf(nil, "%#v", rs)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:6])
}

func (rs RuleSet) fall(r Rule) int { return max(1, firstSet(r.Fall, rs.Fall)) }
func (rs RuleSet) rise(r Rule) int { return max(1, firstSet(r.Rise, rs.Rise)) }

func firstSet(own, general int) int {
	if own != 0 {
		return own
	}
	return general
}
