// Package ticket is the built-in tracker, for sites that have no ticket system yet. Its tickets live
// in the repairer's own database and are worked on with glia ticket.
//
// It guarantees that a second call with the same key changes nothing, also after a crash between the
// call and its answer.
package ticket

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"glia"
	"glia/repairer"
)

// Author is who writes glia's own comments.
const Author = "glia"

// Builtin is the built-in tracker. It is safe for concurrent use.
type Builtin struct {
	db  *sql.DB
	now func() time.Time
}

var (
	_ repairer.Tracker = (*Builtin)(nil)
	_ repairer.Desk    = (*Builtin)(nil)
)

// New makes the tracker on the tables of the store's database.
func New(db *sql.DB, now func() time.Time) *Builtin { return &Builtin{db: db, now: now} }

// File creates the ticket, or finds the one with that key.
func (b *Builtin) File(ctx context.Context, key string, t repairer.Ticket) (string, error) {
	now := b.now().UnixNano()
	var row int64
	err := b.db.QueryRowContext(ctx, `INSERT INTO tickets (key, case_id, title, body, status, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (key) DO UPDATE SET key = excluded.key RETURNING id`, key, t.Case, t.Title, t.Body, repairer.TicketOpen, now, now).Scan(&row)
	if err != nil {
		return "", fmt.Errorf("file ticket %q: %w", t.Title, err)
	}
	return "t" + strconv.FormatInt(row, 10), nil
}

// Find is the ticket that was filed with the key.
func (b *Builtin) Find(ctx context.Context, key string) (string, error) {
	var row int64
	err := b.db.QueryRowContext(ctx, `SELECT id FROM tickets WHERE key = $1`, key).Scan(&row)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return "", fmt.Errorf("ticket with the key %s: %w", key, glia.ErrNotFound)
	case err != nil:
		return "", fmt.Errorf("find the ticket with the key %s: %w", key, err)
	}
	return "t" + strconv.FormatInt(row, 10), nil
}

// Update gives the ticket this title and body. That is no answer of a person, so UpdatedAt stays.
func (b *Builtin) Update(ctx context.Context, id, title, body string) error {
	row, err := rowID(id)
	if err != nil {
		return err
	}
	res, err := b.db.ExecContext(ctx, `UPDATE tickets SET title = $1, body = $2 WHERE id = $3`, title, body, row)
	if err != nil {
		return fmt.Errorf("update ticket %s: %w", id, err)
	}
	if n, err := res.RowsAffected(); err != nil || n > 0 {
		return err
	}
	return fmt.Errorf("ticket %s: %w", id, glia.ErrNotFound)
}

// Attach adds the file as a comment: these tickets are read on terminals.
func (b *Builtin) Attach(ctx context.Context, key, id, name string, data []byte) error {
	text := fmt.Sprintf("Attached %s:\n%s", name, strings.ToValidUTF8(string(data), "?"))
	return b.change(ctx, key, id, Author, text, "", "")
}

// Comment adds a comment.
func (b *Builtin) Comment(ctx context.Context, key, id, text string) error {
	return b.change(ctx, key, id, Author, text, "", "")
}

// Reopen gives the ticket back to the person, with the reason.
func (b *Builtin) Reopen(ctx context.Context, key, id, text string) error {
	return b.change(ctx, key, id, Author, text, repairer.TicketOpen, "")
}

// Close ends the ticket.
func (b *Builtin) Close(ctx context.Context, key, id, text string) error {
	return b.change(ctx, key, id, Author, text, repairer.TicketClosed, "")
}

