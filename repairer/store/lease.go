package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// lease says which repairer leads: one row with the holder, its epoch and when it expires, by the clock of the
// database, so that the clocks of the repair hosts do not matter. Taking over needs an expired lease and
// raises the epoch.
//
// A session-level advisory lock would not be enough. The database lets go of it when it believes the
// session dead, which the holder, paused or cut off, learns only later, if at all; and it comes with no
// number by which the hands on the hosts could tell an old order from a new one. Here the holder knows by
// its own monotonic clock when others may take over, and stops before; the writes of one that was paused
// for so long that it does not know are refused, because the row has another epoch.
//
// This holds on one database. A cluster that fails over must not lose commits, or epochs come back:
// use synchronous replication.
type lease struct {
	db     *sql.DB // of its own, so that a renewal does not wait behind other work
	holder string
	ttl    time.Duration
	log    *slog.Logger
	store  string
	epoch  uint64
	lost   chan struct{}
	stop   context.CancelFunc
	ended  chan struct{}
	stall  func() // tests stop the holder here, as SIGSTOP would; nil otherwise
}

// The parts of a ttl.
const (
	renewals = 3  // the holder renews once in a third
	retries  = 24 // and tries again after so much when the database did not answer
	looks    = 10 // the others look whether it has expired
	safety   = 10 // the holder gives up so much before its end
	silences = 3  // the database ends a silent transaction, so before the lease of its owner expires
)

// prepare makes the tables of the lease. They are outside of the versioned ones, because only the leader migrates.
func (l *lease) prepare(ctx context.Context) error {
	return inTx(ctx, l.db, func(tx *sql.Tx) error {
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
			`INSERT INTO lease VALUES (1, left(gen_random_uuid()::text, 8), '', 0, '-infinity') ON CONFLICT DO NOTHING`,
		} {
			if _, err := tx.ExecContext(ctx, q); err != nil {
				return fmt.Errorf("prepare the lease: %w", err)
			}
		}
		return nil
	})
}

// acquire waits until this repairer leads, and returns until when at least, by the local clock. What only
// a person can mend is returned; a database that is away is waited for.
func (l *lease) acquire(ctx context.Context, check func(context.Context) error) (until time.Time, err error) {
	told := ""
	for prepared := false; ; {
		asked := time.Now()
		leader := ""
		if err = check(ctx); err == nil && !prepared {
			err = l.prepare(ctx)
			prepared = err == nil
		}
		if err == nil {
			leader, err = l.take(ctx)
		}
		switch {
		case ctx.Err() != nil && told != "":
			return until, fmt.Errorf("wait for the lease (%s): %w", told, ctx.Err())
		case ctx.Err() != nil || permanent(err):
			return until, errors.Join(err, ctx.Err())
		case err == nil && leader == "":
			return asked.Add(l.ttl - l.ttl/safety), nil
		case err != nil && told != err.Error():
			told = err.Error()
			l.log.Warn("database is not available, waiting", "error", err)
		case err == nil && told != leader:
			told = leader
			l.log.Info("another repairer leads, standing by", "leader", leader)
		}
		select {
		case <-ctx.Done():
		case <-time.After(l.ttl / looks):
		}
	}
}

// permanent says whether waiting can not help: the database answered and refused what we are or ask for.
func permanent(err error) bool {
	var pg *pgconn.PgError
	if errors.Is(err, errNewer) {
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

// take takes the lease if it has expired, or says who holds it. The leaders are written down in the same
// transaction.
func (l *lease) take(ctx context.Context) (leader string, err error) {
	err = inTx(ctx, l.db, func(tx *sql.Tx) error {
		err := tx.QueryRowContext(ctx, `UPDATE lease SET holder = $1, epoch = epoch + 1, expires = clock_timestamp() + $2 * interval '1 microsecond'
			WHERE expires <= clock_timestamp() RETURNING store, epoch`, l.holder, l.ttl.Microseconds()).Scan(&l.store, &l.epoch)
		if errors.Is(err, sql.ErrNoRows) {
			return tx.QueryRowContext(ctx, `SELECT holder FROM lease`).Scan(&leader)
		}
		if err == nil {
			_, err = tx.ExecContext(ctx, `INSERT INTO leaders VALUES ($1, $2, clock_timestamp())`, l.epoch, l.holder)
		}
		return err
	})
	if err != nil {
		return "", fmt.Errorf("take the lease: %w", err)
	}
	return leader, nil
}

// keep renews the lease until it is lost or the context ends. It closes lost before another can have it.
func (l *lease) keep(ctx context.Context, until time.Time) {
	defer close(l.ended)
	defer close(l.lost) // also at the end: a closed store writes nothing
	for failed := false; ; {
		wait := l.ttl / renewals
		if failed {
			wait = l.ttl / retries
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(min(wait, time.Until(until))):
		}
		if l.stall != nil {
			l.stall()
		}
		asked := time.Now()
		attempt, cancel := context.WithDeadline(ctx, until)
		var epoch uint64
		err := l.db.QueryRowContext(attempt, `UPDATE lease SET expires = clock_timestamp() + $1 * interval '1 microsecond'
			WHERE epoch = $2 RETURNING epoch`, l.ttl.Microseconds(), l.epoch).Scan(&epoch)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			failed, until = false, asked.Add(l.ttl-l.ttl/safety)
		case errors.Is(err, sql.ErrNoRows):
			l.log.Error("lease is lost, another repairer has taken over", "epoch", l.epoch)
			return
		case !time.Now().Before(until):
			l.log.Error("lease is lost, it could not be renewed in time", "epoch", l.epoch, "error", err)
			return
		case !failed:
			failed = true
			l.log.Warn("lease is not renewed, trying again", "epoch", l.epoch, "left", time.Until(until).Round(time.Millisecond), "error", err)
		}
	}
}

// release ends the keeping and lets the next repairer lead at once.
func (l *lease) release(ctx context.Context) error {
	l.stop()
	<-l.ended
	ctx, cancel := context.WithTimeout(ctx, l.ttl/renewals)
	defer cancel()
	_, err := l.db.ExecContext(ctx, `UPDATE lease SET expires = '-infinity' WHERE epoch = $1`, l.epoch)
	if err != nil {
		return fmt.Errorf("let go of the lease, which expires by itself in %s: %w", l.ttl, err)
	}
	return nil
}

func inTx(ctx context.Context, db *sql.DB, fn func(*sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // does nothing after a commit
	if err := fn(tx); err != nil {
		return err
	}
	return tx.Commit()
}
