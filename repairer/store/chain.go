package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"glia/internal/access"
	"glia/repairer"
)

// genesis stands for the hash before the first event.
const genesis = "0000000000000000000000000000000000000000000000000000000000000000"

// page is how many events are read at a time where the whole log is read, so that memory does not grow with it.
const page = 500

// entry is one event as it stands in the log.
type entry struct {
	Seq   uint64          `json:"seq"`
	Case  string          `json:"case"` // empty: of no case
	At    int64           `json:"at"`   // nanoseconds since 1970, UTC; 0 for no time
	Epoch uint64          `json:"epoch"`
	Kind  string          `json:"kind"`
	Step  string          `json:"step"`
	Text  string          `json:"text"`
	Data  json.RawMessage `json:"data"`

	prev string // hash of the event before
	hash string // as stored
}

// clean makes text that every backend takes. PostgreSQL refuses NUL and broken UTF-8, which the output of a
// command and the serial of a broken disk may hold.
func clean(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// newEntry is the event as it will be stored.
func newEntry(e repairer.Event) (entry, error) {
	data, err := json.Marshal(e.Data)
	return entry{Seq: e.Seq, Case: e.Case, At: nanos(e.At), Epoch: e.Epoch, Kind: string(e.Kind), Step: clean(e.Step), Text: clean(e.Text), Data: data}, err
}

// event is the entry as the case machine reads it.
func (e entry) event() (repairer.Event, error) {
	out := repairer.Event{Seq: e.Seq, Case: e.Case, At: fromNanos(e.At), Epoch: e.Epoch, Kind: repairer.Kind(e.Kind), Step: e.Step, Text: e.Text}
	if err := json.Unmarshal(e.Data, &out.Data); err != nil {
		return out, fmt.Errorf("event %d: %w", e.Seq, err)
	}
	return out, nil
}

// sum is the hash that the entry must have: of prev and the entry's own JSON, in the order of the
// fields above.
func (e entry) sum() (string, error) {
	b, err := json.Marshal(e)
	if err != nil {
		return "", fmt.Errorf("event %d: %w", e.Seq, err)
	}
	h := sha256.Sum256(append([]byte(e.prev), b...))
	return hex.EncodeToString(h[:]), nil
}

// line is the entry for an export: the JSON that the hash is of, with prev and hash added at its end.
func (e entry) line() ([]byte, error) {
	b, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("event %d: %w", e.Seq, err)
	}
	links, err := json.Marshal(struct {
		Prev string `json:"prev"`
		Hash string `json:"hash"`
	}{e.prev, e.hash})
	if err != nil {
		return nil, err
	}
	return slices.Concat(b[:len(b)-1], []byte(","), links[1:]), nil
}

// querier is a database, a connection or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// head is the end of the log.
type head struct {
	seq  uint64 // of the newest event; 0 for an empty log
	hash string
}

const entryColumns = `seq, case_id, at, epoch, kind, step, text, data, prev, hash`

// entries reads the next page of the log after the event.
func entries(ctx context.Context, q querier, after uint64) ([]entry, error) {
	return scanEntries(q.QueryContext(ctx, `SELECT `+entryColumns+` FROM events WHERE seq > $1 ORDER BY seq LIMIT $2`, after, page))
}

func scanEntries(rows *sql.Rows, err error) (out []entry, _ error) {
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // its error is rows.Err's
	for rows.Next() {
		var e entry
		var row sql.NullInt64
		var data string
		if err := rows.Scan(&e.Seq, &row, &e.At, &e.Epoch, &e.Kind, &e.Step, &e.Text, &data, &e.prev, &e.hash); err != nil {
			return nil, err
		}
		if row.Valid {
			e.Case = caseID(row.Int64)
		}
		e.Data = json.RawMessage(data)
		out = append(out, e)
	}
	return out, rows.Err()
}

// statement is one change of the database.
type statement struct {
	query string
	args  []any
}

// link makes the statement that adds one event to the log after the head, and returns the event as it will be
// stored: with who asked for it, if the context is that of a call. A row that is not valid stands for no case.
func (s *core) link(ctx context.Context, h head, row sql.NullInt64, e repairer.Event) (repairer.Event, head, statement, error) {
	e.Seq, e.Epoch = h.seq+1, s.epoch
	if who, request, ok := access.From(ctx); ok {
		e.Data.Caller, e.Data.Request = who.String(), request
	}
	stored, err := newEntry(e)
	if err != nil {
		return e, h, statement{}, err
	}
	stored.prev = h.hash
	if stored.hash, err = stored.sum(); err != nil {
		return e, h, statement{}, err
	}
	if e, err = stored.event(); err != nil {
		return e, h, statement{}, err
	}
	return e, head{stored.Seq, stored.hash}, statement{
		`INSERT INTO events (` + entryColumns + `) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
		[]any{stored.Seq, row, stored.At, stored.Epoch, stored.Kind, stored.Step, stored.Text, string(stored.Data), stored.prev, stored.hash},
	}, nil
}

// chainOld gives the events of version 1 their hashes.
func chainOld(ctx context.Context, tx *sql.Tx) error {
	for _, q := range []string{
		`ALTER TABLE events ADD COLUMN prev TEXT NOT NULL DEFAULT ''`,
		`ALTER TABLE events ADD COLUMN hash TEXT NOT NULL DEFAULT ''`,
		`DROP TRIGGER events_stay`,
	} {
		if _, err := tx.ExecContext(ctx, q); err != nil {
			return err
		}
	}
	after, prev := uint64(0), genesis
	for {
		list, err := entries(ctx, tx, after)
		if err != nil {
			return err
		}
		for _, e := range list {
			e.prev = prev
			if e.hash, err = e.sum(); err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, `UPDATE events SET prev = $1, hash = $2 WHERE seq = $3`, e.prev, e.hash, e.Seq); err != nil {
				return err
			}
			after, prev = e.Seq, e.hash
		}
		if len(list) < page {
			break
		}
	}
	_, err := tx.ExecContext(ctx, `CREATE TRIGGER events_stay BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END`)
	return err
}
