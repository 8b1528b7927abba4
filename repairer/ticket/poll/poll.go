// Package poll stands between the engine and a tracker that is elsewhere. It asks for the states of all tickets
// that the engine waits for, from time to time and many in one request, so that what the engine looks at each second
// costs the tracker nothing; and it keeps all requests within a rate.
//
// It guarantees that a state is never older than the last change that this repairer has made, and that nothing is
// made up: what the tracker has not told yet is an error. While the tracker does not answer, the last states stay, and
// the time between two looks grows.
package poll

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"glia"
	"glia/repairer"
)

// Many reads the states of many tickets in one request. Those that do not exist are left out.
type Many interface {
	Statuses(ctx context.Context, ids []string) ([]repairer.Ticket, error)
}

// Options say how often the tracker is asked. Needed are all but Seen.
type Options struct {
	Every time.Duration // from the beginning of a look at everything to that of the next, at most; a fifth less at least
	Rate  float64       // requests a second
	Log   *slog.Logger
	Seen  func() // called when a state has changed; it must not block
}

const (
	batch     = 100              // tickets in one request
	longest   = 8                // times Every, between two looks at a tracker that does not answer
	within    = 30 * time.Second // for one request
	breath    = 10               // part of Every that is left to the tracker after a look, however long that took
	forgotten = 10               // looks after which a ticket that nobody asks about is left out
)

var _ repairer.Answers = (*Watch)(nil)

// Watch knows the states of tickets. It is safe for concurrent use.
type Watch struct {
	Options
	tracker repairer.Tracker
	limit   *rate.Limiter
	hint    chan struct{}

	mu    sync.Mutex
	known map[string]*state
	looks int // so far
}

// state is what is known of a ticket.
type state struct {
	ticket  repairer.Ticket
	known   bool
	missing bool
	changes int // by this repairer; what was read before one of them does not count
	wanted  int // the look before which it was asked about last
}

// New makes the watch of a tracker. Tracker is what the engine must use, so that its changes are seen.
func New(t repairer.Tracker, o Options) *Watch {
	return &Watch{Options: o, tracker: t, limit: rate.NewLimiter(rate.Limit(o.Rate), max(1, int(o.Rate))), hint: make(chan struct{}, 1), known: map[string]*state{}}
}

// Ticket is the last known state of a ticket, without its text and its comments. It asks nobody.
func (w *Watch) Ticket(_ context.Context, id string) (repairer.Ticket, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.known[id]
	if s == nil {
		s = &state{}
		w.known[id] = s
	}
	s.wanted = w.looks
	switch {
	case !s.known:
		return repairer.Ticket{}, repairer.ErrNotAsked
	case s.missing:
		return repairer.Ticket{}, glia.ErrNotFound
	}
	return s.ticket, nil
}

// Hint makes Run look now, because the tracker says that something has changed.
func (w *Watch) Hint() {
	select {
	case w.hint <- struct{}{}:
	default:
	}
}

// Run looks until the context ends.
func (w *Watch) Run(ctx context.Context) error {
	failed := 0
	for {
		began := time.Now()
		err := w.look(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && failed == 0:
			w.Log.Warn("tracker does not tell what people have answered, it is asked again", "error", err)
		case err == nil && failed > 0:
			w.Log.Info("tracker tells again what people have answered")
		}
		if failed++; err == nil {
			failed = 0
		}
		next := pause(w.Every, failed, rand.Float64()) - time.Since(began) //nolint:gosec // spreads load, hides nothing
		wait := time.NewTimer(max(next, w.Every/breath))
		select {
		case <-ctx.Done():
			wait.Stop()
			return nil
		case <-w.hint:
			wait.Stop()
		case <-wait.C:
		}
	}
}

// pause is the time from one look to the next. Chance is 0 to 1.
func pause(every time.Duration, failed int, chance float64) time.Duration {
	times := min(1<<min(failed, 10), longest)
	if failed == 0 {
		times = 1
	}
	return time.Duration(float64(every) * float64(times) * (0.8 + 0.2*chance))
}

// look asks for all tickets that the engine has asked about lately.
func (w *Watch) look(ctx context.Context) error {
	w.mu.Lock()
	w.looks++
	var ids []string
	for id, s := range w.known {
		if w.looks-s.wanted > forgotten {
			delete(w.known, id)
			continue
		}
		ids = append(ids, id)
	}
	w.mu.Unlock()
	slices.Sort(ids)
	size := 1
	if _, ok := w.tracker.(Many); ok {
		size = batch
	}
	for part := range slices.Chunk(ids, size) {
		if err := w.ask(ctx, part); err != nil {
			return err
		}
	}
	return nil
}

func (w *Watch) ask(ctx context.Context, ids []string) error {
	if err := w.limit.Wait(ctx); err != nil {
		return err
	}
	before := w.changes(ids)
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	found, err := w.read(ctx, ids)
	if err != nil {
		return err
	}
	news := false
	w.mu.Lock()
	for i, id := range ids {
		s := w.known[id]
		if s == nil || s.changes != before[i] {
			continue // it was changed by us meanwhile: the answer may be from before that
		}
		at := slices.IndexFunc(found, func(t repairer.Ticket) bool { return t.ID == id })
		was := *s
		s.known, s.missing = true, at < 0
		if at >= 0 {
			t := found[at]
			t.Title, t.Body, t.Comments = "", "", nil // there may be thousands of tickets
			s.ticket = t
		}
		news = news || !was.known || was.missing != s.missing || was.ticket.Status != s.ticket.Status || was.ticket.Resolution != s.ticket.Resolution
	}
	w.mu.Unlock()
	if news && w.Seen != nil {
		w.Seen()
	}
	return nil
}

// read asks in one request, or for one ticket.
func (w *Watch) read(ctx context.Context, ids []string) ([]repairer.Ticket, error) {
	if m, ok := w.tracker.(Many); ok {
		return m.Statuses(ctx, ids)
	}
	t, err := w.tracker.Ticket(ctx, ids[0])
	switch {
	case errors.Is(err, glia.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, err
	}
	t.ID = ids[0]
	return []repairer.Ticket{t}, nil
}

func (w *Watch) changes(ids []string) []int {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make([]int, len(ids))
	for i, id := range ids {
		if s := w.known[id]; s != nil {
			out[i] = s.changes
		}
	}
	return out
}
