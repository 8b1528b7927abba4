package repairer_test

import (
	"strings"
	"testing"

	"glia"
	"glia/repairer"
)

func TestModeOf_MostCarefulRuleWins(t *testing.T) {
	t.Parallel()
	rules := []repairer.RuleMode{
		{Rule: "pending", Mode: repairer.ModePropose},
		{Rule: "smart", Mode: repairer.ModeObserve, Pools: []string{"ceph"}},
		{Rule: "kernel", Mode: repairer.ModeAuto},
		{Rule: "kernel", Mode: repairer.ModeObserve}, // never used
		{Rule: "typo", Mode: "atuo"},
	}
	for _, tc := range []struct {
		pool  string
		mode  repairer.Mode
		fired string
		want  repairer.Mode
		why   string
	}{
		{"default", repairer.ModeAuto, "", repairer.ModeAuto, "the default"},
		{"db", repairer.ModeAuto, "other", repairer.ModeAuto, "pool db"},
		{"db", repairer.ModeAuto, "pending", repairer.ModePropose, "rule pending"},
		{"db", repairer.ModePropose, "kernel", repairer.ModeAuto, "rule kernel"},
		{"db", repairer.ModePropose, "kernel other", repairer.ModePropose, "pool db"},
		{"db", repairer.ModeAuto, "kernel pending", repairer.ModePropose, "rule pending"},
		{"db", repairer.ModeAuto, "smart", repairer.ModeAuto, "pool db"},
		{"ceph", repairer.ModeAuto, "kernel smart pending", repairer.ModeObserve, "rule smart"},
		{"ceph", repairer.ModeObserve, "pending other", repairer.ModeObserve, "pool ceph"},
		{"db", repairer.ModeAuto, "typo pending", "atuo", "rule typo"}, // what is not known is the most careful
	} {
		v := glia.Verdict{}
		for _, r := range strings.Fields(tc.fired) {
			v.Reasons = append(v.Reasons, glia.Reason{Rule: r})
		}
		if mode, why := repairer.ModeOf(repairer.Pool{Name: tc.pool, Mode: tc.mode}, rules, v); mode != tc.want || why != tc.why {
			t.Errorf("%s in %s with %q: %s by %s, want %s by %s", tc.pool, tc.mode, tc.fired, mode, why, tc.want, tc.why)
		}
	}
}
