package repairer_test

import (
	"testing"
	"time"

	"glia/repairer"
)

func TestNextBreaker_TripsAndStays(t *testing.T) {
	t.Parallel()
	limits := repairer.BreakerLimits{Window: day, Openings: 5, Starts: 2, FalseAlarms: 2}
	ago := func(n int, d time.Duration) (out []time.Time) {
		for range n {
			out = append(out, wnow.Add(-d))
		}
		return out
	}
	for _, tc := range []struct {
		name                     string
		before                   repairer.Breaker
		openings, starts, alarms []time.Time
		want                     bool
	}{
		{"nothing happened", repairer.Breaker{}, nil, nil, nil, false},
		{"as many as allowed", repairer.Breaker{}, ago(5, time.Hour), ago(2, time.Hour), ago(1, time.Hour), false},
		{"one opening more", repairer.Breaker{}, ago(6, time.Hour), nil, nil, true},
		{"one start more", repairer.Breaker{}, nil, ago(3, time.Hour), nil, true},
		{"two false alarms", repairer.Breaker{}, nil, nil, ago(2, time.Hour), true},
		{"long ago", repairer.Breaker{}, ago(9, day), ago(9, day), ago(9, day), false},
		{"before the reset", repairer.Breaker{ResetAt: wnow.Add(-time.Minute)}, ago(9, time.Hour), ago(9, time.Hour), ago(9, time.Hour), false},
		{"again after the reset", repairer.Breaker{ResetAt: wnow.Add(-2 * time.Hour)}, nil, ago(3, time.Hour), nil, true},
		{"tripped, and calm since", repairer.Breaker{Tripped: true, Why: "x"}, nil, nil, nil, true},
	} {
		got := repairer.NextBreaker(tc.before, limits, tc.openings, tc.starts, tc.alarms, wnow)
		if got.Tripped != tc.want || got.Tripped && got.Why == "" {
			t.Errorf("%s: %+v", tc.name, got)
		}
	}
	if b := repairer.NextBreaker(repairer.Breaker{}, repairer.BreakerLimits{}, ago(99, 0), ago(99, 0), ago(99, 0), wnow); b.Tripped {
		t.Errorf("without limits it trips: %s", b.Why)
	}
}
