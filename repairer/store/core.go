// Package store keeps cases, their log and the pauses in SQL: in one SQLite file, or in PostgreSQL when
// several repair hosts share the work.
//
// It guarantees that an event and the row derived from it are one transaction, on disk before the call
// returns; that the log is only ever appended to, without gaps, each event with the hash of the one
// before it; and that one repairer at a time writes, under an epoch that is higher than all before it.
// A deposed one gets glia.ErrStaleEpoch for whatever it writes.
//
// Who has been deposed stops by its own clock a tenth of the lease before another can lead. It asks that
// clock before every act, and calls that are under way end with the lease. The new leader tells its epoch to
// the hand of every host with a started case before its first act. What remains, at most one for each case, is
// an act that had passed the question when its process was stopped, or that was on the network, for longer
// than that tenth. A hand that has heard the newer epoch refuses it. It takes place at a hand that the new
// leader could not reach, and at trackers and storage clusters, which know no epochs. It stands in the log as
// begun, so the new leader goes on with that very step, under the same key.
//
// When the database is full or away, calls fail, nothing is half written, and they work again once it is
// back. An error of a commit whose answer was lost says nothing of its outcome: read before trying again.
package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"github.com/pressly/goose/v3"

	"glia"
)

//go:embed migrations/sqlite/*.sql migrations/postgres/*.sql
var migrations embed.FS

// dialect is where the two databases differ.
type dialect struct {
	name     string // also the folder of its migrations
	goose    goose.Dialect
	options  []goose.ProviderOption
	snapshot sql.TxOptions // of a transaction that sees one state of the database throughout
	newest   string        // query of the newest epoch
	epoch    string        // query of the newest epoch and the head of the log; holds off every other repairer
	current  string        // query of the newest epoch and the newest event of case $1; takes no lock
	tables   string        // query that counts goose's table of versions, without creating it
}

// core is a store on an open database. It is safe for concurrent use.
type core struct {
	dialect dialect
	db      *sql.DB
	name    string // random, so that keys of this database differ from those of every other
	epoch   uint64
	held    func() error    // nil while nobody else can lead
	lost    <-chan struct{} // closed when another repairer may take over; never with SQLite
	writer  chan struct{}   // holds one value while a write goes on, so that each finds the head of the log that it extends

	decoded decoded

	mu      sync.Mutex
	changed chan struct{} // closed and replaced at every write
}

// DB is the handle for the built-in tracker, whose tables are in the same database.
func (s *core) DB() *sql.DB { return s.db }

// Epoch is the epoch of this opening.
func (s *core) Epoch() uint64 { return s.epoch }

// Lost is closed before another repairer can take over. From then on every write is refused; open the
// database again to come back under a new epoch.
func (s *core) Lost() <-chan struct{} { return s.lost }

// Held is nil while no other repairer can take over, and wraps glia.ErrStaleEpoch afterwards. It asks nobody.
func (s *core) Held() error { return s.held() }

// Newest asks the database for the newest epoch that it was opened under.
func (s *core) Newest(ctx context.Context) (epoch uint64, err error) {
	if err := s.db.QueryRowContext(ctx, s.dialect.newest).Scan(&epoch); err != nil {
		return 0, fmt.Errorf("read the newest epoch: %w", err)
	}
	return epoch, nil
}

// whileLed is a context that also ends when the lease is lost, so that nothing waits for a database that does
// not answer.
func whileLed(ctx context.Context, lost <-chan struct{}) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-lost:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// Changed is closed at the next write.
func (s *core) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

func (s *core) notify() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.changed)
	s.changed = make(chan struct{})
}

func newCore(d dialect) core {
	return core{dialect: d, held: func() error { return nil }, lost: make(chan struct{}), writer: make(chan struct{}, 1), changed: make(chan struct{})}
}

// write runs fn in a transaction, under this opening's epoch.
func (s *core) write(ctx context.Context, fn func(*sql.Tx, head) error) error {
	return s.alone(ctx, func(ctx context.Context) error { return s.transact(ctx, fn) })
}

