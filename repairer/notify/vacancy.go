package notify

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// Vacancy tells people when nobody leads, which no leader can. Each repairer that stands by has one, and each of them tells.
type Vacancy struct {
	Who   string                                             // tells
	Ask   func(ctx context.Context) (leads bool, why string) // whether somebody is known to lead, and if not why
	Every time.Duration                                      // between two looks
	After time.Duration                                      // nobody leads for so long until people are told: a change of the leader takes a while
	Sinks map[string]Sink
	Wants map[string]Policy
	Log   *slog.Logger

	since time.Time       // nobody leads; zero: somebody does
	told  map[string]bool // sinks that know it
}

// Run looks until the context ends.
func (v *Vacancy) Run(ctx context.Context) error {
	v.told = map[string]bool{}
	t := time.NewTicker(v.Every)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		leads, why := v.Ask(ctx)
		if ctx.Err() != nil {
			return nil
		}
		now := time.Now()
		switch {
		case leads:
			v.since = time.Time{}
			v.over(ctx, "a repairer leads again")
		case v.since.IsZero():
			v.since = now
		case now.Sub(v.since) >= v.After:
			n := Notice{At: now, Event: Leader, Severity: Critical, Urgent: true, Text: fmt.Sprintf("NOBODY LEADS since %s, so that no repair begins or goes on, says %s: %s.", v.since.UTC().Format(time.RFC3339), v.Who, why)}
			for name, sink := range v.Sinks {
				if !v.told[name] && v.Wants[name].Wants(n) {
					v.told[name] = v.tell(ctx, name, sink, n)
				}
			}
		}
	}
}

// Took tells those who know of the vacancy that this repairer has taken over, and tries again until all of them have heard it or the
// context ends: nobody else may be there to tell them. It is called once Run has returned.
func (v *Vacancy) Took(ctx context.Context) {
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = v.Every, max(v.Every, 5*time.Minute)
	for !v.over(ctx, v.Who+" leads now") {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait.NextBackOff()):
		}
	}
}

// over says whether all who know of the vacancy have heard that it is over.
func (v *Vacancy) over(ctx context.Context, what string) bool {
	all := true
	for name, knows := range v.told {
		switch {
		case !knows:
		case v.tell(ctx, name, v.Sinks[name], Notice{Event: Leader, Severity: Info, Text: "The vacancy is over: " + what + "."}):
			delete(v.told, name)
		default:
			all = false
		}
	}
	return all
}

func (v *Vacancy) tell(ctx context.Context, name string, sink Sink, n Notice) bool {
	ctx, cancel := context.WithTimeout(ctx, tellWithin)
	defer cancel()
	if _, err := sink.Tell(ctx, []Notice{n}, 0, nil); err != nil {
		v.Log.Warn("people are not told for now, it is tried again", "sink", name, "error", err)
		return false
	}
	return true
}
