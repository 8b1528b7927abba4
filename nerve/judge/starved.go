package judge

import (
	"fmt"
	"time"
)

// Prober is how the one that judges is doing itself. What a prober sees that does not get processor, memory or
// I/O in time speaks of the host and not of its disks.
type Prober struct {
	Late   time.Duration // the latest that one of its timers was in the last two minutes
	Memory float64       // percent of the last minute in which all work of the host stood still for memory
	IO     float64       // the same for I/O
}

// Starvation says from when on a prober is starved; zero values mean never.
type Starvation struct {
	Late       time.Duration
	Memory, IO float64 // percent
}

// Find tells whether the prober is starved, and by what.
func (s Starvation) Find(p Prober, now time.Time) (Finding, bool) {
	f := Finding{Kind: FindingStarved, Scope: wholeHost, Since: now.Round(0).UTC(),
		Advice: "nothing that it sees is believed until that ends; look at what keeps the host busy"}
	switch {
	case s.Late > 0 && p.Late >= s.Late:
		f.Words = fmt.Sprintf("the prober is starved: its timers are late, by %s", p.Late.Round(time.Second))
	case s.Memory > 0 && p.Memory >= s.Memory:
		f.Words = fmt.Sprintf("the prober is starved: all work stood still for memory %.0f %% of a minute", p.Memory)
	case s.IO > 0 && p.IO >= s.IO:
		f.Words = fmt.Sprintf("the prober is starved: all work stood still for I/O %.0f %% of a minute", p.IO)
	default:
		return Finding{}, false
	}
	return f, true
}
