package queue_test

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"glia/repairer"
	"glia/repairer/queue"
	"glia/repairer/store"
	"glia/repairer/store/storetest"
)

// database is an open store of either backend.
type database interface {
	repairer.Store
	queue.Acts
	EndPause(ctx context.Context, id string, now time.Time) error
	DB() *sql.DB
	Close() error
}

// bed is one database with the queue of its leader, and what its handler was given.
type bed struct {
	*testing.T
	database
	*queue.Queue
	reopen func() (database, error)

	mu      sync.Mutex
	now     time.Time
	handled []uint64
	texts   []string
	outcome func(e queue.Event) error // of the handler of "work"; nil succeeds
}

var postgres = sync.OnceValues(func() (*storetest.Server, error) {
	return storetest.StartPostgres(context.Background(), "fsync=off")
})

func TestMain(m *testing.M) {
	m.Run()
	if s, err := postgres(); err == nil {
		_ = s.Close()
	}
}

// each runs a test on both databases.
func each(t *testing.T, test func(*bed)) {
	t.Parallel()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "db")
		start(t, test, func() (database, error) { return store.OpenSQLite(context.Background(), path) })
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		srv, err := postgres()
		if errors.Is(err, storetest.ErrNoServer) {
			t.Skip(err)
		}
		if err != nil {
			t.Fatal(err)
		}
		name, err := srv.NewDatabase(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		start(t, test, func() (database, error) {
			return store.OpenPostgres(context.Background(), srv.URL(name), store.Options{})
		})
	})
}

func start(t *testing.T, test func(*bed), open func() (database, error)) {
	b := &bed{T: t, reopen: open, now: time.Date(2026, 3, 29, 0, 59, 59, 5, time.UTC)}
	b.lead()
	t.Cleanup(func() { _ = b.database.Close() })
	test(b)
}

// lead opens the database under a new epoch, as the next leader does.
func (b *bed) lead() {
	b.Helper()
	if b.database != nil {
		if err := b.database.Close(); err != nil {
			b.Fatal(err)
		}
	}
	var err error
	if b.database, err = b.reopen(); err != nil {
		b.Fatal(err)
	}
	b.Queue = b.another()
}

// another is a queue of the same epoch.
func (b *bed) another() *queue.Queue { return b.on(b.DB()) }

// on is one that has its own way to the database.
func (b *bed) on(db *sql.DB) *queue.Queue {
	return queue.New(db, queue.Options{
		Epoch: b.Epoch(), Timeout: 50 * time.Millisecond, Attempts: 3, RetryMin: time.Second, RetryMax: time.Minute, Log: slog.New(slog.DiscardHandler),
		Now: func() time.Time { b.mu.Lock(); defer b.mu.Unlock(); return b.now },
		Handlers: map[string]queue.Handler{
			"work": func(_ context.Context, e queue.Event) error {
				b.mu.Lock()
				defer b.mu.Unlock()
				b.handled, b.texts = append(b.handled, e.ID), append(b.texts, e.Payload)
				if b.outcome != nil {
					return b.outcome(e)
				}
				return nil
			},
			"hang": func(ctx context.Context, _ queue.Event) error { <-ctx.Done(); return ctx.Err() },
		},
	})
}

func (b *bed) pass(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now = b.now.Add(d)
}

// tx runs something in a transaction.
func (b *bed) tx(do func(*sql.Tx) error) error {
	tx, err := b.DB().BeginTx(context.Background(), nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if err := do(tx); err != nil {
		return err
	}
	return tx.Commit()
}

func (b *bed) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func (b *bed) publish(e queue.Event) (id uint64, fresh bool, err error) {
	err = b.tx(func(tx *sql.Tx) (err error) {
		id, fresh, err = queue.Publish(context.Background(), tx, e, time.Now())
		return err
	})
	return id, fresh, err
}

func (b *bed) put(typ string, keys ...string) {
	b.Helper()
	for _, k := range keys {
		if _, _, err := b.publish(queue.Event{Key: k, Type: typ, Payload: k}); err != nil {
			b.Fatal(err)
		}
	}
}

func (b *bed) set(t queue.Timer) {
	b.Helper()
	b.must(b.tx(func(tx *sql.Tx) error { return queue.Set(context.Background(), tx, t) }))
}

func (b *bed) work() {
	b.Helper()
	b.must(b.Work(b.Context()))
}

// did compares what was handled since the last call.
func (b *bed) did(want ...uint64) {
	b.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if !slices.Equal(b.handled, want) {
		b.Fatalf("handled %v, want %v", b.handled, want)
	}
	b.handled = nil
}

// dead are the ids of the dead events.
func (b *bed) dead() (ids []uint64) {
	b.Helper()
	all, err := queue.List(b.Context(), b.DB(), false)
	b.must(err)
	for _, e := range all {
		if e.State == queue.Dead {
			ids = append(ids, e.ID)
		}
	}
	return ids
}
