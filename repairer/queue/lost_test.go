package queue_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"modernc.org/sqlite"

	"glia/repairer/queue"
	"glia/repairer/store"
)

func TestQueue_Q3_EndThatTheDatabaseDidNotTakeIsWrittenLater(t *testing.T) {
	each(t, func(b *bed) {
		b.put("work", "a", "b", "c")
		rename := func(from, to string) error {
			_, err := b.DB().Exec(`ALTER TABLE ` + from + ` RENAME TO ` + to)
			return err
		}
		failed := errors.New("no luck")
		for _, outcome := range []error{nil, failed} {
			b.outcome = func(queue.Event) error {
				if err := rename("queue", "away"); err != nil {
					b.Error(err)
				}
				return outcome
			}
			if err := b.Work(b.Context()); err == nil {
				b.Fatal("the end of a claim was written to a table that is away")
			}
			b.must(rename("away", "queue"))
		}
		b.did(1, 2)
		b.outcome = nil
		b.work()
		b.did(3) // the first is done, the wait of the second not over
		b.pass(time.Minute)
		b.work()
		b.did(2)
		if all, err := queue.List(b.Context(), b.DB(), false); err != nil || len(all) != 0 {
			b.Errorf("not done are %v, %v", all, err)
		}
	})
}

// deaf is a way to SQLite on which the answer of a claim is lost when it is told so.
type deaf struct {
	driver.Connector
	lose *atomic.Bool
}

type deafConn struct {
	driver.Conn
	lose *atomic.Bool
}

func (d deaf) Connect(ctx context.Context) (driver.Conn, error) {
	c, err := d.Connector.Connect(ctx)
	return deafConn{c, d.lose}, err
}

func (c deafConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	r, err := c.Conn.(driver.ExecerContext).ExecContext(ctx, query, args)
	if err == nil && strings.Contains(query, "SET state = 'claimed'") && c.lose.CompareAndSwap(true, false) {
		return nil, errors.New("the answer is lost")
	}
	return r, err
}

func TestQueue_Q3_ClaimWhoseAnswerIsLostIsTakenBack(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "db")
	start(t, func(b *bed) {
		connector, err := sqlite.NewConnector("file:" + path + "?_pragma=busy_timeout(5000)")
		b.must(err)
		lose := &atomic.Bool{}
		db := sql.OpenDB(deaf{connector, lose})
		defer db.Close()
		b.Queue = b.on(db)
		b.put("work", "a", "b")
		for range 5 { // more often than an event is tried
			lose.Store(true)
			if err := b.Work(b.Context()); err == nil || lose.Load() {
				b.Fatalf("the answer of the claim was not lost: %v", err)
			}
		}
		b.did()
		b.work()
		b.did(1, 2)
	}, func() (database, error) { return store.OpenSQLite(context.Background(), path) })
}
