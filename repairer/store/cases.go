package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"glia"
	"glia/repairer"
)

// caseID and rowID translate between the number of a row and the name of a case, such as c17.
func caseID(row int64) string { return "c" + strconv.FormatInt(row, 10) }

func rowID(id string) (int64, error) {
	n, err := strconv.ParseInt(strings.TrimPrefix(id, "c"), 10, 64)
	if err != nil || !strings.HasPrefix(id, "c") {
		return 0, fmt.Errorf("case %q: %w; cases are named like c17", id, glia.ErrNotFound)
	}
	return n, nil
}

// Open starts a case with its first event.
func (s *SQLite) Open(ctx context.Context, e repairer.Event) (c repairer.Case, err error) {
	err = s.write(ctx, func(tx *sql.Tx) error {
		serial := e.Data.Disk.Serial()
		var n int
		if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM cases WHERE serial = ? AND is_open = 1`, serial).Scan(&n); err != nil {
			return err
		}
		if n > 0 {
			return repairer.ErrAlreadyOpen
		}
		res, err := tx.ExecContext(ctx, `INSERT INTO cases (serial, is_open, doc) VALUES (?, 1, '')`, serial)
		if err != nil {
			return err
		}
		row, err := res.LastInsertId()
		if err != nil {
			return err
		}
		e.Case, e.Data.Store = caseID(row), s.name
		c, err = s.append(ctx, tx, repairer.Case{}, e)
		return err
	})
	return c, err
}

// Append adds events of one case to the log and derives its row.
func (s *SQLite) Append(ctx context.Context, events ...repairer.Event) (c repairer.Case, err error) {
	if len(events) == 0 {
		return c, errors.New("append: no event given")
	}
	err = s.write(ctx, func(tx *sql.Tx) error {
		row, err := rowID(events[0].Case)
		if err != nil {
			return err
		}
		if c, err = scanCase(tx.QueryRowContext(ctx, `SELECT doc FROM cases WHERE id = ?`, row)); err != nil {
			return fmt.Errorf("case %s: %w", events[0].Case, err)
		}
		for _, e := range events {
			if c, err = s.append(ctx, tx, c, e); err != nil {
				return err
			}
		}
		return nil
	})
	return c, err
}

func (s *SQLite) append(ctx context.Context, tx *sql.Tx, c repairer.Case, e repairer.Event) (repairer.Case, error) {
	e.Epoch = s.epoch
	e.At = e.At.UTC().Round(0)
	row, err := rowID(e.Case)
	if err != nil {
		return c, err
	}
	data, err := json.Marshal(e.Data)
	if err != nil {
		return c, err
	}
	res, err := tx.ExecContext(ctx, `INSERT INTO events (case_id, at, epoch, kind, step, text, data) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		row, nanos(e.At), e.Epoch, string(e.Kind), e.Step, e.Text, string(data))
	if err != nil {
		return c, err
	}
	seq, err := res.LastInsertId()
	if err != nil {
		return c, err
	}
	e.Seq = uint64(seq)
	if c, err = repairer.Apply(c, e); err != nil {
		return c, err
	}
	doc, err := json.Marshal(c)
	if err != nil {
		return c, err
	}
	if _, err := tx.ExecContext(ctx, `UPDATE cases SET is_open = ?, doc = ? WHERE id = ?`, !c.Phase.Ended(), string(doc), row); err != nil {
		return c, err
	}
	if c.Removed || c.Phase == repairer.PhaseClosed {
		_, err = tx.ExecContext(ctx, `INSERT INTO retired (serial, at) VALUES (?, ?) ON CONFLICT DO NOTHING`, c.Serial(), nanos(e.At))
	}
	return c, err
}

func scanCase(row interface{ Scan(...any) error }) (c repairer.Case, err error) {
	var doc string
	if err := row.Scan(&doc); err != nil {
		if errors.Is(err, sql.ErrNoRows) {
			err = glia.ErrNotFound
		}
		return c, err
	}
	return c, json.Unmarshal([]byte(doc), &c)
}

// Case returns one case.
func (s *SQLite) Case(ctx context.Context, id string) (repairer.Case, error) {
	row, err := rowID(id)
	if err != nil {
		return repairer.Case{}, err
	}
	c, err := scanCase(s.db.QueryRowContext(ctx, `SELECT doc FROM cases WHERE id = ?`, row))
	if err != nil {
		return c, fmt.Errorf("case %s: %w", id, err)
	}
	return c, nil
}

// Cases returns the open cases, or all, in the order in which they were opened.
func (s *SQLite) Cases(ctx context.Context, all bool) (out []repairer.Case, err error) {
	rows, err := s.db.QueryContext(ctx, `SELECT doc FROM cases WHERE is_open = 1 OR ? ORDER BY id`, all)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		c, err := scanCase(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, rows.Err()
}

// LastCase is the newest case of a serial.
func (s *SQLite) LastCase(ctx context.Context, serial string) (repairer.Case, error) {
	return scanCase(s.db.QueryRowContext(ctx, `SELECT doc FROM cases WHERE serial = ? ORDER BY id DESC LIMIT 1`, serial))
}

// Retired are the serials that were taken out.
func (s *SQLite) Retired(ctx context.Context) (out []string, err error) {
	rows, err := s.db.QueryContext(ctx, `SELECT serial FROM retired ORDER BY serial`)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var serial string
		if err := rows.Scan(&serial); err != nil {
			return nil, err
		}
		out = append(out, serial)
	}
	return out, rows.Err()
}

// Events returns the events of a case with a higher sequence number than after.
func (s *SQLite) Events(ctx context.Context, id string, after uint64) (out []repairer.Event, err error) {
	row, err := rowID(id)
	if err != nil {
		return nil, err
	}
	rows, err := s.db.QueryContext(ctx, `SELECT seq, at, epoch, kind, step, text, data FROM events WHERE case_id = ? AND seq > ? ORDER BY seq`, row, after)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		e := repairer.Event{Case: id}
		var at int64
		var data string
		if err := rows.Scan(&e.Seq, &at, &e.Epoch, &e.Kind, &e.Step, &e.Text, &data); err != nil {
			return nil, err
		}
		e.At = fromNanos(at)
		if err := json.Unmarshal([]byte(data), &e.Data); err != nil {
			return nil, fmt.Errorf("event %d: %w", e.Seq, err)
		}
		out = append(out, e)
	}
	return out, rows.Err()
}

