package queue

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// Timer becomes an event at its time.
type Timer struct {
	Key     string // of two timers with one key, only the later one is kept
	Due     time.Time
	Type    string // of the event
	Payload string
}

// Set sets a timer, or sets the one with that key anew, in the transaction of its caller. One that is due in the past
// fires at once.
func Set(ctx context.Context, tx Tx, t Timer) error {
	if err := check(t.Key, t.Type, t.Payload); err != nil {
		return fmt.Errorf("set timer: %w", err)
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO timers (key, due, type, payload) VALUES ($1, $2, $3, $4)
		ON CONFLICT (key) DO UPDATE SET due = excluded.due, type = excluded.type, payload = excluded.payload`, t.Key, t.Due.UnixNano(), t.Type, t.Payload)
	if err != nil {
		return fmt.Errorf("set timer %s: %w", t.Key, err)
	}
	return nil
}

// Cancel takes a timer back. It says false when there is none, because it has fired or was never set.
func Cancel(ctx context.Context, tx Tx, key string) (bool, error) {
	r, err := tx.ExecContext(ctx, `DELETE FROM timers WHERE key = $1`, key)
	if err != nil {
		return false, fmt.Errorf("cancel timer %s: %w", key, err)
	}
	n, err := r.RowsAffected()
	return n > 0, err
}

// fire makes events of the timers that are due, in the order of their times. The timer goes in the same transaction in
// which its event comes, so no clock, however it is set, fires it twice.
func (q *Queue) fire(ctx context.Context) error {
	for {
		var t Timer
		var due int64
		fired := false
		err := q.tx(ctx, func(tx *sql.Tx) error {
			now := q.o.Now()
			row := tx.QueryRowContext(ctx, `DELETE FROM timers WHERE key = (SELECT key FROM timers WHERE due <= $1 ORDER BY due, key LIMIT 1) RETURNING key, due, type, payload`, now.UnixNano())
			if err := row.Scan(&t.Key, &due, &t.Type, &t.Payload); err != nil {
				return none(err)
			}
			fired = true
			_, _, err := Publish(ctx, tx, Event{Key: fmt.Sprintf("timer/%s/%d", t.Key, due), Type: t.Type, Payload: t.Payload}, now)
			return err
		})
		if err != nil {
			return fmt.Errorf("fire timer %s: %w", t.Key, err)
		}
		if !fired {
			return nil
		}
	}
}
