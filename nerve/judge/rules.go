package judge

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"path"
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
	// Decay is how long a rule remembers, so that an old, finished incident clears. The value of a growth
	// rule that stood still for so long becomes its new baseline; 0: never. Any other rule clears no sooner
	// than so long after its last bad observation.
	Decay time.Duration `json:"decay,omitempty"`

	Fall int `json:"fall,omitempty"` // bad probes in a row until it is active; 0: as the set says
	Rise int `json:"rise,omitempty"` // good probes in a row until it is not; 0: as the set says

	Words string `json:"words"` // for the person with the screwdriver
}

// RuleSet is what disks are judged by. It is not changed once it is in use.
type RuleSet struct {
	Rules     []Rule     `json:"rules"`
	Fall      int        `json:"fall"`
	Rise      int        `json:"rise"`
	Overrides []Override `json:"overrides,omitempty"` // of later ones that match, what they set counts

	of string // hash of the set that these rules are, or were chosen from; empty: not made yet
}

// Override changes rules for some disks. Empty patterns match everything; at least one is not empty.
type Override struct {
	Model    string   `json:"model,omitempty"` // patterns with *, ? and [ab]
	Firmware string   `json:"firmware,omitempty"`
	Serial   string   `json:"serial,omitempty"`
	Rules    []string `json:"rules"`
	Reason   string   `json:"reason"` // for those who wonder later

	Off   bool           `json:"off,omitempty"` // the rules do not judge these disks
	State *glia.State    `json:"state,omitempty"`
	Above *float64       `json:"above,omitempty"`
	Decay *time.Duration `json:"decay,omitempty"`
	Fall  *int           `json:"fall,omitempty"`
	Rise  *int           `json:"rise,omitempty"`
}

// Matches says whether the override is for a disk.
func (o Override) Matches(id glia.Identity) bool {
	return matches(o.Model, id.Model) && matches(o.Firmware, id.Firmware) && matches(o.Serial, id.Serial)
}

// matches is path.Match with slashes like any other character: some models have one.
func matches(pattern, name string) bool {
	plain := strings.NewReplacer("/", "\x00")
	ok, err := path.Match(plain.Replace(pattern), plain.Replace(name))
	return pattern == "" || ok && err == nil
}

// Sealed is the set with its hash remembered, for a set that is asked often and changed no more.
func (rs RuleSet) Sealed() RuleSet {
	rs.of = rs.Hash()
	return rs
}

// For returns the rules that one disk is judged by. They have the hash of the whole set.
func (rs RuleSet) For(id glia.Identity) RuleSet {
	out := RuleSet{Fall: rs.Fall, Rise: rs.Rise, Rules: rs.Rules, of: rs.Hash()}
	owned := false
	for _, o := range rs.Overrides {
		if !o.Matches(id) {
			continue
		}
		if !owned {
			out.Rules, owned = slices.Clone(rs.Rules), true
		}
		if o.Off {
			out.Rules = slices.DeleteFunc(out.Rules, func(r Rule) bool { return slices.Contains(o.Rules, r.Name) })
			continue
		}
		for i, r := range out.Rules {
			if slices.Contains(o.Rules, r.Name) {
				out.Rules[i] = o.apply(r)
			}
		}
	}
	return out
}

func (o Override) apply(r Rule) Rule {
	set(&r.State, o.State)
	set(&r.Above, o.Above)
	set(&r.Decay, o.Decay)
	set(&r.Fall, o.Fall)
	set(&r.Rise, o.Rise)
	return r
}

func set[T any](into *T, value *T) {
	if value != nil {
		*into = *value
	}
}

// Sees says whether evidence is about what the rule looks at.
func (r Rule) Sees(e glia.Evidence) bool { return e.Class == r.Class && quantity(e.What) == r.What }

// Rule finds a rule by its name.
func (rs RuleSet) Rule(name string) (Rule, bool) {
	i := slices.IndexFunc(rs.Rules, func(r Rule) bool { return r.Name == name })
	if i < 0 {
		return Rule{}, false
	}
	return rs.Rules[i], true
}

// maxCount bounds Fall and Rise. At the usual minute between probes it is more than an hour.
const maxCount = 100

// Validate tells everything that is wrong with the set, not only the first fault.
func (rs RuleSet) Validate() error {
	var errs []error
	rs.validate(func(_, format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) })
	return errors.Join(errs...)
}

