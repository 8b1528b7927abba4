package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"

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
	row, err := rowOf(events)
	if err != nil {
		return c, err
	}
	err = s.write(ctx, func(tx *sql.Tx, h head) error {
		c, err = s.known(tx.QueryRowContext(ctx, caseDoc, row), events[0])
		if err != nil {
			return err
		}
		c, err = s.append(ctx, tx, h, c, events...)
		return err
	})
	return c, err
}

const caseDoc = `SELECT doc FROM cases WHERE id = $1`

// rowOf is the number of the case of these events.
func rowOf(events []repairer.Event) (int64, error) {
	if len(events) == 0 {
		return 0, errors.New("append: no event given")
	}
	return rowID(events[0].Case)
}

// known reads the case of an event, and refuses when the event was made of an older state of it.
func (s *core) known(doc scanner, e repairer.Event) (repairer.Case, error) {
	c, err := s.scanCase(doc)
	if err != nil {
		return c, fmt.Errorf("case %s: %w", e.Case, err)
	}
	if e.After != 0 && e.After != c.Seq {
		return c, fmt.Errorf("case %s is at event %d, not at %d: %w", c.ID, c.Seq, e.After, repairer.ErrMoved)
	}
	return c, nil
}

// append chains the events to the log and derives the row from what the log then holds.
func (s *core) append(ctx context.Context, tx *sql.Tx, h head, c repairer.Case, events ...repairer.Event) (repairer.Case, error) {
	c, changes, err := s.derive(ctx, h, c, events...)
	if err != nil {
		return c, err
	}
	for _, st := range changes {
		if _, err := tx.ExecContext(ctx, st.query, st.args...); err != nil {
			return c, err
		}
	}
	return c, nil
}

// derive makes the statements that chain the events to the log, and the case that the log then holds.
func (s *core) derive(ctx context.Context, h head, c repairer.Case, events ...repairer.Event) (_ repairer.Case, changes []statement, err error) {
	row, err := rowOf(events)
	if err != nil {
		return c, nil, err
	}
	before := c
	for _, e := range events {
		var st statement
		if e, h, st, err = s.link(ctx, h, sql.NullInt64{Int64: row, Valid: true}, e); err != nil {
			return c, nil, err
		}
		changes = append(changes, st)
		if c, err = repairer.Apply(c, e); err != nil {
			return c, nil, err
		}
	}
	doc, err := json.Marshal(c)
	if err != nil {
		return c, nil, err
	}
	open := 1
	if c.Phase.Ended() {
		open = 0
	}
	changes = append(changes, statement{`UPDATE cases SET is_open = $1, doc = $2 WHERE id = $3`, []any{open, string(doc), row}})
	if buried(c) && !buried(before) { // once a case, so that a forgiven disk stays forgiven until it fails again
		changes = append(changes, statement{`INSERT INTO retired (serial, at) VALUES ($1, $2)
			ON CONFLICT (serial) DO UPDATE SET at = excluded.at, forgiven_at = 0`, []any{clean(c.Serial()), nanos(c.At)}})
	}
	return c, changes, nil
}

// buried says whether the case has put its disk into the graveyard.
func buried(c repairer.Case) bool { return c.Removed || c.Phase == repairer.PhaseClosed }

type scanner interface{ Scan(...any) error }

func scanDoc(row scanner) (doc string, err error) {
	if err = row.Scan(&doc); errors.Is(err, sql.ErrNoRows) {
		err = glia.ErrNotFound
	}
	return doc, err
}

func scanCase(row scanner) (c repairer.Case, err error) {
	doc, err := scanDoc(row)
	if err != nil {
		return c, err
	}
	return c, json.Unmarshal([]byte(doc), &c)
}

func (s *core) scanCase(row scanner) (c repairer.Case, err error) {
	doc, err := scanDoc(row)
	if err != nil {
		return c, err
	}
	return s.decoded.decode(doc)
}

// Case returns one case.
func (s *core) Case(ctx context.Context, id string) (repairer.Case, error) {
	row, err := rowID(id)
	if err != nil {
		return repairer.Case{}, err
	}
	c, err := s.scanCase(s.db.QueryRowContext(ctx, caseDoc, row))
	if err != nil {
		return c, fmt.Errorf("case %s: %w", id, err)
	}
	return c, nil
}

