package queue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"glia"
	"glia/repairer"
)

// Handler handles one event. It is run again when it has returned an error, or when the repairer ended before it
// returned, so it must be idempotent.
type Handler func(ctx context.Context, e Event) error

// Options are what a Queue is made of. All are needed.
type Options struct {
	Epoch    uint64             // under which the database was opened
	Handlers map[string]Handler // by the type of event
	Timeout  time.Duration      // of one attempt
	Attempts int                // until an event is dead; those that ended with the repairer count
	RetryMin time.Duration      // wait after the first failed attempt; it doubles
	RetryMax time.Duration
	Now      func() time.Time
	Log      *slog.Logger
}

// Queue handles the events of one database while its repairer leads. It is safe for concurrent use.
type Queue struct {
	db *sql.DB
	o  Options

	mu   sync.Mutex
	open []end // of claims that the database has not taken, or has taken without an answer
}

// end is what became of a claim.
type end struct {
	Event
	after    State
	next     time.Time // while waiting: not before; zero: at once
	problem  string
	attempts int // that count from now on
}

// New makes a queue on an open database of the repairer. It does nothing until Run or Work is called.
func New(db *sql.DB, o Options) *Queue { return &Queue{db: db, o: o} }

// interval is how often Run looks for timers and events that are due. It is also how late one may be.
const interval = time.Second