// change adds a comment and sets the status, once for each key. An empty status stays.
func (b *Builtin) change(ctx context.Context, key, id, author, text, status, resolution string) (err error) {
	row, err := rowID(id)
	if err != nil {
		return err
	}
	tx, err := b.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("ticket %s: %w", id, err)
	}
	defer func() { _ = tx.Rollback() }() // does nothing after a commit
	now := b.now().UnixNano()
	var there int
	switch err := tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM tickets WHERE id = $1`, row).Scan(&there); {
	case err != nil:
		return fmt.Errorf("read ticket %s: %w", id, err)
	case there == 0:
		return fmt.Errorf("ticket %s: %w", id, glia.ErrNotFound)
	}
	res, err := tx.ExecContext(ctx, `INSERT INTO ticket_comments (ticket_id, key, at, author, text) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING`, row, key, now, author, text)
	if err != nil {
		return fmt.Errorf("comment on ticket %s: %w", id, err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return err
	}
	if _, err := tx.ExecContext(ctx, `UPDATE tickets SET updated_at = $1, status = CASE WHEN $2 = '' THEN status ELSE $2 END,
		resolution = CASE WHEN $2 = $3 THEN '' WHEN $4 = '' THEN resolution ELSE $4 END WHERE id = $5`,
		now, status, repairer.TicketOpen, resolution, row); err != nil {
		return fmt.Errorf("change ticket %s: %w", id, err)
	}
	return tx.Commit()
}

// Ticket reads one ticket with its comments.
func (b *Builtin) Ticket(ctx context.Context, id string) (t repairer.Ticket, err error) {
	row, err := rowID(id)
	if err != nil {
		return t, err
	}
	list, err := b.tickets(ctx, `WHERE id = $1`, row)
	if err != nil {
		return t, err
	}
	if len(list) == 0 {
		return t, fmt.Errorf("ticket %s: %w", id, glia.ErrNotFound)
	}
	t = list[0]
	rows, err := b.db.QueryContext(ctx, `SELECT at, author, text FROM ticket_comments WHERE ticket_id = $1 ORDER BY id`, row)
	if err != nil {
		return t, fmt.Errorf("comments of ticket %s: %w", id, err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var c repairer.Comment
		var at int64
		if err := rows.Scan(&at, &c.Author, &c.Text); err != nil {
			return t, err
		}
		c.At = time.Unix(0, at).UTC()
		t.Comments = append(t.Comments, c)
	}
	return t, rows.Err()
}

// Tickets lists the tickets that are not closed, or all, without their comments.
func (b *Builtin) Tickets(ctx context.Context, all bool) ([]repairer.Ticket, error) {
	return b.tickets(ctx, `WHERE $1 OR status <> $2`, all, repairer.TicketClosed)
}

func (b *Builtin) tickets(ctx context.Context, where string, args ...any) (out []repairer.Ticket, err error) {
	rows, err := b.db.QueryContext(ctx, `SELECT id, case_id, title, body, status, resolution, created_at, updated_at FROM tickets `+where+` ORDER BY id`, args...)
	if err != nil {
		return nil, fmt.Errorf("read tickets: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var t repairer.Ticket
		var row, created, updated int64
		if err := rows.Scan(&row, &t.Case, &t.Title, &t.Body, &t.Status, &t.Resolution, &created, &updated); err != nil {
			return nil, err
		}
		t.ID, t.CreatedAt, t.UpdatedAt = "t"+strconv.FormatInt(row, 10), time.Unix(0, created).UTC(), time.Unix(0, updated).UTC()
		out = append(out, t)
	}
	return out, rows.Err()
}

// Resolve is what a person does when the work is done, or will not be. Resolving a resolved ticket in
// the same way again changes nothing.
func (b *Builtin) Resolve(ctx context.Context, id, resolution, person, comment string) (repairer.Ticket, error) {
	if !slices.Contains(repairer.Resolutions, resolution) {
		return repairer.Ticket{}, fmt.Errorf("resolution %q is not one of %s", resolution, strings.Join(repairer.Resolutions, ", "))
	}
	t, err := b.Ticket(ctx, id)
	switch {
	case err != nil:
		return t, err
	case t.Status == repairer.TicketClosed:
		return t, fmt.Errorf("ticket %s is closed already", id)
	case t.Status == repairer.TicketResolved && t.Resolution == resolution:
		return t, nil
	}
	text := "resolved: " + resolution
	if comment != "" {
		text += ". " + comment
	}
	key := fmt.Sprintf("%s/resolve/%d", id, t.UpdatedAt.UnixNano())
	if err := b.change(ctx, key, id, person, text, repairer.TicketResolved, resolution); err != nil {
		return t, err
	}
	return b.Ticket(ctx, id)
}

func rowID(id string) (int64, error) {
	n, err := strconv.ParseInt(strings.TrimPrefix(id, "t"), 10, 64)
	if err != nil || !strings.HasPrefix(id, "t") {
		return 0, fmt.Errorf("ticket %q: %w; tickets are named like t17", id, glia.ErrNotFound)
	}
	return n, nil
}
