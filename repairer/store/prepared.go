package store

import (
	"context"
	"database/sql/driver"
	"errors"
)

// prepared is SQLite that parses a statement once a connection, and not at each use: to parse one of the store's
// costs more than to carry it out. For PostgreSQL, pgx does the same by itself.
type prepared struct{ driver.Connector }

// Connect is part of driver.Connector.
func (p prepared) Connect(ctx context.Context) (driver.Conn, error) {
	c, err := p.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	whole, ok := c.(sqliteConn)
	if !ok {
		return nil, errors.Join(errors.New("the SQLite driver lacks what the store needs"), c.Close())
	}
	return &preparedConn{sqliteConn: whole, known: map[string]*preparedStmt{}}, nil
}

// sqliteConn is what database/sql finds in a connection of SQLite.
type sqliteConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
}

// keepPrepared bounds the statements that a connection keeps. The store has fewer.
const keepPrepared = 64

// preparedConn is one connection, used by one goroutine at a time. It has no QueryContext, so that database/sql
// prepares every query.
type preparedConn struct {
	sqliteConn
	known map[string]*preparedStmt
}

// ExecContext leaves what has arguments to be prepared. What has none may be a script of several statements.
func (c *preparedConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if len(args) > 0 {
		return nil, driver.ErrSkip
	}
	return c.sqliteConn.ExecContext(ctx, query, args)
}

// PrepareContext gives out the statement that is known, unless its rows are being read at this moment.
func (c *preparedConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	s, ok := c.known[query]
	if ok && !s.inUse {
		s.inUse = true
		return s, nil
	}
	fresh, err := c.sqliteConn.PrepareContext(ctx, query)
	if err != nil || ok || len(c.known) >= keepPrepared {
		return fresh, err
	}
	whole, ok := fresh.(sqliteStmt)
	if !ok {
		return fresh, nil
	}
	s = &preparedStmt{sqliteStmt: whole, inUse: true}
	c.known[query] = s
	return s, nil
}

// Close also frees what was kept.
func (c *preparedConn) Close() error {
	var errs []error
	for _, s := range c.known {
		errs = append(errs, s.sqliteStmt.Close())
	}
	clear(c.known)
	return errors.Join(append(errs, c.sqliteConn.Close())...)
}

// sqliteStmt is what database/sql finds in a statement of SQLite.
type sqliteStmt interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

// preparedStmt is a statement that outlives its use.
type preparedStmt struct {
	sqliteStmt
	inUse bool
}

// Close gives the statement back.
func (s *preparedStmt) Close() error {
	s.inUse = false
	return nil
}
