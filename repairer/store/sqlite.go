// Package store keeps cases, their log and the pauses in SQLite.
//
// It guarantees that an event and the row derived from it are one transaction, on disk before the call
// returns (WAL with full sync); that the log is only ever appended to; and that one process at a time
// has the database open. A lock on the file beside it says who; the kernel drops it when that process
// dies. Every opening has a higher epoch than all before it.
package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/pressly/goose/v3"
	"golang.org/x/sys/unix"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"glia"
	"glia/repairer"
)

//go:embed migrations/*.sql
var migrations embed.FS

// SQLite is the store in one file. It is safe for concurrent use.
type SQLite struct {
	db    *sql.DB
	lock  *os.File
	name  string // random, so that keys of this database differ from those of every other
	epoch uint64

	mu      sync.Mutex
	changed chan struct{} // closed and replaced at every write
}

var _ repairer.Store = (*SQLite)(nil)

// OpenSQLite opens or creates the database at path. It refuses a database that another process has
// open, one of a newer version and one that is damaged, and changes nothing in these cases.
func OpenSQLite(ctx context.Context, path string) (_ *SQLite, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("open database %s: %w", path, err)
		}
	}()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	lock, err := lockFile(path + ".lock")
	if err != nil {
		return nil, err
	}
	s := &SQLite{lock: lock, changed: make(chan struct{})}
	defer func() {
		if err != nil {
			_ = s.Close()
		}
	}()
	q := url.Values{"_txlock": {"immediate"}, "_pragma": {"busy_timeout(5000)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)"}}
	if s.db, err = sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+q.Encode()); err != nil {
		return nil, err
	}
	s.db.SetMaxOpenConns(4)
	if err := s.check(ctx); err != nil {
		return nil, err
	}
	if err := s.migrate(ctx); err != nil {
		return nil, err
	}
	row := s.db.QueryRowContext(ctx, `UPDATE epoch SET epoch = epoch + 1 RETURNING store, epoch`)
	if err := row.Scan(&s.name, &s.epoch); err != nil {
		return nil, fmt.Errorf("take a new epoch: %w", err)
	}
	return s, nil
}

// lockFile takes the lock that says who has the database open.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		who, _ := io.ReadAll(io.LimitReader(f, 200))
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("another repairer has it open (%s); run one repairer on one database", strings.TrimSpace(string(who)))
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	if err := f.Truncate(0); err != nil {
		_ = f.Close()
		return nil, err
	}
	host, _ := os.Hostname()
	if _, err := f.WriteAt(fmt.Appendf(nil, "process %d on %s\n", os.Getpid(), host), 0); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// check refuses a file that is no database or a damaged one.
func (s *SQLite) check(ctx context.Context) error {
	var answer string
	if err := s.db.QueryRowContext(ctx, `PRAGMA quick_check(1)`).Scan(&answer); err != nil {
		return fmt.Errorf("check that it is whole: %w; restore it from a backup, or move it away to start with an empty one", err)
	}
	if answer != "ok" {
		return fmt.Errorf("it is damaged (%s); restore it from a backup, or move it away to start with an empty one", answer)
	}
	return nil
}

func (s *SQLite) migrate(ctx context.Context) error {
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, s.db, sub)
	if err != nil {
		return err
	}
	have, err := version(ctx, s.db)
	if err != nil {
		return err
	}
	sources := p.ListSources()
	known := sources[len(sources)-1].Version
	if have > known {
		return fmt.Errorf("it is of version %d and this repairer knows versions up to %d; use the newer repairer that wrote it", have, known)
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("bring it to version %d: %w", known, err)
	}
	return nil
}

// version reads the schema version without creating anything.
func version(ctx context.Context, db *sql.DB) (int64, error) {
	var tables int
	if err := db.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_master WHERE name = 'goose_db_version'`).Scan(&tables); err != nil || tables == 0 {
		return 0, err
	}
	var v int64
	err := db.QueryRowContext(ctx, `SELECT coalesce(max(version_id), 0) FROM goose_db_version WHERE is_applied`).Scan(&v)
	return v, err
}

// DB is the handle for the built-in tracker, whose tables are in the same file.
func (s *SQLite) DB() *sql.DB { return s.db }

// Epoch is the epoch of this opening.
func (s *SQLite) Epoch() uint64 { return s.epoch }

// Close closes the database and lets go of the lock.
func (s *SQLite) Close() error {
	var errs []error
	if s.db != nil {
		errs = append(errs, s.db.Close())
	}
	return errors.Join(append(errs, s.lock.Close())...)
}

// Changed is closed at the next write.
func (s *SQLite) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

func (s *SQLite) notify() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.changed)
	s.changed = make(chan struct{})
}

// write runs fn in a transaction, under this opening's epoch.
func (s *SQLite) write(ctx context.Context, fn func(*sql.Tx) error) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // does nothing after a commit
	var newest uint64
	if err := tx.QueryRowContext(ctx, `SELECT epoch FROM epoch`).Scan(&newest); err != nil {
		return err
	}
	if newest != s.epoch {
		return fmt.Errorf("this repairer has epoch %d, the database %d: %w", s.epoch, newest, glia.ErrStaleEpoch)
	}
	if err := fn(tx); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	s.notify()
	return nil
}

func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func fromNanos(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}