// validate names with each fault the key that it is about, as the file of a rule set has it.
func (rs RuleSet) validate(bad func(key, format string, args ...any)) {
	if rs.Fall < 1 || rs.Fall > maxCount {
		bad("fall", "fall is %d, which is not within 1 to %d", rs.Fall, maxCount)
	}
	if rs.Rise < 1 || rs.Rise > maxCount {
		bad("rise", "rise is %d, which is not within 1 to %d", rs.Rise, maxCount)
	}
	seen := map[string]bool{}
	for i, r := range rs.Rules {
		at := fmt.Sprintf("rule[%d]", i)
		name := r.Name
		if name == "" {
			name = fmt.Sprint("number ", i+1)
			bad(at+".name", "rule %s has no name", name)
		} else if seen[name] {
			bad(at+".name", "rule %s is there twice", name)
		}
		seen[name] = true
		r.validate(at, name, bad)
	}
	for i, o := range rs.Overrides {
		o.validate(fmt.Sprintf("override[%d]", i), rs, bad)
	}
}

func (r Rule) validate(at, name string, bad func(key, format string, args ...any)) {
	if r.What == "" || strings.ContainsAny(r.What, "[] \t\n") {
		bad(at+".what", "rule %s: %q is not a quantity", name, r.What)
	}
	if !slices.Contains(classes, r.Class) {
		bad(at+".class", "rule %s: %q is not a class of evidence", name, r.Class)
	}
	if math.IsNaN(r.Above) || math.IsInf(r.Above, 0) || r.Above < 0 {
		bad(at+".above", "rule %s: above is %v, which is not a number from 0 on", name, r.Above)
	}
	if !r.State.Bad() || r.State == glia.StateMissing || r.State > glia.StateFailed {
		bad(at+".state", "rule %s: evidence cannot make a disk %s", name, r.State)
	} else if r.State != glia.StateSuspect && (r.Class == glia.Interface || r.Class == glia.Thermal) {
		bad(at+".state", "rule %s: evidence of class %s asks for a cable or for cooling, so it makes a disk suspect at most, not %s", name, r.Class, r.State)
	}
	if r.Decay < 0 {
		bad(at+".decay", "rule %s: decay is negative", name)
	}
	if r.Fall < 0 || r.Fall > maxCount {
		bad(at+".fall", "rule %s: fall and rise are not within 0 to %d", name, maxCount)
	}
	if r.Rise < 0 || r.Rise > maxCount {
		bad(at+".rise", "rule %s: fall and rise are not within 0 to %d", name, maxCount)
	}
	if r.Words == "" {
		bad(at+".words", "rule %s has no words for the person who must act on it", name)
	}
}

func (o Override) validate(at string, rs RuleSet, bad func(key, format string, args ...any)) {
	if o.Model+o.Firmware+o.Serial == "" {
		bad(at, "it is for every disk: give model, firmware or serial, or change the rule itself")
	}
	for key, p := range map[string]string{".model": o.Model, ".firmware": o.Firmware, ".serial": o.Serial} {
		if _, err := path.Match(p, ""); err != nil {
			bad(at+key, "%q is not a pattern: use * for any text, ? for one character, [ab] for one of them", p)
		}
	}
	if len(o.Rules) == 0 {
		bad(at+".rules", "it names no rule")
	}
	if strings.TrimSpace(o.Reason) == "" {
		bad(at+".reason", "it has no reason, which those who meet it later will want")
	}
	if !o.Off && o.State == nil && o.Above == nil && o.Decay == nil && o.Fall == nil && o.Rise == nil {
		bad(at, "it changes nothing: set off, state, above, decay, fall or rise")
	}
	for i, name := range o.Rules {
		r, ok := rs.Rule(name)
		if !ok {
			bad(fmt.Sprintf("%s.rules[%d]", at, i), "there is no rule with the name %q", name)
			continue
		}
		o.apply(r).validate(at, name, bad)
	}
}

var classes = []glia.EvidenceClass{glia.Media, glia.Interface, glia.Wear, glia.Thermal,
	glia.Filesystem, glia.Latency, glia.Presence, glia.Storage}

// Hash names the set: twelve hex digits that are the same for two sets exactly when they hold the same rules,
// in whatever order, and the same overrides.
func (rs RuleSet) Hash() string {
	if rs.of != "" {
		return rs.of
	}
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
