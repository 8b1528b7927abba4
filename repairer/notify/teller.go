package notify

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/prometheus/client_golang/prometheus"

	"glia/repairer"
)

// Sink takes messages to people. Tell is called by one goroutine at a time, and bounded by its context. What it returns as threads
// is kept and given back with the next message, also after an error, so that it can say what it has done of a message.
type Sink interface {
	Tell(ctx context.Context, notices []Notice, skipped int, threads Threads) (Threads, error)
}

// Splitter is a Sink that takes only some notices in one message.
type Splitter interface {
	// Split returns those that the next message has; the first is among them.
	Split(notices []Notice) []Notice
}

// Threads are what a sink must remember of open cases, by case.
type Threads map[string]string

// Log is what happens.
type Log interface {
	// Log returns the next events after a sequence number, oldest first; none when there are no more.
	Log(ctx context.Context, after uint64) ([]repairer.Event, error)
	// End is the sequence number of the newest event.
	End(ctx context.Context) (uint64, error)
	Case(ctx context.Context, id string) (repairer.Case, error)
	Changed() <-chan struct{}
}

// Position is how far a sink has come.
type Position struct {
	Cursor  uint64      `json:"cursor"`            // all events up to it are done
	Told    []uint64    `json:"told,omitempty"`    // beyond it
	Sent    []time.Time `json:"sent,omitempty"`    // messages of the last hour
	Threads Threads     `json:"threads,omitempty"` // see Sink
}

// Positions keep how far each sink has come.
type Positions interface {
	// Position is that of the sink; known is false for one that was never kept.
	Position(ctx context.Context, sink string) (p Position, known bool, err error)
	Keep(ctx context.Context, sink string, p Position) error
}

const (
	tellWithin = 30 * time.Second
	keepWithin = 5 * time.Second
	mostHeld   = 500 // notices of a sink that does not take them
)

// Teller tells one sink. Run it in one goroutine.
type Teller struct {
	Name      string
	Sink      Sink
	Policy    Policy
	Log       Log
	Positions Positions
	Now       func() time.Time
	Logger    *slog.Logger
	Figures   *Figures

	position Position
	unkept   bool   // position is not in the database, or that is not known
	read     uint64 // the newest event that was looked at
	pending  []Notice
	awaiting map[string]bool // cases whose approval was asked for since the start
	skipped  int
	failed   int
	not      time.Time // nothing is sent before
	wait     *backoff.ExponentialBackOff
}

// Run tells until the context ends.
func (t *Teller) Run(ctx context.Context) {
	t.wait = backoff.NewExponentialBackOff()
	t.wait.InitialInterval, t.wait.MaxInterval = time.Second, 5*time.Minute
	for begun := false; ctx.Err() == nil; {
		changed := t.Log.Changed()
		var again time.Time
		var err error
		if !begun {
			err = t.begin(ctx)
			begun = err == nil
		}
		if err == nil {
			again, err = t.step(ctx)
		}
		if err != nil && ctx.Err() == nil {
			if again = t.Now().Add(t.wait.NextBackOff()); t.failed == 0 {
				t.Logger.Warn("people are not told for now, it is tried again", "sink", t.Name, "error", err)
			}
			t.failed++
			t.not = again
			t.Figures.failed.WithLabelValues(t.Name).Inc()
		}
		t.Figures.pending.WithLabelValues(t.Name).Set(float64(len(t.pending)))
		t.sleep(ctx, changed, again)
	}
}

// sleep waits for something new, or for the time; zero is never.
func (t *Teller) sleep(ctx context.Context, changed <-chan struct{}, until time.Time) {
	var timer <-chan time.Time
	if !until.IsZero() {
		c := time.NewTimer(until.Sub(t.Now()))
		defer c.Stop()
		timer = c.C
	}
	select {
	case <-ctx.Done():
	case <-changed:
	case <-timer:
	}
}

// begin finds where the sink stands. One that is new begins at the end of the log.
func (t *Teller) begin(ctx context.Context) error {
	p, known, err := t.Positions.Position(ctx, t.Name)
	if err != nil {
		return err
	}
	if !known {
		if p.Cursor, err = t.Log.End(ctx); err != nil {
			return err
		}
		if err := t.Positions.Keep(ctx, t.Name, p); err != nil {
			return err
		}
	}
	t.position, t.read, t.awaiting = p, p.Cursor, map[string]bool{}
	return nil
}

