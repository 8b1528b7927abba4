package service

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"glia/nerve/check"
)

// watch is one service while it is followed.
type watch struct {
	Service
	log     *slog.Logger
	book    *Book
	now     func() time.Time
	began   time.Time // when the beats did
	old     *watch    // that it takes over from; nil for none
	history []*check.History
	bucket  *Bucket
	held    bool // a change is being held back
	ctx     context.Context
	cancel  context.CancelFunc
	done    chan struct{} // closed after the last round
	settled chan struct{} // closed after the first round

	mu     sync.Mutex
	status Status
	last   time.Time // end of the last round
}

func newWatch(life context.Context, s Service, old *watch, o Options, began time.Time) *watch {
	w := &watch{
		Service: s, log: o.Log, book: o.Book, now: o.Now, began: began, old: old, bucket: NewBucket(s.Limit, o.Now()), done: make(chan struct{}), settled: make(chan struct{}),
		status: Status{Name: s.Name, Address: s.Address, Instance: s.Instance, State: Unknown, Announced: Unknown}, last: o.Now(),
	}
	w.ctx, w.cancel = context.WithCancel(life)
	for _, c := range s.Checks {
		w.history = append(w.history, check.NewHistory(c.Rise, c.Fall))
		w.status.Checks = append(w.status.Checks, CheckStatus{Name: c.Name})
	}
	for _, name := range slices.Sorted(maps.Keys(s.Places)) {
		w.status.Places = append(w.status.Places, PlaceStatus{Name: name})
	}
	return w
}

// run follows the service until it is ended. One that takes over probes first; then the rounds of the old one end, the places that both
// have go from what it announced to what should be, and its other places are left.
func (w *watch) run() {
	defer close(w.done)
	settle := sync.OnceFunc(func() {
		if w.old != nil {
			w.old.leave(w.Places)
		}
		close(w.settled)
	})
	stopOld := sync.OnceFunc(func() {
		if w.old != nil {
			w.old.stop()
		}
	})
	defer func() { stopOld(); settle() }()
	for {
		probed := w.probe(w.ctx)
		stopOld()
		if w.ctx.Err() != nil {
			return
		}
		w.report(w.ctx, probed)
		settle()
		select {
		case <-w.ctx.Done():
			return
		case <-time.After(Pause(w.now().Sub(w.began), w.Interval, rand.N(w.Interval/beats+1))):
		}
	}
}

// beats are the moments within an interval at which rounds begin.
const beats = 20

// Pause is how long to wait for the next round, a time after the beginning that all services of a process share: the interval and late, which is
// random and at most one beat, back to the beat before. So not all services of all hosts are asked at one moment, and those that are asked at one
// beat wake the process up once.
func Pause(since, interval, late time.Duration) time.Duration {
	next := since + interval + late
	return next.Truncate(interval/beats) - since // without a beat, in an interval of nanoseconds, nothing is cut
}

// stop ends the rounds.
func (w *watch) stop() {
	w.cancel()
	<-w.done
}

// end stops, and takes the announcements back.
func (w *watch) end() {
	w.stop()
	w.leave(nil)
}

// farewell bounds how long taking an announcement back may take.
const farewell = 5 * time.Second

// leave takes the announcements back, but for those in places that somebody else keeps now.
func (w *watch) leave(kept map[string]Place) {
	ctx, cancel := context.WithTimeout(context.Background(), farewell)
	defer cancel()
	for name, p := range w.Places {
		if kept[name] != nil {
			continue
		}
		if err := p.Leave(ctx); err != nil {
			w.log.Warn("announcement of a service was not taken back; it ends with the session", "service", w.Name, "place", name, "error", err)
		}
	}
}

// probe asks all checks at once.
func (w *watch) probe(ctx context.Context) []error {
	errs := make([]error, len(w.Checks))
	ask := func(i int) {
		ctx, cancel := context.WithTimeout(ctx, w.Checks[i].Timeout)
		defer cancel()
		errs[i] = w.Checks[i].Check.Probe(ctx)
	}
	var all sync.WaitGroup
	for i := range w.Checks {
		if i == len(w.Checks)-1 {
			ask(i) // here, which is all that there is to do for most services
			break
		}
		all.Go(func() { ask(i) })
	}
	all.Wait()
	return errs
}

// judge says whether all checks are up. The reasons are those of the checks whose probe failed, or that are down.
func (w *watch) judge(errs []error) (state State, checks []CheckStatus, reasons []string) {
	state = Up
	for i, c := range w.Checks {
		up := w.history[i].Note(errs[i] == nil)
		one := CheckStatus{Name: c.Name, Up: up}
		if !up {
			state = Down
		}
		switch {
		case errs[i] != nil:
			one.Problem = errs[i].Error()
			reasons = append(reasons, c.Name+": "+one.Problem)
		case !up:
			reasons = append(reasons, fmt.Sprintf("%s: passes again, and is up after %d in a row", c.Name, c.Rise))
		}
		checks = append(checks, one)
	}
	return state, checks, reasons
}

// report brings the places in line with what the checks and the maintenances say.
func (w *watch) report(ctx context.Context, probed []error) {
	now := w.now()
	state, checks, reasons := w.judge(probed)
	w.mu.Lock()
	was := w.status
	w.mu.Unlock()
	next := was
	next.State, next.Checks, next.Reasons, next.Maintenance = state, checks, reasons, w.book.Of(w.Name, now)
	if state != was.State {
		next.Since = now
	}
	next.Announced = state
	switch m := next.Maintenance; {
	case m != nil:
		if next.Announced = Down; m.Drain && state == Up {
			next.Announced = Draining
		}
		next.Reasons = append([]string{m.Words()}, reasons...)
	case state != was.Announced && (was.Announced == Up || was.Announced == Down) && !w.bucket.Take(now):
		if !w.held || w.Limit.Shadow {
			next.HeldBack++
		}
		w.held = true
		if !w.Limit.Shadow {
			next.Announced = was.Announced
			next.Reasons = append(next.Reasons, fmt.Sprintf("held back: more than %g changes each second", w.Limit.Rate))
		}
	}
	if next.Announced != was.Announced || next.Announced == state {
		w.held = false
	}
	next.Places = nil
	for _, p := range was.Places {
		problem := ""
		if err := w.Places[p.Name].Keep(ctx, next.Announced, strings.Join(next.Reasons, "; ")); err != nil {
			problem = err.Error()
		}
		if ctx.Err() != nil {
			return
		}
		next.Places = append(next.Places, PlaceStatus{p.Name, problem})
		if problem != "" && p.Problem == "" {
			w.log.Warn("service is not announced as it should be", "service", w.Name, "place", p.Name, "error", problem)
		}
	}
	w.mu.Lock()
	w.status, w.last = next, w.now()
	w.mu.Unlock()
	if was.State != state || was.Announced != next.Announced {
		w.log.Info("service changed", "service", w.Name, "from", was.State, "to", state, "announced", next.Announced, "reasons", next.Reasons)
	}
}

// alive says whether rounds end in the time that they may take.
func (w *watch) alive(now time.Time) bool {
	longest := 2 * (w.Interval + farewell*time.Duration(1+len(w.Places)))
	for _, c := range w.Checks {
		longest += c.Timeout
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return now.Sub(w.last) <= longest
}