// AddPause adds a pause. Several may be in force for one scope.
func (s *SQLite) AddPause(ctx context.Context, p repairer.Pause) (repairer.Pause, error) {
	err := s.write(ctx, func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `INSERT INTO pauses (scope, owner, reason, since, until) VALUES (?, ?, ?, ?, ?)`, p.Scope, p.Owner, p.Reason, nanos(p.Since), nanos(p.Until))
		if err != nil {
			return err
		}
		id, err := res.LastInsertId()
		p.ID = "p" + strconv.FormatInt(id, 10)
		return err
	})
	return p, err
}

// Pauses returns the pauses in force.
func (s *SQLite) Pauses(ctx context.Context, now time.Time) ([]repairer.Pause, error) {
	return scanPauses(s.db.QueryContext(ctx, `SELECT id, scope, owner, reason, since, until FROM pauses WHERE ended_at = 0 AND (until = 0 OR until > ?) ORDER BY id`, nanos(now)))
}

// EndPauses ends the pauses of one scope.
func (s *SQLite) EndPauses(ctx context.Context, scope, person string, now time.Time) (ended []repairer.Pause, err error) {
	err = s.write(ctx, func(tx *sql.Tx) error {
		ended, err = scanPauses(tx.QueryContext(ctx, `UPDATE pauses SET ended_at = ?, ended_by = ? WHERE scope = ? AND ended_at = 0 AND (until = 0 OR until > ?)
			RETURNING id, scope, owner, reason, since, until`, nanos(now), person, scope, nanos(now)))
		return err
	})
	return ended, err
}

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
		p.ID, p.Since, p.Until = "p"+strconv.FormatInt(id, 10), fromNanos(since), fromNanos(until)
		out = append(out, p)
	}
	return out, rows.Err()
}
