package poll_test

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"testing"
	"time"

	"glia/internal/figures"
	"glia/repairer"
	"glia/repairer/ticket/poll"
)

// BenchmarkWatch_10000Tickets watches 10,000 tickets of a tracker that takes 200 ms for each answer and allows five requests a
// second, every 30 s.
func BenchmarkWatch_10000Tickets(b *testing.B) {
	const tickets, every, allowed = 10000, 30 * time.Second, 5
	s := &site{takes: 200 * time.Millisecond, status: map[string]string{}}
	w := poll.New(s, poll.Options{Every: every, Rate: allowed, Log: slog.New(slog.DiscardHandler)})
	want := func() {
		for i := range tickets {
			_, _ = w.Ticket(b.Context(), fmt.Sprintf("OPS-%05d", i)) // the engine does so at each tick
		}
	}
	for i := range tickets {
		s.status[fmt.Sprintf("OPS-%05d", i)] = repairer.TicketOpen
	}
	want()
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error)
	go func() { ended <- w.Run(ctx) }()
	seen := func(id string) time.Duration {
		began := time.Now()
		s.do(func() { s.status[id] = repairer.TicketResolved })
		for {
			want()
			if tk, err := w.Ticket(ctx, id); err == nil && tk.Status == repairer.TicketResolved {
				return time.Since(began)
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
	seen("OPS-09999") // the first look
	before := live()
	var longest time.Duration
	for b.Loop() {
		for _, id := range []string{"OPS-09998", "OPS-00001", "OPS-05000"} {
			longest = max(longest, seen(id))
		}
	}
	grown := live() - before
	cancel()
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
	most := 0
	for i, from := range s.requests {
		n := i
		for n < len(s.requests) && s.requests[n].Sub(from) < every {
			n++
		}
		most = max(most, n-i)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(longest.Seconds(), "s-until-noticed")
	b.ReportMetric((every + time.Second).Seconds(), "s-until-noticed"+figures.AtMost)
	b.ReportMetric(float64(most)/every.Seconds(), "requests/s")
	b.ReportMetric(allowed, "requests/s"+figures.AtMost)
	b.ReportMetric(grown/1e6, "MB-grown")
	b.ReportMetric(1, "MB-grown"+figures.AtMost)
}

// live is the memory that is in use, in bytes.
func live() float64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}
