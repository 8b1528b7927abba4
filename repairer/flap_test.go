package repairer_test

import (
	"slices"
	"testing"
	"time"

	"glia/repairer"
)

func TestGates_Flap(t *testing.T) {
	t.Parallel()
	past := func(serial, host, place string, ago time.Duration) repairer.Past {
		return repairer.Past{Case: "c0", Serial: serial, Host: host, Place: place, Phase: repairer.PhaseSuperseded, EndedAt: wnow.Add(-ago)}
	}
	for _, tc := range []struct {
		name     string
		past     []repairer.Past
		approved bool
		refuses  bool
	}{
		{"never before", nil, false, false},
		{"the disk, a moment ago", []repairer.Past{past("S1", "node-9", "slot 9", time.Minute)}, false, true},
		{"the place, a moment ago", []repairer.Past{past("S0", "node-1", "slot 2", time.Minute)}, false, true},
		{"another disk of the host, a moment ago", []repairer.Past{past("S0", "node-1", "slot 7", time.Minute)}, false, false},
		{"the third of the host", []repairer.Past{past("S0", "node-1", "slot 7", time.Minute), past("S9", "node-1", "slot 8", 29*day)}, false, false},
		{"the fourth of the host", []repairer.Past{past("S0", "node-1", "slot 7", time.Minute), past("S9", "node-1", "slot 8", day), past("S8", "node-1", "slot 9", 29*day)}, false, true},
		{"the fourth of the host within 31 days", []repairer.Past{past("S0", "node-1", "slot 7", time.Minute), past("S9", "node-1", "slot 8", day), past("S8", "node-1", "slot 9", 30*day)}, false, false},
		{"the fourth of several hosts", []repairer.Past{past("S0", "node-1", "slot 7", time.Minute), past("S9", "node-2", "slot 8", day), past("S8", "node-1", "slot 9", day)}, false, false},
		{"the same slot of another host", []repairer.Past{past("S0", "node-2", "slot 2", time.Minute)}, false, false},
		{"a moment ago, but approved", []repairer.Past{past("S1", "node-1", "slot 2", time.Minute)}, true, false},
		{"an hour ago", []repairer.Past{past("S1", "node-1", "slot 2", time.Hour)}, false, false},
		{"the third within 30 days", []repairer.Past{past("S0", "node-1", "slot 2", 2*day), past("S9", "node-1", "slot 2", 29*day)}, false, true},
		{"the third, but approved", []repairer.Past{past("S0", "node-1", "slot 2", 2*day), past("S9", "node-1", "slot 2", 29*day)}, true, false},
		{"the third within 31 days", []repairer.Past{past("S0", "node-1", "slot 2", 2*day), past("S9", "node-1", "slot 2", 30*day)}, false, false},
	} {
		c, f := good()
		f.Flap, f.Past = repairer.FlapLimits{Block: time.Hour, HostCases: 3}, tc.past
		if tc.approved {
			c.Approvals = []repairer.Approval{{Hash: c.Plan.Hash()}}
		}
		if got := gatesOf(t, c, f); slices.Contains(got, "flap") != tc.refuses || len(got) > 1 {
			t.Errorf("%s: %v refuse", tc.name, got)
		}
	}
}
