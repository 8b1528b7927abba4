package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"glia/repairer"
)

// Append adds events of one case to the log and derives its row. It is core's Append in two round trips instead of six:
// what waits for no answer is sent together.
func (s *Postgres) Append(ctx context.Context, events ...repairer.Event) (c repairer.Case, err error) {
	row, err := rowOf(events)
	if err != nil {
		return c, err
	}
	err = s.alone(ctx, func(ctx context.Context) error {
		conn, err := s.db.Conn(ctx)
		if err != nil {
			return fmt.Errorf("write to the database: %w", err)
		}
		defer func() { _ = conn.Close() }() // gives it back to the pool, which drops a broken one
		return conn.Raw(func(raw any) error {
			c, err = s.pipeline(ctx, raw.(*stdlib.Conn).Conn(), row, events)
			return err
		})
	})
	return c, err
}

// pipeline is one transaction on the connection. Nothing of it is in the database unless the database has confirmed its end.
func (s *Postgres) pipeline(ctx context.Context, conn *pgx.Conn, row int64, events []repairer.Event) (c repairer.Case, err error) {
	defer func() {
		if err != nil {
			rollback(ctx, conn)
		}
	}()
	var reads pgx.Batch
	reads.Queue("BEGIN")
	reads.Queue(s.dialect.epoch)
	reads.Queue(caseDoc, row)
	found := conn.SendBatch(ctx, &reads)
	defer func() { _ = found.Close() }() // for an error; its own is told below
	if _, err := found.Exec(); err != nil {
		return c, fmt.Errorf("write to the database: %w", err)
	}
	h, err := s.head(found.QueryRow())
	if err != nil {
		return c, err
	}
	if c, err = s.known(found.QueryRow(), events[0]); err != nil {
		return c, err
	}
	if err := found.Close(); err != nil {
		return c, fmt.Errorf("write to the database: %w", err)
	}
	c, changes, err := s.derive(ctx, h, c, events...)
	if err != nil {
		return c, err
	}
	var writes pgx.Batch
	for _, st := range changes {
		writes.Queue(st.query, st.args...)
	}
	writes.Queue("COMMIT")
	if err := commit(conn.SendBatch(ctx, &writes), len(changes)); err != nil {
		return c, unconfirmed{err}
	}
	return c, nil
}

// commit reads the answers to so many changes and the end of their transaction.
func commit(done pgx.BatchResults, changes int) (err error) {
	defer func() { err = errors.Join(err, done.Close()) }()
	for range changes {
		if _, err := done.Exec(); err != nil {
			return err
		}
	}
	switch tag, err := done.Exec(); {
	case err != nil:
		return fmt.Errorf("commit to the database: %w", err)
	case tag.String() != "COMMIT":
		return fmt.Errorf("commit to the database: it answers %s", tag)
	}
	return nil
}

// rollback leaves the connection as it was, or closed.
func rollback(ctx context.Context, conn *pgx.Conn) {
	if conn.IsClosed() || conn.PgConn().TxStatus() == 'I' { // idle
		return
	}
	if _, err := conn.Exec(ctx, "ROLLBACK"); err != nil {
		_ = conn.Close(ctx) // the database then rolls back by itself
	}
}
