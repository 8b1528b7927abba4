package repairer

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Window is a time of the week in which cases may start. Times are UTC. One that ends before it
// begins goes on past midnight and belongs to the day on which it began.
type Window struct {
	Days  []time.Weekday // none: every day
	From  time.Duration  // since midnight
	To    time.Duration  // since midnight; not part of the window
	Pools []string       // names; none: all
}

// Contains says whether the window is open at that time.
func (w Window) Contains(t time.Time) bool {
	t = t.UTC()
	day := func(d time.Weekday) bool { return len(w.Days) == 0 || slices.Contains(w.Days, d) }
	since := t.Sub(time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC))
	if w.From < w.To {
		return day(t.Weekday()) && w.From <= since && since < w.To
	}
	return day(t.Weekday()) && since >= w.From || day(t.AddDate(0, 0, -1).Weekday()) && since < w.To
}

func (w Window) String() string {
	clock := func(d time.Duration) string { return fmt.Sprintf("%02d:%02d", int(d.Hours()), int(d.Minutes())%60) }
	days := "every day"
	if len(w.Days) > 0 {
		names := make([]string, len(w.Days))
		for i, d := range w.Days {
			names[i] = d.String()[:3]
		}
		days = strings.Join(names, ", ")
	}
	return days + " " + clock(w.From) + " to " + clock(w.To) + " UTC"
}

// gateWindow lets cases start only inside one of the windows of their pool. A pool without any may
// always start them.
func gateWindow(c Case, f Facts) *Refusal {
	var mine []string
	pool := poolName(f.Pools, c.Host())
	for _, w := range f.Windows {
		if len(w.Pools) > 0 && !slices.Contains(w.Pools, pool) {
			continue
		}
		if w.Contains(f.Now) {
			return nil
		}
		mine = append(mine, w.String())
	}
	if len(mine) == 0 {
		return nil
	}
	return &Refusal{Gate: GateWindow, Value: "no maintenance window of pool " + pool + " is open", Limit: strings.Join(mine, "; "), Until: "one of them opens"}
}
