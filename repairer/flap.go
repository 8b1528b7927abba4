package repairer

import (
	"fmt"
	"slices"
	"time"
)

// Past is what the gates remember of a case that has ended.
type Past struct {
	Case      string
	Serial    string
	Host      string
	Place     string
	Phase     Phase
	OpenedAt  time.Time
	StartedAt time.Time // zero: it never started
	EndedAt   time.Time
}

func pastOf(c Case) Past {
	return Past{Case: c.ID, Serial: c.Serial(), Host: c.Host(), Place: c.Disk.Location.Place(), Phase: c.Phase, OpenedAt: c.OpenedAt, StartedAt: c.StartedAt, EndedAt: c.ClosedAt}
}

// FlapLimits say how soon a disk or place may get its next repair, and how many a host may have. A zero
// Block turns all of it off.
type FlapLimits struct {
	Block     time.Duration // after a case of the same disk or place has ended, until the next one may start
	HostCases int           // cases of one host within flapMonth, after which the next one needs a person; 0: any number
}

// The third repair of one disk or place within a month is not the disk's fault: it needs a person. Another
// disk of the same host is no flap; the budgets hold how many of them are repaired at a time.
const (
	flapMonth = 30 * 24 * time.Hour
	flapMany  = 2
)

// gateFlap refuses what was under repair a moment ago, and what is again and again. A person's
// approval of this very plan overrides it.
func gateFlap(c Case, f Facts) *Refusal {
	serial, host := c.Serial(), c.Host()
	if f.Flap.Block <= 0 || !slices.ContainsFunc(f.Past, func(p Past) bool { return p.Serial == serial || p.Host == host }) || approved(c) {
		return nil
	}
	return flaps(c, f)
}

func flaps(c Case, f Facts) *Refusal {
	for _, scope := range []struct {
		what  string
		same  func(Past) bool
		block time.Duration
		many  int // cases within flapMonth; 0: any number
	}{
		{"disk " + c.Serial(), func(p Past) bool { return p.Serial == c.Serial() }, f.Flap.Block, flapMany},
		{c.Disk.Location.Place() + " of " + c.Host(), func(p Past) bool {
			return p.Host == c.Host() && p.Place != "" && p.Place == c.Disk.Location.Place()
		}, f.Flap.Block, flapMany},
		{"host " + c.Host(), func(p Past) bool { return p.Host == c.Host() }, 0, f.Flap.HostCases},
	} {
		n := 0
		for _, p := range f.Past {
			if !scope.same(p) || f.Now.Sub(p.EndedAt) >= flapMonth {
				continue
			}
			n++
			if left := scope.block - f.Now.Sub(p.EndedAt); left > 0 {
				until := p.EndedAt.Add(scope.block).UTC().Format(time.RFC3339)
				return &Refusal{Gate: GateFlap, Value: fmt.Sprintf("case %s of %s has just ended: %s", p.Case, scope.what, p.Phase), Limit: "one case in " + scope.block.String(), Until: until + ", or " + approveHint(c)}
			}
		}
		if scope.many > 0 && n >= scope.many {
			return &Refusal{Gate: GateFlap, Value: fmt.Sprintf("%s had %d cases within 30 days", scope.what, n), Limit: fmt.Sprintf("%d without a person", scope.many), Until: approveHint(c)}
		}
	}
	return nil
}