// alone runs one write at a time. It ends when the lease is lost, even if the database does not answer.
func (s *core) alone(ctx context.Context, fn func(context.Context) error) error {
	ctx, cancel := whileLed(ctx, s.lost)
	defer cancel()
	err := s.inTurn(ctx, fn)
	select {
	case <-s.lost:
		if err != nil && !errors.Is(err, glia.ErrStaleEpoch) {
			err = fmt.Errorf("%w: %w", glia.ErrStaleEpoch, err)
		}
	default:
	}
	return err
}

func (s *core) inTurn(ctx context.Context, fn func(context.Context) error) error {
	select {
	case s.writer <- struct{}{}:
		defer func() { <-s.writer }()
	case <-ctx.Done():
		return fmt.Errorf("wait to write to the database: %w", ctx.Err())
	}
	if err := s.held(); err != nil {
		return fmt.Errorf("this repairer no longer leads: %w", err)
	}
	err := fn(ctx)
	if err == nil || errors.As(err, new(unconfirmed)) {
		s.notify()
	}
	return err
}

// unconfirmed is the error of a commit: what was written may be there all the same.
type unconfirmed struct{ error }

func (u unconfirmed) Unwrap() error { return u.error }

func (s *core) transact(ctx context.Context, fn func(*sql.Tx, head) error) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("write to the database: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // does nothing after a commit
	h, err := s.head(tx.QueryRowContext(ctx, s.dialect.epoch))
	if err != nil {
		return err
	}
	if err := fn(tx, h); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return unconfirmed{fmt.Errorf("commit to the database: %w", err)}
	}
	return nil
}

// head reads the head of the log from what the dialect's epoch query found, and refuses another epoch than ours.
func (s *core) head(row scanner) (head, error) {
	h := head{hash: genesis}
	var newest uint64
	var seq sql.Null[uint64]
	var hash sql.NullString
	if err := row.Scan(&newest, &seq, &hash); err != nil {
		return h, fmt.Errorf("read the newest epoch: %w", err)
	}
	if seq.Valid {
		h = head{seq.V, hash.String}
	}
	if newest != s.epoch {
		return h, fmt.Errorf("this repairer has epoch %d, the database %d: %w", s.epoch, newest, glia.ErrStaleEpoch)
	}
	return h, nil
}

// provider knows the migrations of the database. Making it changes nothing.
func (d dialect) provider(db *sql.DB) (*goose.Provider, int64, error) {
	sub, err := fs.Sub(migrations, "migrations/"+d.name)
	if err != nil {
		return nil, 0, err
	}
	p, err := goose.NewProvider(d.goose, db, sub, d.options...)
	if err != nil {
		return nil, 0, err
	}
	sources := p.ListSources()
	return p, sources[len(sources)-1].Version, nil
}

// refuseNewer looks at the version of the database and changes nothing.
func (d dialect) refuseNewer(ctx context.Context, db *sql.DB) error {
	_, known, err := d.provider(db)
	if err != nil {
		return err
	}
	var tables int
	if err := db.QueryRowContext(ctx, d.tables).Scan(&tables); err != nil || tables == 0 {
		return err
	}
	var have int64
	if err := db.QueryRowContext(ctx, `SELECT coalesce(max(version_id), 0) FROM goose_db_version WHERE is_applied`).Scan(&have); err != nil {
		return err
	}
	if have > known {
		return fmt.Errorf("%w %d and this repairer knows versions up to %d; use the newer repairer that wrote it", errNewer, have, known)
	}
	return nil
}

var errNewer = errors.New("it is of version")

// migrate brings the database to the newest version.
func (d dialect) migrate(ctx context.Context, db *sql.DB) error {
	if err := d.refuseNewer(ctx, db); err != nil {
		return err
	}
	p, known, err := d.provider(db)
	if err != nil {
		return err
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("bring it to version %d: %w", known, err)
	}
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
