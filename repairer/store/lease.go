package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"glia"
	"glia/repairer"
)

// lease elects in PostgreSQL: one row with the holder, its epoch and when it expires, by the clock of the
// database, so that the clocks of the repair hosts do not matter. Taking over needs an expired lease and
// raises the epoch.
//
// A session-level advisory lock would not be enough. The database lets go of it when it believes the
// session dead, which the holder, paused or cut off, learns only later, if at all; and it comes with no
// number by which the hands on the hosts could tell an old order from a new one. Here the holder knows by
// its own clock when others may take over, and stops before; the writes of one that was paused
// for so long that it does not know are refused, because the row has another epoch.
//
// This holds on one database. A cluster that fails over must not lose commits, or epochs come back:
// use synchronous replication.
type lease struct {
	db     *sql.DB // of its own, so that a renewal does not wait behind other work
	holder string
	times  times
	waiter *waiter
	log    *slog.Logger
	stall  func() // tests stop the holder here, as SIGSTOP would; nil otherwise
}

var _ repairer.Elector = (*lease)(nil)

// Lead waits until the lease has expired, and takes it. The row knows its newest epoch itself.
func (l *lease) Lead(ctx context.Context, _ uint64) (repairer.Term, error) {
	t := &term{lease: l, lost: make(chan struct{}), ended: make(chan struct{})}
	var asked instant
	err := l.waiter.until(ctx, func(ctx context.Context) (leader string, err error) {
		asked = now()
		leader, t.epoch, err = l.take(ctx)
		return leader, err
	})
	if err != nil {
		return nil, err
	}
	t.extend(asked)
	keep, stop := context.WithCancel(context.WithoutCancel(ctx))
	t.stop = stop
	go t.keep(keep)
	return t, nil
}

// take takes the lease if it has expired, or says who holds it. The leaders are written down in the same
// transaction.
func (l *lease) take(ctx context.Context) (leader string, epoch uint64, err error) {
	err = inTx(ctx, l.db, func(tx *sql.Tx) error {
		err := tx.QueryRowContext(ctx, `UPDATE lease SET holder = $1, epoch = epoch + 1, expires = clock_timestamp() + $2 * interval '1 microsecond'
			WHERE expires <= clock_timestamp() RETURNING epoch`, l.holder, l.times.ttl.Microseconds()).Scan(&epoch)
		if errors.Is(err, sql.ErrNoRows) {
			return tx.QueryRowContext(ctx, `SELECT holder || ' leads under epoch ' || epoch FROM lease`).Scan(&leader)
		}
		if err == nil {
			_, err = tx.ExecContext(ctx, `INSERT INTO leaders VALUES ($1, $2, clock_timestamp())`, epoch, l.holder)
		}
		return err
	})
	if err != nil {
		return "", 0, fmt.Errorf("take the lease: %w", err)
	}
	return leader, epoch, nil
}

// term is the time for which this repairer holds the lease.
type term struct {
	*lease
	epoch uint64
	until atomic.Pointer[instant] // we lead until then for certain
	lost  chan struct{}
	stop  context.CancelFunc
	ended chan struct{}
}

func (t *term) Epoch() uint64         { return t.epoch }
func (t *term) Lost() <-chan struct{} { return t.lost }

// Held goes by the clock that also counts while the process is stopped or the machine sleeps. A goroutine
// that woke up may ask before the one that renews has noticed anything.
func (t *term) Held() error {
	select {
	case <-t.lost:
	default:
		if now().boot < t.until.Load().boot {
			return nil
		}
	}
	return fmt.Errorf("the lease of epoch %d has run out: %w", t.epoch, glia.ErrStaleEpoch)
}

// extend notes that the lease was renewed by a question that was asked at that instant.
func (t *term) extend(asked instant) {
	until := asked.add(t.times.ttl - t.times.safety())
	t.until.Store(&until)
}

// keep renews the lease until it is lost or the context ends. It closes lost before another can have it.
func (t *term) keep(ctx context.Context) {
	defer close(t.ended)
	defer close(t.lost) // also at the end: a closed store writes nothing
	for failed := false; ; {
		wait, until := t.times.renew, *t.until.Load()
		if failed {
			wait = t.times.again()
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(min(wait, time.Until(until.monotonic))):
		}
		if t.stall != nil {
			t.stall()
		}
		asked := now()
		epoch, err := t.renew(ctx, until)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil && epoch == t.epoch:
			failed = false
			t.extend(asked)
		case err == nil:
			t.log.Error("lease is lost, another repairer has taken over", "epoch", t.epoch, "newest", epoch)
			return
		case now().boot >= until.boot:
			t.log.Error("lease is lost, it could not be renewed in time", "epoch", t.epoch, "error", err)
			return
		case !failed:
			failed = true
			t.log.Warn("lease is not renewed, trying again", "epoch", t.epoch, "left", time.Until(until.monotonic).Round(time.Millisecond), "error", err)
		}
	}
}

// renew makes one attempt and returns the epoch that the database has. An attempt that hangs on a dead connection is
// given up while there is time for one on a new connection.
func (t *term) renew(ctx context.Context, until instant) (epoch uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, min(t.times.attempt(), time.Until(until.monotonic)))
	defer cancel()
	err = t.db.QueryRowContext(ctx, `UPDATE lease SET expires = CASE epoch WHEN $2 THEN clock_timestamp() + $1 * interval '1 microsecond' ELSE expires END
		RETURNING epoch`, t.times.ttl.Microseconds(), t.epoch).Scan(&epoch)
	return epoch, err
}

// Resign ends the keeping and lets the next repairer lead at once.
func (t *term) Resign(ctx context.Context) error {
	held := t.Held()
	t.stop()
	<-t.ended
	if held != nil {
		return nil // it has expired by itself, or is another's
	}
	ctx, cancel := context.WithTimeout(ctx, t.times.attempt())
	defer cancel()
	_, err := t.db.ExecContext(ctx, `UPDATE lease SET expires = '-infinity' WHERE epoch = $1`, t.epoch)
	if err != nil {
		return fmt.Errorf("let go of the lease, which expires by itself in %s: %w", t.times.ttl, err)
	}
	return nil
}

// instant is one moment on two clocks of this host: that of timers, and one that does not stand still while the
// machine sleeps.
type instant struct {
	monotonic time.Time
	boot      time.Duration
}

func now() instant {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		panic(err) // every Linux since 2.6.39 has it
	}
	return instant{time.Now(), time.Duration(ts.Nano())}
}

func (i instant) add(d time.Duration) instant { return instant{i.monotonic.Add(d), i.boot + d} }

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