// Run works until the context ends, or until another repairer leads or the queue is ErrSetBack, which it returns.
func (q *Queue) Run(ctx context.Context) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	whole, failing := false, false
	for {
		var err error
		if !whole {
			err = q.whole(ctx)
			whole = err == nil
		}
		if whole {
			err = q.Work(ctx)
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, glia.ErrStaleEpoch), errors.Is(err, ErrSetBack):
			return err
		case err != nil && !failing:
			q.o.Log.Error("queue can not be worked on, trying again", "error", err)
		case err == nil && failing:
			q.o.Log.Info("queue is worked on again")
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// whole refuses a queue whose ids would be given again: events under them would not be told from old ones.
func (q *Queue) whole(ctx context.Context) error {
	var last, pruned, highest uint64
	row := q.db.QueryRowContext(ctx, `SELECT last, pruned, (SELECT coalesce(max(id), 0) FROM queue) FROM queue_count`)
	if err := row.Scan(&last, &pruned, &highest); err != nil {
		return fmt.Errorf("read the counter of the queue: %w", err)
	}
	if last < max(pruned, highest) {
		return fmt.Errorf("%w: it is at %d, and there was event %d; restore the database from one whole backup, or set queue_count.last to %[3]d", ErrSetBack, last, max(pruned, highest))
	}
	return nil
}

// Work fires the timers and handles the events that are due, one after the other, until none is. An error is one of
// the database; handlers' errors are kept with their events.
func (q *Queue) Work(ctx context.Context) error {
	if err := q.catchUp(ctx); err != nil {
		return fmt.Errorf("end a claim: %w", err)
	}
	if err := q.fire(ctx); err != nil {
		return err
	}
	handled := false
	for {
		e, err := q.claim(ctx)
		if err != nil {
			return fmt.Errorf("claim an event: %w", err)
		}
		if e.ID == 0 {
			break
		}
		handled = true
		if err := q.handle(ctx, e); err != nil {
			return fmt.Errorf("event %d (%s): %w", e.ID, e.Type, err)
		}
	}
	if handled {
		return q.prune(ctx)
	}
	return nil
}

// claim takes the first event that is due, or one that an earlier epoch had claimed; none has the id 0. A next time that is further away than
// any wait can be comes from a clock that was ahead, and does not count. The event is chosen first, so that it is known what was asked
// for when the answer of the claim is lost.
func (q *Queue) claim(ctx context.Context) (Event, error) {
	now := q.o.Now()
	horizon := now.Add(2 * q.o.RetryMax).UnixNano()
	const due = `(state = 'waiting' AND (next <= $1 OR next > $2) OR state = 'claimed' AND epoch < $3)`
	for {
		var e Event
		var at int64
		row := q.db.QueryRowContext(ctx, `SELECT id, key, type, payload, at, attempts FROM queue
			WHERE id = (SELECT min(id) FROM queue WHERE state IN ('waiting', 'claimed') AND `+due+`)`, now.UnixNano(), horizon, q.o.Epoch)
		if err := row.Scan(&e.ID, &e.Key, &e.Type, &e.Payload, &at, &e.Attempts); err != nil {
			return Event{}, none(err)
		}
		before := e.Attempts
		e.At, e.State, e.Attempts = time.Unix(0, at).UTC(), Claimed, before+1
		r, err := q.db.ExecContext(ctx, `UPDATE queue SET state = 'claimed', epoch = $3, attempts = attempts + 1 WHERE id = $4 AND attempts = $5 AND `+due,
			now.UnixNano(), horizon, q.o.Epoch, e.ID, before)
		if err != nil {
			q.keep(ctx, end{Event: e, after: Waiting, attempts: before})
			return Event{}, err
		}
		if n, err := r.RowsAffected(); err != nil || n > 0 {
			return e, err
		} // else another one was faster
	}
}

// handle runs the handler of an event that this queue has claimed, and writes down what came of it.
func (q *Queue) handle(ctx context.Context, e Event) error {
	handler, known := q.o.Handlers[e.Type]
	switch {
	case !known:
		return q.bury(ctx, e, fmt.Sprintf("no handler of events of type %s: of a newer version?", e.Type))
	case e.Attempts > q.o.Attempts: // it was claimed that often, and nobody lived to say what came of it
		return q.bury(ctx, e, fmt.Sprintf("the repairer ended %d times while it was handled", q.o.Attempts))
	}
	within, cancel := context.WithTimeout(ctx, q.o.Timeout)
	err := handler(within, e)
	cancel()
	switch {
	case ctx.Err() != nil || errors.Is(err, glia.ErrStaleEpoch): // the next leader handles it again
		return errors.Join(err, ctx.Err())
	case err == nil:
		return q.settle(ctx, end{e, Done, time.Time{}, "", e.Attempts})
	case e.Attempts >= q.o.Attempts:
		return q.bury(ctx, e, err.Error())
	}
	wait := repairer.Backoff(e.Attempts, q.o.RetryMin, q.o.RetryMax, e.Key)
	q.o.Log.Warn("event could not be handled, trying again", "event", e.ID, "type", e.Type, "attempt", e.Attempts, "wait", wait, "error", err)
	return q.settle(ctx, end{e, Waiting, q.o.Now().Add(wait), err.Error(), e.Attempts})
}

func (q *Queue) bury(ctx context.Context, e Event, problem string) error {
	q.o.Log.Error("event is dead, a person must see to it", "event", e.ID, "type", e.Type, "problem", problem)
	return q.settle(ctx, end{e, Dead, time.Time{}, problem, e.Attempts})
}

// settle ends a claim, unless it is another one by now.
func (q *Queue) settle(ctx context.Context, x end) error {
	var after int64
	if !x.next.IsZero() {
		after = x.next.UnixNano()
	}
	_, err := q.db.ExecContext(ctx, `UPDATE queue SET state = $1, next = $2, problem = $3, attempts = $4 WHERE id = $5 AND state = 'claimed' AND epoch = $6 AND attempts = $7`,
		string(x.after), after, x.problem, x.attempts, x.ID, q.o.Epoch, x.Attempts)
	if err != nil {
		q.keep(ctx, x)
	}
	return err
}

// keep remembers the end of a claim that the database has not confirmed: nobody else ends it before the next leader does. Nor does this
// queue once its context has ended.
func (q *Queue) keep(ctx context.Context, x end) {
	if ctx.Err() != nil {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.open = append(q.open, x)
}

// catchUp ends the claims whose end the database has not confirmed.
func (q *Queue) catchUp(ctx context.Context) error {
	q.mu.Lock()
	open := q.open
	q.open = nil
	q.mu.Unlock()
	var errs []error
	for _, x := range open {
		errs = append(errs, q.settle(ctx, x))
	}
	return errors.Join(errs...)
}

// prune forgets the oldest of the events that are done.
func (q *Queue) prune(ctx context.Context) error {
	var upTo uint64
	err := q.db.QueryRowContext(ctx, `SELECT id FROM queue WHERE state = 'done' ORDER BY id DESC LIMIT 1 OFFSET $1`, keepDone).Scan(&upTo)
	if err != nil {
		return none(err)
	}
	return q.tx(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `UPDATE queue_count SET pruned = $1 WHERE pruned < $1`, upTo); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `DELETE FROM queue WHERE state = 'done' AND id <= $1`, upTo)
		return err
	})
}

func (q *Queue) tx(ctx context.Context, do func(*sql.Tx) error) error {
	tx, err := q.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // does nothing after a commit
	if err := do(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// none makes no error of an absent row.
func none(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	return err
}