// Current compares epoch and newest event of the case with what is known of them.
func (s *core) Current(ctx context.Context, id string, seq uint64) error {
	row, err := rowID(id)
	if err != nil {
		return err
	}
	select {
	case <-s.lost:
		return fmt.Errorf("this repairer no longer leads: %w", glia.ErrStaleEpoch)
	default:
	}
	var epoch uint64
	var newest sql.Null[uint64]
	if err := s.db.QueryRowContext(ctx, s.dialect.current, row).Scan(&epoch, &newest); err != nil {
		return fmt.Errorf("case %s: look whether it has moved on: %w", id, err)
	}
	switch {
	case epoch != s.epoch:
		return fmt.Errorf("this repairer has epoch %d, the database %d: %w", s.epoch, epoch, glia.ErrStaleEpoch)
	case newest.V != seq:
		return fmt.Errorf("case %s is at event %d, not at %d: %w", id, newest.V, seq, repairer.ErrMoved)
	}
	return nil
}

// Cases returns the open cases, or all, in the order in which they were opened.
func (s *core) Cases(ctx context.Context, all bool) ([]repairer.Case, error) {
	return scanCases(s.db.QueryContext(ctx, `SELECT doc FROM cases WHERE is_open = 1 OR $1 ORDER BY id`, all))
}

// CasesSince returns the cases with an event from seq on. It is one statement, and so sees one state of
// the database.
func (s *core) CasesSince(ctx context.Context, seq uint64) ([]repairer.Case, error) {
	return s.scanNewest(s.db.QueryContext(ctx, `SELECT doc FROM cases WHERE id IN (SELECT case_id FROM events WHERE seq >= $1) ORDER BY id`, seq))
}

// scanNewest reads cases that are about to be read again.
func (s *core) scanNewest(rows *sql.Rows, err error) (out []repairer.Case, _ error) {
	if err != nil {
		return nil, fmt.Errorf("read the cases: %w", err)
	}
	defer func() { _ = rows.Close() }() // its error is rows.Err's
	for rows.Next() {
		c, err := s.scanCase(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, rows.Err()
}

// EachCase hands over all cases, one after the other. It is one statement, and so sees one state of the
// database.
func (s *core) EachCase(ctx context.Context, take func(repairer.Case)) error {
	rows, err := s.db.QueryContext(ctx, `SELECT doc FROM cases ORDER BY id`)
	return eachCase(rows, err, take)
}

func scanCases(rows *sql.Rows, err error) (out []repairer.Case, _ error) {
	err = eachCase(rows, err, func(c repairer.Case) { out = append(out, c) })
	return out, err
}

// decodedTogether is how many cases are decoded at a time, by all processors. More would be more memory.
const decodedTogether = 128

func eachCase(rows *sql.Rows, err error, take func(repairer.Case)) error {
	if err != nil {
		return fmt.Errorf("read the cases: %w", err)
	}
	defer func() { _ = rows.Close() }() // its error is rows.Err's
	docs := make([][]byte, 0, decodedTogether)
	for more := true; more; {
		docs = docs[:0]
		for len(docs) < decodedTogether {
			if more = rows.Next(); !more {
				break
			}
			docs = append(docs, nil)
			if err := rows.Scan(&docs[len(docs)-1]); err != nil {
				return fmt.Errorf("read the cases: %w", err)
			}
		}
		cases, err := decode(docs)
		if err != nil {
			return fmt.Errorf("read the cases: %w", err)
		}
		for _, c := range cases {
			take(c)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read the cases: %w", err)
	}
	return nil
}

func decode(docs [][]byte) ([]repairer.Case, error) {
	out := make([]repairer.Case, len(docs))
	var g errgroup.Group
	parts := min(runtime.GOMAXPROCS(0), len(docs))
	for p := range parts {
		g.Go(func() error {
			for i := p; i < len(docs); i += parts {
				if err := json.Unmarshal(docs[i], &out[i]); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return out, g.Wait()
}

// LastCase is the newest case of a serial.
func (s *core) LastCase(ctx context.Context, serial string) (repairer.Case, error) {
	return s.scanCase(s.db.QueryRowContext(ctx, `SELECT doc FROM cases WHERE serial = $1 ORDER BY id DESC LIMIT 1`, clean(serial)))
}

// Retired are the serials that were taken out and not forgiven.
func (s *core) Retired(ctx context.Context) (out []string, err error) {
	rows, err := s.db.QueryContext(ctx, `SELECT serial FROM retired WHERE forgiven_at = 0 ORDER BY serial`)
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
