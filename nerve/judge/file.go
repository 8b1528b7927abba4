package judge

import (
	_ "embed"
	"fmt"
	"slices"
	"sync"
	"time"

	"glia"
	"glia/config"
)

// The rule set that every nerve begins with. It is also the description of the format.
//
//go:embed rules.toml
var defaultRules []byte

// Default is the rule set that is used unless a site has one of its own.
func Default() RuleSet {
	rs := parsedDefault()
	rs.Rules = slices.Clone(rs.Rules)
	return rs
}

var parsedDefault = sync.OnceValue(func() RuleSet {
	// Three probes in a row decide in either direction, as in nerve and HAProxy.
	rs, err := RuleSet{Fall: 3, Rise: 3}.Overlay("rules.toml", defaultRules)
	if err != nil {
		panic(fmt.Sprintf("the rules that are built in: %v", err)) // a test reads them
	}
	return rs
})

// ruleFile is a rule set as it is written. What is nil is as in the set below.
type ruleFile struct {
	Rules     []ruleTable     `toml:"rule"`
	Overrides []overrideTable `toml:"override"`
}

type ruleTable struct {
	Name   string           `toml:"name"`
	Off    bool             `toml:"off"`
	What   *string          `toml:"what"`
	Class  *string          `toml:"class"`
	State  *glia.State      `toml:"state"`
	Above  *float64         `toml:"above"`
	Growth *bool            `toml:"growth"`
	Decay  *config.Duration `toml:"decay"`
	Fall   *int             `toml:"fall"`
	Rise   *int             `toml:"rise"`
	Words  *string          `toml:"words"`
}

type overrideTable struct {
	Model    string           `toml:"model"`
	Firmware string           `toml:"firmware"`
	Serial   string           `toml:"serial"`
	Rules    []string         `toml:"rules"`
	Reason   string           `toml:"reason"`
	Off      bool             `toml:"off"`
	State    *glia.State      `toml:"state"`
	Above    *float64         `toml:"above"`
	Decay    *config.Duration `toml:"decay"`
	Fall     *int             `toml:"fall"`
	Rise     *int             `toml:"rise"`
}

// Overlay reads a TOML document, the name of which stands for it in errors, and lays it over the set: a rule
// that the set has is changed in what the document sets, others are added, and those that it switches off
// are left out. It is strict; the error is *config.Errors and tells everything at once, with line and column.
func (rs RuleSet) Overlay(name string, data []byte) (RuleSet, error) {
	return rs.overlay(func(f *ruleFile, validate func(func(string, string, ...any))) error {
		return config.Decode(name, data, f, validate)
	})
}

// OverlayFile is Overlay for a file.
func (rs RuleSet) OverlayFile(path string) (RuleSet, error) {
	return rs.overlay(func(f *ruleFile, validate func(func(string, string, ...any))) error {
		return config.DecodeFile(path, f, validate)
	})
}

func (rs RuleSet) overlay(decode func(*ruleFile, func(func(string, string, ...any))) error) (RuleSet, error) {
	var f ruleFile
	var out RuleSet
	err := decode(&f, func(bad func(string, string, ...any)) {
		var placed map[string]string
		out, placed = rs.with(f, bad)
		out.validate(func(key, format string, args ...any) { bad(inFile(key, placed), format, args...) })
	})
	if err != nil {
		return RuleSet{}, err
	}
	return out, nil
}

// with merges the file into a copy of the set. It returns where each rule and override of the copy stands in
// the file, by the key that it has in the copy.
func (rs RuleSet) with(f ruleFile, bad func(string, string, ...any)) (RuleSet, map[string]string) {
	out := RuleSet{Fall: rs.Fall, Rise: rs.Rise, Rules: slices.Clone(rs.Rules), Overrides: slices.Clone(rs.Overrides)}
	written := map[string]int{} // in the file, by name
	off := map[string]bool{}
	for i, t := range f.Rules {
		if _, again := written[t.Name]; again && t.Name != "" {
			bad(fmt.Sprintf("rule[%d].name", i), "rule %s is there twice", t.Name)
			continue
		}
		written[t.Name] = i
		at := slices.IndexFunc(out.Rules, func(r Rule) bool { return r.Name == t.Name })
		if at < 0 {
			if t.Off {
				bad(fmt.Sprintf("rule[%d].off", i), "there is no rule with the name %q to switch off", t.Name)
				continue
			}
			out.Rules = append(out.Rules, Rule{Name: t.Name})
			at = len(out.Rules) - 1
		}
		off[t.Name] = t.Off
		t.apply(&out.Rules[at])
	}
	out.Rules = slices.DeleteFunc(out.Rules, func(r Rule) bool { return off[r.Name] })
	placed := map[string]string{}
	for i, r := range out.Rules {
		if at, ok := written[r.Name]; ok {
			placed[fmt.Sprintf("rule[%d]", i)] = fmt.Sprintf("rule[%d]", at)
		}
	}
	for i, t := range f.Overrides {
		placed[fmt.Sprintf("override[%d]", len(out.Overrides))] = fmt.Sprintf("override[%d]", i)
		out.Overrides = append(out.Overrides, t.override())
	}
	return out, placed
}

func (t ruleTable) apply(r *Rule) {
	set(&r.What, t.What)
	set((*string)(&r.Class), t.Class)
	set(&r.State, t.State)
	set(&r.Above, t.Above)
	set(&r.Growth, t.Growth)
	set(&r.Decay, (*time.Duration)(t.Decay))
	set(&r.Fall, t.Fall)
	set(&r.Rise, t.Rise)
	set(&r.Words, t.Words)
}

func (t overrideTable) override() Override {
	return Override{Model: t.Model, Firmware: t.Firmware, Serial: t.Serial, Rules: t.Rules, Reason: t.Reason,
		Off: t.Off, State: t.State, Above: t.Above, Decay: (*time.Duration)(t.Decay), Fall: t.Fall, Rise: t.Rise}
}

// inFile translates a key of the merged set into the one that the file has.
func inFile(key string, placed map[string]string) string {
	for i := 1; i <= len(key); i++ {
		if at, ok := placed[key[:i]]; ok && (i == len(key) || key[i] == '.') {
			return at + key[i:]
		}
	}
	return key
}
