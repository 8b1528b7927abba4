package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"glia"
)

// times are what the ttl of a lease and the renewing make necessary.
type times struct {
	ttl   time.Duration
	renew time.Duration
}

// safety is how long before its end the holder gives the lease up: what the clocks may differ in rate,
// and what it takes to stop.
func (t times) safety() time.Duration { return t.ttl / 10 }

// attempt bounds one renewal, so that one that hangs on a dead connection leaves time for another.
func (t times) attempt() time.Duration { return t.ttl / 3 }

// again is when a renewal that did not succeed is tried again.
func (t times) again() time.Duration { return t.ttl / 24 }

// look is how often the others look whether the lease has expired.
func (t times) look() time.Duration { return t.ttl / 10 }

// answer bounds one look, and the making of a connection.
func (t times) answer() time.Duration { return max(t.ttl/4, time.Second) }

// silence is after how long the database ends a silent transaction, so before the lease of its owner expires.
func (t times) silence() time.Duration { return t.ttl / 3 }

// prepare makes the tables of the lease. They are outside of the versioned ones, because only the leader
// migrates. The first epoch is later than that of a database whose place this one has taken, as the hands
// still know it: the seconds since 1970.
func prepare(ctx context.Context, db *sql.DB) error {
	return inTx(ctx, db, func(tx *sql.Tx) error {
		for _, q := range []string{
			`SELECT pg_advisory_xact_lock(hashtext('glia.lease'))`, // CREATE IF NOT EXISTS fails when two do it at once
			`CREATE TABLE IF NOT EXISTS lease (
				id      INTEGER PRIMARY KEY CHECK (id = 1),
				store   TEXT NOT NULL, -- which database this is
				holder  TEXT NOT NULL,
				epoch   BIGINT NOT NULL,
				expires TIMESTAMPTZ NOT NULL
			)`,
			`CREATE TABLE IF NOT EXISTS leaders (epoch BIGINT PRIMARY KEY, holder TEXT NOT NULL, since TIMESTAMPTZ NOT NULL)`,
			`INSERT INTO lease VALUES (1, left(gen_random_uuid()::text, 8), '', extract(epoch FROM clock_timestamp())::bigint, '-infinity') ON CONFLICT DO NOTHING`,
		} {
			if _, err := tx.ExecContext(ctx, q); err != nil {
				return fmt.Errorf("prepare the lease: %w", err)
			}
		}
		return nil
	})
}

// waiter repeats what needs the database, or the end of another's lease.
type waiter struct {
	times times
	log   *slog.Logger
	tell  func(reason string) // what is waited for, whenever it was looked
	kind  string              // what the log was told of last
}

// until repeats do until it is not in the way of anything any more. What only a person can mend is returned; a
// database that is away is waited for. Each attempt is bounded, because the connection may be dead without
// anybody having said so.
func (w *waiter) until(ctx context.Context, do func(context.Context) (leader string, err error)) error {
	for {
		attempt, cancel := context.WithTimeout(ctx, w.times.answer())
		leader, err := do(attempt)
		cancel()
		switch {
		case ctx.Err() != nil && w.kind != "":
			return fmt.Errorf("wait for the lease (%s): %w", w.kind, ctx.Err())
		case ctx.Err() != nil || permanent(err):
			return errors.Join(err, ctx.Err())
		case err == nil && leader == "":
			return nil
		}
		w.say(leader, err)
		select {
		case <-ctx.Done():
		case <-time.After(w.times.look()):
		}
	}
}

const away = "the database does not answer"

// say tells what is waited for. The log is told when that has changed, and not of each way in which a
// database can be away.
func (w *waiter) say(leader string, err error) {
	kind, reason := leader, leader
	if err != nil {
		kind, reason = away, fmt.Sprintf("%s: %v", away, err)
	}
	w.tell(reason)
	switch {
	case w.kind == kind:
	case err != nil:
		w.log.Warn("database is not available, waiting", "error", err)
	default:
		w.log.Info("another repairer leads, standing by", "leader", leader)
	}
	w.kind = kind
}

// permanent says whether waiting can not help: the database answered and refused what we are or ask for.
func permanent(err error) bool {
	var pg *pgconn.PgError
	if errors.Is(err, errNewer) || errors.Is(err, glia.ErrStaleEpoch) {
		return true
	}
	if !errors.As(err, &pg) || len(pg.Code) < 2 {
		return false
	}
	switch pg.Code[:2] {
	case "28", "3D", "42": // wrong password, no such database, not allowed
		return true
	}
	return false
}
