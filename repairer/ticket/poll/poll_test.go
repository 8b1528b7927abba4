package poll_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"glia"
	"glia/repairer"
	"glia/repairer/ticket/poll"
)

// site is a tracker that answers after a while.
type site struct {
	repairer.Tracker
	takes time.Duration

	mu       sync.Mutex
	status   map[string]string
	requests []time.Time
	down     bool
	before   func() // a request is on its way
}

func (s *site) Statuses(_ context.Context, ids []string) (out []repairer.Ticket, err error) {
	s.mu.Lock()
	s.requests = append(s.requests, time.Now())
	for _, id := range ids {
		if st, ok := s.status[id]; ok {
			out = append(out, repairer.Ticket{ID: id, Status: st})
		}
	}
	if s.before != nil {
		s.before()
	}
	down := s.down
	s.mu.Unlock()
	time.Sleep(s.takes)
	if down {
		return nil, errors.New("down")
	}
	return out, nil
}

func (s *site) Reopen(_ context.Context, _, id, _ string) error {
	s.do(func() { s.status[id] = repairer.TicketOpen })
	return nil
}

func (s *site) do(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

func run(t *testing.T, s *site, o poll.Options, test func(t *testing.T, w *poll.Watch)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		o.Log = slog.New(slog.DiscardHandler)
		w := poll.New(s, o)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- w.Run(ctx) }()
		test(t, w)
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// 10,000 open cases, a tracker that takes 200 ms for an answer: one look within a minute, and never more
// requests than allowed.
func TestWatch_SeesAnAnswerWithinOneIntervalAndKeepsTheRate(t *testing.T) {
	t.Parallel()
	s := &site{takes: 200 * time.Millisecond, status: map[string]string{}}
	run(t, s, poll.Options{Every: time.Minute, Rate: 5}, func(t *testing.T, w *poll.Watch) {
		for i := range 10000 {
			id := fmt.Sprintf("OPS-%d", i)
			s.do(func() { s.status[id] = repairer.TicketOpen })
			if _, err := w.Ticket(t.Context(), id); !errors.Is(err, repairer.ErrNotAsked) {
				t.Fatalf("%s: %v", id, err)
			}
		}
		time.Sleep(3 * time.Minute)
		s.do(func() { s.status["OPS-9999"] = repairer.TicketResolved })
		resolved := time.Now()
		for {
			if tk, err := w.Ticket(t.Context(), "OPS-9999"); err == nil && tk.Status == repairer.TicketResolved {
				break
			}
			time.Sleep(time.Second)
		}
		// Each of the 100 requests of a look comes at its own time after the beginning, give or take the answer and what the rate allows.
		if d := time.Since(resolved); d > 62*time.Second {
			t.Errorf("seen after %s", d)
		}
	})
	most := 0
	for i, from := range s.requests {
		n := 0
		for _, at := range s.requests[i:] {
			if at.Sub(from) < 10*time.Second {
				n++
			}
		}
		most = max(most, n)
	}
	if most > 55 || most < 20 { // five a second, after a burst of five
		t.Errorf("up to %d requests in 10 s", most)
	}
}

func TestWatch_BacksOffFromATrackerThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	s := &site{status: map[string]string{"T-1": repairer.TicketResolved}}
	run(t, s, poll.Options{Every: time.Minute, Rate: 5}, func(t *testing.T, w *poll.Watch) {
		_, _ = w.Ticket(t.Context(), "T-1")
		time.Sleep(2 * time.Minute)
		s.do(func() { s.down, s.requests = true, nil })
		for range 4 * 60 {
			time.Sleep(time.Minute)
			if tk, err := w.Ticket(t.Context(), "T-1"); err != nil || tk.Status != repairer.TicketResolved {
				t.Fatalf("what was known is lost: %+v, %v", tk, err)
			}
		}
		s.do(func() {
			if n := len(s.requests); n < 25 || n > 40 {
				t.Errorf("%d requests in 4 h", n)
			}
			s.down, s.status = false, nil
		})
		var err error
		for range 10 {
			time.Sleep(time.Minute)
			_, err = w.Ticket(t.Context(), "T-1")
		}
		if !errors.Is(err, glia.ErrNotFound) {
			t.Errorf("a ticket that is gone: %v", err)
		}
		time.Sleep(time.Hour) // nobody asks about it any more
		s.do(func() { s.requests = nil })
		time.Sleep(time.Hour)
		s.do(func() {
			if n := len(s.requests); n > 0 {
				t.Errorf("%d requests about what nobody wants to know", n)
			}
		})
	})
}

// A look that began before the ticket was given back does not bring its old state back.
func TestWatch_KnowsNothingOlderThanOurOwnChange(t *testing.T) {
	t.Parallel()
	s := &site{takes: time.Second, status: map[string]string{"T-1": repairer.TicketResolved}}
	var seen atomic.Int64
	run(t, s, poll.Options{Every: time.Minute, Rate: 100, Seen: func() { seen.Add(1) }}, func(t *testing.T, w *poll.Watch) {
		_, _ = w.Ticket(t.Context(), "T-1")
		on := make(chan struct{})
		s.do(func() { s.before = func() { s.before = nil; close(on) } })
		w.Hint()
		<-on
		if err := w.Tracker().Reopen(t.Context(), "k", "T-1", "empty"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(1100 * time.Millisecond)
		if tk, err := w.Ticket(t.Context(), "T-1"); err == nil && tk.Status != repairer.TicketOpen {
			t.Errorf("old state %+v", tk)
		}
		time.Sleep(2 * time.Second) // the change has asked for a look
		if tk, err := w.Ticket(t.Context(), "T-1"); err != nil || tk.Status != repairer.TicketOpen || seen.Load() == 0 {
			t.Errorf("after the next look: %+v, %v, seen %d", tk, err, seen.Load())
		}
	})
}
