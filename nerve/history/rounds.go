package history

import (
	"cmp"
	"slices"
	"time"

	"glia"
	"glia/nerve/judge"
)

// Rounds turns series back into what was observed, for a replay: at each change and often enough after it that
// any rule can decide (once a minute, settle times), and once an hour where nothing changes, until the end. What
// depends on time alone, as the end of a decay, is therefore seen some hours late.
func Rounds(series []Series, settle int, until time.Time) []judge.Round {
	type change struct {
		at     time.Time
		series int
		point  Point
	}
	var changes []change
	for i, s := range series {
		for _, p := range s.Points {
			changes = append(changes, change{p.At, i, p})
		}
	}
	slices.SortStableFunc(changes, func(a, b change) int {
		return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.series, b.series))
	})
	now := make([]Point, len(series))
	seen := make([]bool, len(series))
	var out []judge.Round
	add := func(at time.Time) {
		r := judge.Round{At: at}
		for i, s := range series {
			if !seen[i] {
				continue
			}
			e := glia.Evidence{Class: s.Class, Source: "history", What: s.What, Value: now[i].Value, At: now[i].At}
			if now[i].Unknown {
				e.Unknown = "it was not observed"
			}
			r.Evidence = append(r.Evidence, e)
		}
		out = append(out, r)
	}
	for i := 0; i < len(changes); {
		at := changes[i].at
		for ; i < len(changes) && changes[i].at.Equal(at); i++ {
			now[changes[i].series], seen[changes[i].series] = changes[i].point, true
		}
		next := until
		if i < len(changes) && changes[i].at.Before(until) {
			next = changes[i].at
		}
		add(at)
		for k, step := 1, time.Minute; ; k++ {
			if k > settle {
				step = time.Hour
			}
			if at = at.Add(step); !at.Before(next) {
				break
			}
			add(at)
		}
	}
	return out
}