// step reads what is new, and tells what is due. It returns when to come again if nothing happens before.
func (t *Teller) step(ctx context.Context) (time.Time, error) {
	if err := t.look(ctx); err != nil {
		return time.Time{}, err
	}
	now := t.Now()
	tell, again, _ := t.Policy.Due(t.pending, t.position.Sent, now)
	if len(tell) == 0 {
		return again, t.advance(ctx)
	}
	if now.Before(t.not) {
		return t.not, nil
	}
	if s, ok := t.Sink.(Splitter); ok {
		tell = s.Split(tell)
	}
	within, cancel := context.WithTimeout(ctx, tellWithin)
	threads, err := t.Sink.Tell(within, tell, t.skipped, t.position.Threads)
	cancel()
	t.position.Threads = threads
	if err != nil {
		return time.Time{}, errors.Join(err, t.keep(ctx))
	}
	if t.failed > 0 {
		t.Logger.Info("people are told again", "sink", t.Name)
	}
	t.failed, t.not, t.skipped = 0, time.Time{}, 0
	t.wait.Reset()
	t.Figures.told.WithLabelValues(t.Name).Add(float64(len(tell)))
	t.position.Sent = append(lastHour(t.position.Sent, now), now)
	for _, n := range tell {
		t.position.Told = append(t.position.Told, n.Seq)
	}
	t.pending = slices.DeleteFunc(t.pending, func(n Notice) bool { return slices.Contains(t.position.Told, n.Seq) })
	if err := t.settle(ctx); err != nil {
		return time.Time{}, err
	}
	return now, nil // perhaps more is due
}

// look makes notices of the events that are new.
func (t *Teller) look(ctx context.Context) error {
	for {
		events, err := t.Log.Log(ctx, t.read)
		if err != nil {
			return err
		}
		if len(events) == 0 {
			return nil
		}
		for _, e := range events {
			var c repairer.Case
			if _, told := Of(e, c); told && e.Case != "" {
				if c, err = t.Log.Case(ctx, e.Case); err != nil {
					return err
				}
			}
			if n, told := Of(e, c); told && t.news(e, n) && t.Policy.Wants(n) && !slices.Contains(t.position.Told, n.Seq) {
				t.pending = append(t.pending, n)
			}
			t.read = e.Seq
		}
		if more := len(t.pending) - mostHeld; more > 0 {
			t.pending = slices.Delete(t.pending, 0, more)
			t.skipped += more
		}
	}
}

// news is false for an approval that is waited for already: the log says so again whenever something else holds the case back.
func (t *Teller) news(e repairer.Event, n Notice) bool {
	if n.Event == Approval && t.awaiting[e.Case] {
		return false
	}
	switch {
	case n.Event == Approval:
		t.awaiting[e.Case] = true
	case n.Event == Started, n.Event == Ended:
		delete(t.awaiting, e.Case)
	}
	return true
}

// advance keeps what could not be kept before, and moves the cursor over what nobody needs to be told, now and then.
func (t *Teller) advance(ctx context.Context) error {
	if !t.unkept && (len(t.pending) > 0 || t.read < t.position.Cursor+1000) {
		return nil
	}
	return t.settle(ctx)
}

// settle keeps the position: the cursor is before the first notice that waits.
func (t *Teller) settle(ctx context.Context) error {
	t.position.Cursor = t.read
	if len(t.pending) > 0 {
		t.position.Cursor = t.pending[0].Seq - 1
	}
	t.position.Told = slices.DeleteFunc(t.position.Told, func(seq uint64) bool { return seq <= t.position.Cursor })
	return t.keep(ctx)
}

// keep writes the position down. What was told must be known after the end, too.
func (t *Teller) keep(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keepWithin)
	defer cancel()
	err := t.Positions.Keep(ctx, t.Name, t.position)
	t.unkept = err != nil
	return err
}

// Figures are the metrics of all sinks. It is a prometheus.Collector.
type Figures struct {
	told, failed *prometheus.CounterVec
	pending      *prometheus.GaugeVec
}

// NewFigures makes them.
func NewFigures() *Figures {
	return &Figures{
		told:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "glia_notices_total", Help: "Notices that a sink has taken."}, []string{"sink"}),
		failed:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "glia_notices_failed_total", Help: "Attempts to tell a sink that did not succeed."}, []string{"sink"}),
		pending: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "glia_notices_pending", Help: "Notices that wait for a sink, its grouping, its rate, its quiet hours or its digest."}, []string{"sink"}),
	}
}

// Describe is part of prometheus.Collector.
func (f *Figures) Describe(ch chan<- *prometheus.Desc) {
	f.told.Describe(ch)
	f.failed.Describe(ch)
	f.pending.Describe(ch)
}

// Collect is part of prometheus.Collector.
func (f *Figures) Collect(ch chan<- prometheus.Metric) {
	f.told.Collect(ch)
	f.failed.Collect(ch)
	f.pending.Collect(ch)
}

var _ prometheus.Collector = (*Figures)(nil)
