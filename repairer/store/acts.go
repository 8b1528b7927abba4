package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"time"

	"glia"
	"glia/repairer"
	"glia/repairer/queue"
)

// note puts an event of no case at the end of the log.
func (s *core) note(ctx context.Context, tx *sql.Tx, h head, e repairer.Event) (head, error) {
	e.Case = ""
	_, h, st, err := s.link(ctx, h, sql.NullInt64{}, e)
	if err != nil {
		return h, err
	}
	_, err = tx.ExecContext(ctx, st.query, st.args...)
	return h, err
}

// Get reads what Set has kept under the key, or returns glia.ErrNotFound.
func (s *core) Get(ctx context.Context, key string) (value string, err error) {
	err = s.db.QueryRowContext(ctx, `SELECT value FROM values_ WHERE key = $1`, key).Scan(&value)
	if errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("value %s: %w", key, glia.ErrNotFound)
	}
	return value, err
}

// Set keeps a value, and why it was set.
func (s *core) Set(ctx context.Context, key, value string, e repairer.Event) error {
	e.Data.Key, e.Data.Value = key, value
	return s.write(ctx, func(tx *sql.Tx, h head) error {
		if _, err := s.note(ctx, tx, h, e); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO values_ (key, value, at, text) VALUES ($1, $2, $3, $4)
			ON CONFLICT (key) DO UPDATE SET value = excluded.value, at = excluded.at, text = excluded.text`, key, value, nanos(e.At), clean(e.Text))
		return err
	})
}

// Forgive takes a serial out of the graveyard.
func (s *core) Forgive(ctx context.Context, serial string, e repairer.Event) error {
	e.Data.Serial = serial
	return s.write(ctx, func(tx *sql.Tx, h head) error {
		r, err := tx.ExecContext(ctx, `UPDATE retired SET forgiven_at = $1 WHERE serial = $2 AND forgiven_at = 0`, nanos(e.At), clean(serial))
		if err != nil {
			return err
		}
		if n, err := r.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, fmt.Errorf("retired serial %s: %w", serial, glia.ErrNotFound))
		}
		_, err = s.note(ctx, tx, h, e)
		return err
	})
}

const pauseColumns = `id, scope, owner, reason, since, until`

// AddPause adds a pause. Several may be in force for one scope.
func (s *core) AddPause(ctx context.Context, p repairer.Pause) (repairer.Pause, error) {
	p.Scope, p.Owner, p.Reason = clean(p.Scope), clean(p.Owner), clean(p.Reason)
	err := s.write(ctx, func(tx *sql.Tx, h head) error {
		var id int64
		if err := tx.QueryRowContext(ctx, `INSERT INTO pauses (scope, owner, reason, since, until) VALUES ($1, $2, $3, $4, $5) RETURNING id`,
			p.Scope, p.Owner, p.Reason, nanos(p.Since), nanos(p.Until)).Scan(&id); err != nil {
			return err
		}
		p.ID = pauseID(id)
		if !p.Until.IsZero() {
			if err := queue.Set(ctx, tx, timerOf(p)); err != nil {
				return err
			}
		}
		_, err := s.note(ctx, tx, h, repairer.Paused(p))
		return err
	})
	return p, err
}

// inForce is what the row of a pause has that is in force at $1. One that has ended by itself is in force again when a
// clock that was ahead is set right: only a person ends it before its time.
const inForce = `(ended_at = 0 OR ended_by = '') AND (until = 0 OR until > $1)`

// Pauses returns the pauses in force.
func (s *core) Pauses(ctx context.Context, now time.Time) ([]repairer.Pause, error) {
	return scanPauses(s.db.QueryContext(ctx, `SELECT `+pauseColumns+` FROM pauses WHERE `+inForce+` ORDER BY id`, nanos(now)))
}

// EndPauses ends the pauses of one scope.
func (s *core) EndPauses(ctx context.Context, scope, person, reason string, now time.Time) (ended []repairer.Pause, err error) {
	err = s.write(ctx, func(tx *sql.Tx, h head) error {
		ended, err = scanPauses(tx.QueryContext(ctx, `UPDATE pauses SET ended_at = $1, ended_by = $2 WHERE scope = $3 AND `+inForce+`
			RETURNING `+pauseColumns, nanos(now), clean(person), scope))
		for _, p := range ended {
			if err != nil {
				break
			}
			if _, err = queue.Cancel(ctx, tx, timerOf(p).Key); err != nil {
				break
			}
			h, err = s.note(ctx, tx, h, repairer.Resumed(p, person, reason, now))
		}
		return err
	})
	return ended, err
}

func pauseID(row int64) string { return "p" + strconv.FormatInt(row, 10) }

func scanPauses(rows *sql.Rows, err error) (out []repairer.Pause, _ error) {
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // its error is rows.Err's
	for rows.Next() {
		var p repairer.Pause
		var id, since, until int64
		if err := rows.Scan(&id, &p.Scope, &p.Owner, &p.Reason, &since, &until); err != nil {
			return nil, err
		}
		p.ID, p.Since, p.Until = pauseID(id), fromNanos(since), fromNanos(until)
		out = append(out, p)
	}
	return out, rows.Err()
}
