package queue

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"glia"
)

// List returns the events that wait, are claimed or are dead, in their order; with all, also those that are done.
func List(ctx context.Context, db *sql.DB, all bool) (out []Event, err error) {
	rows, err := db.QueryContext(ctx, `SELECT id, key, type, payload, at, state, attempts, next, problem FROM queue WHERE state <> 'done' OR $1 ORDER BY id`, all)
	if err != nil {
		return nil, fmt.Errorf("list the queue: %w", err)
	}
	defer func() { _ = rows.Close() }() // its error is rows.Err's
	for rows.Next() {
		var e Event
		var at, next int64
		if err := rows.Scan(&e.ID, &e.Key, &e.Type, &e.Payload, &at, &e.State, &e.Attempts, &next, &e.Problem); err != nil {
			return nil, fmt.Errorf("list the queue: %w", err)
		}
		e.At = time.Unix(0, at).UTC()
		if next != 0 {
			e.Next = time.Unix(0, next).UTC()
		}
		out = append(out, e)
	}
	return out, rows.Err()
}

// Timers returns the timers that have not fired, the next one first.
func Timers(ctx context.Context, db *sql.DB) (out []Timer, err error) {
	rows, err := db.QueryContext(ctx, `SELECT key, due, type, payload FROM timers ORDER BY due, key`)
	if err != nil {
		return nil, fmt.Errorf("list the timers: %w", err)
	}
	defer func() { _ = rows.Close() }() // its error is rows.Err's
	for rows.Next() {
		var t Timer
		var due int64
		if err := rows.Scan(&t.Key, &due, &t.Type, &t.Payload); err != nil {
			return nil, fmt.Errorf("list the timers: %w", err)
		}
		t.Due = time.Unix(0, due).UTC()
		out = append(out, t)
	}
	return out, rows.Err()
}

// Replay gives a dead event its attempts again. Without a dead event of that id it returns glia.ErrNotFound.
func Replay(ctx context.Context, tx Tx, id uint64) error {
	return one(ctx, tx, id, `UPDATE queue SET state = 'waiting', attempts = 0, next = 0 WHERE id = $1 AND state = 'dead'`)
}

// Drop takes a dead event for done. Without a dead event of that id it returns glia.ErrNotFound.
func Drop(ctx context.Context, tx Tx, id uint64) error {
	return one(ctx, tx, id, `UPDATE queue SET state = 'done' WHERE id = $1 AND state = 'dead'`)
}

func one(ctx context.Context, tx Tx, id uint64, query string) error {
	r, err := tx.ExecContext(ctx, query, id)
	if err != nil {
		return fmt.Errorf("event %d: %w", id, err)
	}
	if n, err := r.RowsAffected(); err != nil || n == 0 {
		if err == nil {
			err = glia.ErrNotFound
		}
		return fmt.Errorf("dead event %d: %w", id, err)
	}
	return nil
}
