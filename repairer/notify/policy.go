package notify

import (
	"slices"
	"time"
)

// Policy is what one sink is told, and when.
type Policy struct {
	Events   []string // empty: all
	Severity Severity // the least

	Group   time.Duration // how long a notice waits for others, to be told together
	PerHour int           // messages in an hour; 0: as many as there are
	Quiet   Span          // in which nothing is told but what must not wait
	Digest  time.Duration // since midnight: when notices of severity info are told, once a day; below 0: as they come
	Zone    *time.Location
}

// Span is a part of each day, since midnight. To before From is on the next day; the zero value is none.
type Span struct{ From, To time.Duration }

// end is when the span that now is in ends.
func (s Span) end(now time.Time) (time.Time, bool) {
	if s.From == s.To {
		return time.Time{}, false
	}
	day := midnight(now)
	for _, d := range []int{-1, 0} {
		from, to := at(day, d, s.From), at(day, d, s.To)
		if s.To < s.From {
			to = at(day, d+1, s.To)
		}
		if !now.Before(from) && now.Before(to) {
			return to, true
		}
	}
	return time.Time{}, false
}

func midnight(now time.Time) time.Time {
	y, m, d := now.Date()
	return time.Date(y, m, d, 0, 0, 0, 0, now.Location())
}

// at is a time of the day, also over a change of clocks.
func at(day time.Time, days int, since time.Duration) time.Time {
	y, m, d := day.Date()
	return time.Date(y, m, d+days, int(since/time.Hour), int(since%time.Hour/time.Minute), 0, 0, day.Location())
}

// Wants says whether a sink with this policy is told of the notice at all.
func (p Policy) Wants(n Notice) bool {
	return n.Severity >= p.Severity && (len(p.Events) == 0 || slices.Contains(p.Events, n.Event))
}

// Due says which of the pending notices are told now, and when to ask again if some stay; zero: there are none. sent are the
// times of the messages of the last hour. It is pure.
func (p Policy) Due(pending []Notice, sent []time.Time, now time.Time) (tell []Notice, again time.Time, why string) {
	if p.Zone == nil {
		p.Zone = time.UTC
	}
	now = now.In(p.Zone)
	soonest := func(t time.Time, reason string) {
		if again.IsZero() || t.Before(again) {
			again, why = t, reason
		}
	}
	var rest []Notice
	for _, n := range pending {
		if n.Urgent {
			tell = append(tell, n)
		} else {
			rest = append(rest, n)
		}
	}
	if len(tell) > 0 { // at once, and alone
		if len(rest) > 0 {
			soonest(now, "an urgent notice goes first")
		}
		return tell, again, why
	}
	if end, quiet := p.Quiet.end(now); quiet && len(rest) > 0 {
		return nil, end, "quiet hours"
	}
	if free, full := p.full(sent, now); full && len(rest) > 0 {
		return nil, free, "rate"
	}
	var ready []Notice
	for _, n := range rest {
		if n.Severity == Info && p.Digest >= 0 {
			if t := p.digest(n.At.In(p.Zone)); now.Before(t) {
				soonest(t, "digest")
				continue
			}
		}
		ready = append(ready, n)
	}
	if len(ready) == 0 {
		return nil, again, why
	}
	// The oldest has waited long enough for others, and takes all along.
	if t := ready[0].At.Add(p.Group); now.Before(t) {
		soonest(t, "grouping")
		return nil, again, why
	}
	return ready, again, why
}

// digest is when a notice of that time is told.
func (p Policy) digest(from time.Time) time.Time {
	t := at(midnight(from), 0, p.Digest)
	if t.Before(from) {
		t = at(midnight(from), 1, p.Digest)
	}
	return t
}

// full says whether no more messages may be sent, and until when.
func (p Policy) full(sent []time.Time, now time.Time) (until time.Time, full bool) {
	if p.PerHour == 0 {
		return until, false
	}
	recent := lastHour(sent, now)
	if len(recent) < p.PerHour {
		return until, false
	}
	return recent[len(recent)-p.PerHour].Add(time.Hour), true
}

func lastHour(sent []time.Time, now time.Time) []time.Time {
	return slices.DeleteFunc(slices.Clone(sent), func(t time.Time) bool { return !t.After(now.Add(-time.Hour)) })
}
