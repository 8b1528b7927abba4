package repairer

import (
	"fmt"
	"slices"

	"glia"
)

// RuleMode is the mode of cases in which a rule has spoken, instead of that of their pool.
type RuleMode struct {
	Rule  string
	Mode  Mode
	Pools []string // names; none: all
}

// careful orders the modes, the most careful first. An unknown one counts as that.
func (m Mode) careful() int {
	return max(0, slices.Index([]Mode{ModeObserve, ModePropose, ModeAuto}, m))
}

// ModeOf is the mode of a case by its pool and by the rules that speak against its disk, and what it comes
// from. Each rule has the first mode that names it, or else that of the pool; of several rules the most
// careful one counts.
func ModeOf(pool Pool, rules []RuleMode, v glia.Verdict) (mode Mode, why string) {
	why = "pool " + pool.Name
	if pool.Name == defaultPool {
		why = "the default"
	}
	general, of := pool.Mode, why
	for i, r := range v.Reasons {
		m, from := general, of
		if j := slices.IndexFunc(rules, func(x RuleMode) bool {
			return x.Rule == r.Rule && (len(x.Pools) == 0 || slices.Contains(x.Pools, pool.Name))
		}); j >= 0 {
			m, from = rules[j].Mode, "rule "+r.Rule
		}
		if i == 0 || m.careful() < mode.careful() {
			mode, why = m, from
		}
	}
	if len(v.Reasons) == 0 {
		mode = general
	}
	return mode, why
}

// defaultPool is the name of the pool of hosts that no other one names.
const defaultPool = "default"

// poolOf is the first pool that names the host, or the default one.
func (e *Engine) poolOf(host string) Pool {
	for _, p := range e.Pools {
		if slices.ContainsFunc(p.Hosts, func(glob string) bool { return matches(glob, host) }) {
			return p
		}
	}
	return Pool{Name: defaultPool, Mode: e.Mode, Approvals: e.Approvals, DestroyApprovals: e.DestroyApprovals}
}

// permit fills in who may start the plan: its mode, what that comes from, and how many persons an
// approval takes.
func permit(p Plan, pool Pool, rules []RuleMode, v glia.Verdict) Plan {
	p.Mode, p.ModeWhy = ModeOf(pool, rules, v)
	p.Approvals = max(1, pool.Approvals)
	if pool.DestroyApprovals > 0 && p.Destroys() {
		p.Approvals = max(p.Approvals, pool.DestroyApprovals)
		if p.Mode == ModeAuto {
			p.Mode, p.ModeWhy = ModePropose, fmt.Sprintf("the plan destroys, destroy_approvals is %d", pool.DestroyApprovals)
		}
	}
	return p
}

// Destroys says whether something is lost for good before the new disk is in: the plan takes the disk out
// by a step that can not be undone.
func (p Plan) Destroys() bool {
	return slices.ContainsFunc(p.Steps, func(s PlanStep) bool {
		return !s.Reversible && (s.Stage == StageDrain || s.Stage == StageRelease)
	})
}

// modeWords is the mode of a plan with what it comes from.
func modeWords(p *Plan) string {
	if p.ModeWhy == "" {
		return string(p.Mode)
	}
	return string(p.Mode) + " (" + p.ModeWhy + ")"
}
