// Package queue keeps events that must be handled and timers that must fire, in tables of the repairer's database.
//
// An event is on disk before Publish's transaction has committed, once for each idempotency key, and is handled in
// numeric order until its handler succeeds: at least once, also over a kill, a restart or a fail-over. One
// that fails waits with growing pauses and holds up no other; one that has failed too often, or that nobody can
// handle, is dead: it is kept until a person replays or drops it. A timer becomes an event exactly once, at
// its time or, when nobody led then, as soon as somebody does. Times are UTC by the clock that is passed in.
//
// Only the repairer that leads can write: the database refuses others. When the database is away, calls fail,
// nothing is half written, and the events wait. Handlers must be idempotent, because one whose process
// was killed is run again.
//
// Most of what the repairer has to do is derived from cases, and needs no queue. This one is for what hangs on a time or
// has no case.
package queue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"time"
)

// Event is something that must be handled.
type Event struct {
	ID      uint64 // its place in the order; given by Publish
	Key     string // of two events with one key, only the first is kept
	Type    string // names the handler: a lower-case letter, then letters, digits and dashes
	Payload string // for the handler

	At       time.Time // when it was published
	State    State
	Attempts int
	Next     time.Time // while waiting: not before
	Problem  string    // of the last attempt
}

// State is where an event stands.
type State string

// The states of an event.
const (
	Waiting State = "waiting"
	Claimed State = "claimed" // its handler runs, or ran when the repairer that had it ended
	Done    State = "done"
	Dead    State = "dead" // needs a person
)

// Bounds of what is kept.
const (
	keepDone   = 10_000    // newest events that are done; their keys are known for as long
	maxUndone  = 100_000   // waiting and dead ones
	maxPayload = 256 << 10 // bytes
)

var (
	// ErrFull is returned by Publish when too many events wait or are dead.
	ErrFull = errors.New("the queue is full; see what is dead in it with glia queue list")
	// ErrSetBack says that the database has lost its newest events, as one that was put back from a part of a backup.
	ErrSetBack = errors.New("the counter of the queue is behind its events")
)

// Tx is what is needed of a transaction.
type Tx interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

var (
	typePattern = regexp.MustCompile(`^[a-z][a-z0-9-]{0,62}$`)
	keyPattern  = regexp.MustCompile(`^[[:graph:]]{1,200}$`)
)

func check(key, typ, payload string) error {
	switch {
	case !keyPattern.MatchString(key):
		return fmt.Errorf("key %q: must have 1 to 200 printable characters and no space", key)
	case !typePattern.MatchString(typ):
		return fmt.Errorf("type %q: must begin with a lower-case letter and have only these, digits and dashes", typ)
	case len(payload) > maxPayload:
		return fmt.Errorf("a payload of %d bytes: the limit is %d", len(payload), maxPayload)
	}
	return nil
}

// Publish adds an event, of which Key, Type and Payload count, in the transaction of its caller. It returns the id, or
// that of the event that has the key already; fresh says which.
func Publish(ctx context.Context, tx Tx, e Event, now time.Time) (id uint64, fresh bool, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("publish event %s: %w", e.Key, err)
		}
	}()
	if err := check(e.Key, e.Type, e.Payload); err != nil {
		return 0, false, err
	}
	// The row of the counter is held until the end of the transaction, so that ids become visible in their order.
	if err := tx.QueryRowContext(ctx, `UPDATE queue_count SET last = last + 1 RETURNING last`).Scan(&id); err != nil {
		return 0, false, err
	}
	var old uint64
	switch err := tx.QueryRowContext(ctx, `SELECT id FROM queue WHERE key = $1`, e.Key).Scan(&old); {
	case err == nil:
		_, err := tx.ExecContext(ctx, `UPDATE queue_count SET last = last - 1`)
		return old, false, err
	case !errors.Is(err, sql.ErrNoRows):
		return 0, false, err
	}
	var undone int
	if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM queue WHERE state IN ('waiting', 'claimed', 'dead')`).Scan(&undone); err != nil {
		return 0, false, err
	}
	if undone >= maxUndone {
		return 0, false, ErrFull
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO queue (id, key, type, payload, at, state, attempts, next, epoch, problem) VALUES ($1, $2, $3, $4, $5, 'waiting', 0, 0, 0, '')`,
		id, e.Key, e.Type, e.Payload, now.UnixNano())
	return id, true, err
}
