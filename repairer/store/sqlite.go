package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/pressly/goose/v3"
	"golang.org/x/sys/unix"
	"modernc.org/sqlite"

	"glia/repairer"
)

// SQLite is the store in one file, with WAL and full sync. One process at a time has it open: a lock on
// the file beside it says who, and the kernel drops it when that process dies. It is safe for concurrent use.
type SQLite struct {
	core
	lock *os.File
}

var (
	_ repairer.Store   = (*SQLite)(nil)
	_ repairer.Auditor = (*SQLite)(nil)
)

// A write transaction takes SQLite's write lock as it begins, so reading the epoch needs no lock of its own.
var sqliteDialect = dialect{
	name: "sqlite", goose: goose.DialectSQLite3,
	options:  []goose.ProviderOption{goose.WithGoMigrations(goose.NewGoMigration(2, &goose.GoFunc{RunTx: chainOld}, nil), goose.NewGoMigration(5, derived, nil), goose.NewGoMigration(6, derived, nil))},
	snapshot: sql.TxOptions{ReadOnly: true},
	newest:   `SELECT epoch FROM epoch`,
	epoch:    `SELECT epoch, seq, hash FROM epoch LEFT JOIN (SELECT seq, hash FROM events ORDER BY seq DESC LIMIT 1) AS newest ON true`,
	current:  `SELECT epoch, (SELECT max(seq) FROM events WHERE case_id = $1) FROM epoch`,
	tables:   `SELECT count(*) FROM sqlite_master WHERE name = 'goose_db_version'`,
}

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
	s := &SQLite{core: newCore(sqliteDialect), lock: lock}
	defer func() {
		if err != nil {
			_ = s.Close()
		}
	}()
	q := url.Values{"_txlock": {"immediate"}, "_pragma": {"busy_timeout(5000)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)"}}
	connector, err := sqlite.NewConnector("file:" + (&url.URL{Path: path}).EscapedPath() + "?" + q.Encode())
	if err != nil {
		return nil, err
	}
	s.db = sql.OpenDB(prepared{connector})
	s.db.SetMaxOpenConns(4)
	if err := s.check(ctx); err != nil {
		return nil, err
	}
	if err := s.dialect.migrate(ctx, s.db); err != nil {
		return nil, err
	}
	// A new database begins later than one whose place it has taken, as the hands still know it: at the seconds since 1970.
	row := s.db.QueryRowContext(ctx, `UPDATE epoch SET epoch = CASE epoch WHEN 0 THEN unixepoch() ELSE epoch + 1 END RETURNING store, epoch`)
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
	if err := flock(f); err != nil {
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

// inherited is how long a lock may outlive its holder: a process that starts a command holds copies of
// all its files for the moment between fork and exec.
const inherited = 500 * time.Millisecond

func flock(f *os.File) error {
	for end := time.Now().Add(inherited); ; time.Sleep(inherited / 50) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) || time.Now().After(end) {
			return err
		}
	}
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

// Close closes the database and lets go of the lock.
func (s *SQLite) Close() error {
	var errs []error
	if s.db != nil {
		errs = append(errs, s.db.Close())
	}
	return errors.Join(append(errs, s.lock.Close())...)
}
