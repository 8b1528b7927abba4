package repairer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"glia"
)

// outbox is what trackers must still be told. What is in it is derived from the log: the notices of the
// open cases, in their order. Kept in memory is only when a tracker that did not answer is asked again. It
// is safe for concurrent use.
type outbox struct {
	mu    sync.Mutex
	tries map[string]try // by case; none: the last call succeeded
}

// try is what became of the last calls for a case.
type try struct {
	failed  int
	at      time.Time
	problem string
}

// patience bounds one call of a tracker, so that one that hangs does not hold up its case for longer.
const patience = 10 * time.Second

func (o *outbox) last(id string) try {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.tries[id]
}

// note keeps what became of a call, and says whether that is news.
func (o *outbox) note(id string, err error, now time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	was := o.tries[id]
	if err == nil {
		delete(o.tries, id)
		return was.failed > 0
	}
	if o.tries == nil {
		o.tries = map[string]try{}
	}
	o.tries[id] = try{was.failed + 1, now, brief(err)}
	return was.failed == 0
}

// due says whether the tracker may be asked again for the case.
func (e *Engine) due(c Case) bool {
	t := e.outbox.last(c.ID)
	return t.failed == 0 || !e.Now().Before(t.at.Add(Backoff(t.failed, e.RetryMin, e.RetryMax, c.Key("tracker"))))
}

// call asks the tracker on behalf of a case. One that can not be reached is asked again later, with growing
// waits, for as long as it takes; that parks no case.
func (e *Engine) call(ctx context.Context, c Case, do func(context.Context) error) error {
	within, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := do(within)
	if errors.Is(err, glia.ErrStaleEpoch) || ctx.Err() != nil {
		return err
	}
	if news := e.outbox.note(c.ID, err, e.Now()); news && err != nil {
		e.Log.Warn("tracker does not take what it is told, it is asked again", "case", c.ID, "ticket", c.Ticket, "error", err)
	} else if news {
		e.Log.Info("tracker takes what it is told again", "case", c.ID, "ticket", c.Ticket)
	}
	return err
}

// track is call for a step that must have succeeded before the case can go on.
func (e *Engine) track(ctx context.Context, c Case, do func(context.Context) error) error {
	if !e.due(c) {
		return runningError{Progress{Waits: waitsForTracker(e.outbox.last(c.ID).problem)}}
	}
	err := e.call(ctx, c, do)
	if err == nil || errors.Is(err, glia.ErrStaleEpoch) || ctx.Err() != nil {
		return err
	}
	return runningError{Progress{Waits: waitsForTracker(brief(err))}}
}

func waitsForTracker(problem string) string { return "waits for the tracker: " + problem }

// deliver tells the ticket the oldest thing that it does not know. The key makes the tracker take it once. As before
// every act, the store confirms first that this repairer leads and that the case is as it was.
func (e *Engine) deliver(ctx context.Context, c Case) error {
	if err := e.Store.Current(ctx, c.ID, c.Seq); err != nil {
		return err
	}
	n := c.Untold[0]
	key := c.Key(fmt.Sprint("notice/", n.Seq))
	tell := e.Tracker.Comment
	if n.Reopen {
		tell = e.Tracker.Reopen
	}
	text := "the ticket was told"
	err := e.call(ctx, c, func(ctx context.Context) error { return tell(ctx, key, c.Ticket, n.Text) })
	switch {
	case errors.Is(err, glia.ErrStaleEpoch), ctx.Err() != nil:
		return err
	case errors.Is(err, glia.ErrNotFound): // nothing would change that
		e.outbox.note(c.ID, nil, e.Now())
		text = "the ticket could not be told: " + brief(err)
	case err != nil:
		return nil
	}
	_, err = e.record(ctx, c, KindTold, "", text, Data{})
	return err
}

// reopening says whether the ticket is about to be given back to its person: until then what it says about
// the work counts no more.
func reopening(c Case) bool {
	return slices.ContainsFunc(c.Untold, func(n Notice) bool { return n.Reopen })
}

// Undelivered is what trackers must still be told.
type Undelivered struct {
	Count   int
	Oldest  time.Time // since when the oldest waits; zero when nothing does
	Problem string    // why the last delivery did not succeed; empty: none was tried in vain
}

func (e *Engine) undelivered(cases []*Case) Undelivered {
	var u Undelivered
	for _, c := range cases {
		for _, n := range c.Untold {
			if u.Count++; u.Oldest.IsZero() || n.At.Before(u.Oldest) {
				u.Oldest = n.At
			}
		}
		if t := e.outbox.last(c.ID); t.failed > 0 {
			u.Problem = t.problem
		}
	}
	return u
}
