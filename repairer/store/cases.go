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
func (s *core) Open(ctx context.Context, e repairer.Event) (c repairer.Case, err error) {
	err = s.write(ctx, func(tx *sql.Tx, h head) error {
		serial := clean(e.Data.Disk.Serial())
		var n int
		if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM cases WHERE serial = $1 AND is_open = 1`, serial).Scan(&n); err != nil {
			return err
		}
		if n > 0 {
			return repairer.ErrAlreadyOpen
		}
		var row int64
		if err := tx.QueryRowContext(ctx, `INSERT INTO cases (serial, is_open, doc) VALUES ($1, 1, '') RETURNING id`, serial).Scan(&row); err != nil {
			return err
		}
		e.Case, e.Data.Store = caseID(row), s.name
		c, err = s.append(ctx, tx, h, repairer.Case{}, e)
		return err
	})
	return c, err
}

// Append adds events of one case to the log and derives its row.
func (s *core) Append(ctx context.Context, events ...repairer.Event) (c repairer.Case, err error) {
	if len(events) == 0 {
		return c, errors.New("append: no event given")
	}
	err = s.write(ctx, func(tx *sql.Tx, h head) error {
		row, err := rowID(events[0].Case)
		if err != nil {
			return err
		}
		if c, err = scanCase(tx.QueryRowContext(ctx, `SELECT doc FROM cases WHERE id = $1`, row)); err != nil {
			return fmt.Errorf("case %s: %w", events[0].Case, err)
		}
		c, err = s.append(ctx, tx, h, c, events...)
		return err
	})
	return c, err
}

// append chains the events to the log and derives the row from what the log then holds.
func (s *core) append(ctx context.Context, tx *sql.Tx, h head, c repairer.Case, events ...repairer.Event) (repairer.Case, error) {
	row, err := rowID(events[0].Case)
	if err != nil {
		return c, err
	}
	for _, e := range events {
		e.Seq, e.Epoch = h.seq+1, s.epoch
		stored, err := newEntry(e)
		if err != nil {
			return c, err
		}
		stored.prev = h.hash
		if stored.hash, err = stored.sum(); err != nil {
			return c, err
		}
		if e, err = stored.event(); err != nil {
			return c, err
		}
		if c, err = repairer.Apply(c, e); err != nil {
			return c, err
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO events (`+entryColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
			stored.Seq, row, stored.At, stored.Epoch, stored.Kind, stored.Step, stored.Text, string(stored.Data), stored.prev, stored.hash); err != nil {
			return c, err
		}
		h = head{stored.Seq, stored.hash}
	}
	doc, err := json.Marshal(c)
	if err != nil {
		return c, err
	}
	open := 1
	if c.Phase.Ended() {
		open = 0
	}
	if _, err := tx.ExecContext(ctx, `UPDATE cases SET is_open = $1, doc = $2 WHERE id = $3`, open, string(doc), row); err != nil {
		return c, err
	}
	if c.Removed || c.Phase == repairer.PhaseClosed {
		_, err = tx.ExecContext(ctx, `INSERT INTO retired (serial, at) VALUES ($1, $2) ON CONFLICT DO NOTHING`, clean(c.Serial()), nanos(c.At))
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
func (s *core) Case(ctx context.Context, id string) (repairer.Case, error) {
	row, err := rowID(id)
	if err != nil {
		return repairer.Case{}, err
	}
	c, err := scanCase(s.db.QueryRowContext(ctx, `SELECT doc FROM cases WHERE id = $1`, row))
	if err != nil {
		return c, fmt.Errorf("case %s: %w", id, err)
	}
	return c, nil
}

// Cases returns the open cases, or all, in the order in which they were opened.
func (s *core) Cases(ctx context.Context, all bool) (out []repairer.Case, err error) {
	rows, err := s.db.QueryContext(ctx, `SELECT doc FROM cases WHERE is_open = 1 OR $1 ORDER BY id`, all)
	if err != nil {
		return nil, fmt.Errorf("read the cases: %w", err)
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
func (s *core) LastCase(ctx context.Context, serial string) (repairer.Case, error) {
	return scanCase(s.db.QueryRowContext(ctx, `SELECT doc FROM cases WHERE serial = $1 ORDER BY id DESC LIMIT 1`, clean(serial)))
}

// Retired are the serials that were taken out.
func (s *core) Retired(ctx context.Context) (out []string, err error) {
	rows, err := s.db.QueryContext(ctx, `SELECT serial FROM retired ORDER BY serial`)
	if err != nil {
		return nil, fmt.Errorf("read the retired serials: %w", err)
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
func (s *core) Events(ctx context.Context, id string, after uint64) ([]repairer.Event, error) {
	row, err := rowID(id)
	if err != nil {
		return nil, err
	}
	list, err := scanEntries(s.db.QueryContext(ctx, `SELECT `+entryColumns+` FROM events WHERE case_id = $1 AND seq > $2 ORDER BY seq`, row, after))
	if err != nil {
		return nil, fmt.Errorf("events of case %s: %w", id, err)
	}
	var out []repairer.Event
	for _, stored := range list {
		e, err := stored.event()
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}

// AddPause adds a pause. Several may be in force for one scope.
func (s *core) AddPause(ctx context.Context, p repairer.Pause) (repairer.Pause, error) {
	err := s.write(ctx, func(tx *sql.Tx, _ head) error {
		var id int64
		err := tx.QueryRowContext(ctx, `INSERT INTO pauses (scope, owner, reason, since, until) VALUES ($1, $2, $3, $4, $5) RETURNING id`,
			p.Scope, p.Owner, p.Reason, nanos(p.Since), nanos(p.Until)).Scan(&id)
		p.ID = "p" + strconv.FormatInt(id, 10)
		return err
	})
	return p, err
}

// Pauses returns the pauses in force.
func (s *core) Pauses(ctx context.Context, now time.Time) ([]repairer.Pause, error) {
	return scanPauses(s.db.QueryContext(ctx, `SELECT id, scope, owner, reason, since, until FROM pauses WHERE ended_at = 0 AND (until = 0 OR until > $1) ORDER BY id`, nanos(now)))
}

// EndPauses ends the pauses of one scope.
func (s *core) EndPauses(ctx context.Context, scope, person string, now time.Time) (ended []repairer.Pause, err error) {
	err = s.write(ctx, func(tx *sql.Tx, _ head) error {
		ended, err = scanPauses(tx.QueryContext(ctx, `UPDATE pauses SET ended_at = $1, ended_by = $2 WHERE scope = $3 AND ended_at = 0 AND (until = 0 OR until > $1)
			RETURNING id, scope, owner, reason, since, until`, nanos(now), person, scope))
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
