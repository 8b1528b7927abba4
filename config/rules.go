package config

import (
	"fmt"
	"slices"
	"strings"
)

// maxApprovals is how many persons may be asked for: more than a shift has would never be found.
const maxApprovals = 9

// Rule is one [[rule]]: the mode of cases in which a rule of the nerves has spoken.
type Rule struct {
	Name  string   `toml:"name"` // of the rule
	Mode  Mode     `toml:"mode"`
	Pools []string `toml:"pools"` // empty: all
}

// validateRules judges what can be judged without knowing the rules; see knownRules.
func (r *Repairer) validateRules(c *check) {
	pools := []string{DefaultPool}
	for _, p := range r.Pools {
		pools = append(pools, p.Name)
	}
	for i, f := range r.RuleFiles {
		c.absolute(element("rule_files", i), f)
	}
	seen := map[string][]string{} // pools that a rule has its mode for
	for i, x := range r.Rules {
		at := element("rule", i)
		c.word(at+".name", x.Name, "the name of a rule, such as \"ata-pending\"")
		if x.Mode == "" {
			c.bad([]string{at + ".mode"}, "is missing: want observe, propose or auto")
		}
		for j, p := range x.Pools {
			if !slices.Contains(pools, p) {
				c.bad([]string{element(at+".pools", j), at + ".pools"}, "there is no pool with the name %q", p)
			}
		}
		of := x.Pools
		if len(of) == 0 {
			of = pools
		}
		if !slices.ContainsFunc(of, func(p string) bool { return !slices.Contains(seen[x.Name], p) }) {
			c.bad([]string{at + ".name"}, "another [[rule]] before gives %s its mode, so this one is never used", x.Name)
		}
		seen[x.Name] = append(seen[x.Name], of...)
	}
}

// knownRules makes the check that each rule has one of the names that there are.
func (r *Repairer) knownRules(rules func(files []string) ([]string, error)) func(*check) {
	return func(c *check) {
		names, err := rules(r.RuleFiles)
		if err != nil {
			c.bad([]string{"rule_files"}, "%v", err)
			return
		}
		for i, x := range r.Rules {
			if x.Name == "" || slices.Contains(names, x.Name) {
				continue
			}
			hint := "is it one of " + strings.Join(names, ", ")
			if near := nearest(x.Name, names); near != "" {
				hint = fmt.Sprintf("did you mean %q", near)
			}
			c.bad([]string{element("rule", i) + ".name"}, "there is no rule with the name %q; %s? Files with rules of your own belong into rule_files", x.Name, hint)
		}
	}
}

// upTo checks 0 <= n <= highest.
func (c *check) upTo(key string, n, highest int) {
	if n < 0 || n > highest {
		c.bad([]string{key}, "%d is not possible: want 0 to %d", n, highest)
	}
}
