package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"glia/repairer"
)

// DefaultTTL is how long a repairer that has died keeps the others from taking over. One of them does so within
// a tenth of it afterwards.
const DefaultTTL = 10 * time.Second

// Options are how a repairer takes part in PostgreSQL. The zero value is usable.
type Options struct {
	TTL      time.Duration // of the lease; 0 is DefaultTTL; the same for all repairers
	Holder   string        // who we are, for people; empty is host and process
	Password string        // empty when the URL, PGPASSFILE or the server's trust makes it needless
	Log      *slog.Logger  // nil is none

	stall func() // see lease
}

// Postgres is the store in a PostgreSQL database that several repairers share; one of them leads at a
// time. It is safe for concurrent use.
type Postgres struct {
	core
	lease *lease
}

var (
	_ repairer.Store   = (*Postgres)(nil)
	_ repairer.Auditor = (*Postgres)(nil)
)

// A write holds the row of the lease. The one who takes over waits for that row, so it finds everything that
// its predecessor has committed, and the predecessor commits nothing afterwards.
var postgresDialect = dialect{
	name: "postgres", goose: goose.DialectPostgres,
	snapshot: sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true},
	epoch: `SELECT lease.epoch, seq, hash FROM lease LEFT JOIN (SELECT seq, hash FROM events ORDER BY seq DESC LIMIT 1) AS newest ON true
		FOR UPDATE OF lease`,
	current: `SELECT epoch, (SELECT max(seq) FROM events WHERE case_id = $1) FROM lease`,
	tables:  `SELECT count(*) FROM pg_class WHERE oid = to_regclass('goose_db_version')`,
}

// OpenPostgres waits until this repairer leads on the database of the URL, or the context ends. It needs a
// database of its own that exists; the tables it makes itself. It refuses a database of a newer version
// and changes nothing in it. Through a pooler it needs session pooling.
func OpenPostgres(ctx context.Context, url string, o Options) (_ *Postgres, err error) {
	c, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("open database %s on %s: %w", c.Database, c.Host, err)
		}
	}()
	c.Password = cmp.Or(o.Password, c.Password)
	o.TTL = cmp.Or(o.TTL, DefaultTTL)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Holder == "" {
		host, _ := os.Hostname()
		o.Holder = fmt.Sprintf("process %d on %s", os.Getpid(), host)
	}
	c.RuntimeParams["application_name"] = "glia repairer: " + o.Holder
	l := &lease{holder: o.Holder, ttl: o.TTL, log: o.Log, stall: o.stall, lost: make(chan struct{}), ended: make(chan struct{})}
	l.db = connect(c, o.TTL, 0)
	l.db.SetMaxOpenConns(1)
	until, err := l.acquire(ctx, func(ctx context.Context) error { return postgresDialect.refuseNewer(ctx, l.db) })
	if err != nil {
		return nil, errors.Join(err, l.db.Close())
	}
	keep, stop := context.WithCancel(context.WithoutCancel(ctx))
	l.stop = stop
	go l.keep(keep, until)

	s := &Postgres{lease: l, core: newCore(postgresDialect)}
	s.db, s.name, s.epoch, s.lost = connect(c, o.TTL, l.epoch), l.store, l.epoch, l.lost
	s.db.SetMaxOpenConns(8)
	s.db.SetMaxIdleConns(8)
	locker, err := lock.NewPostgresSessionLocker() // should the lease be lost in the middle of a migration
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.dialect.options = append(s.dialect.options, goose.WithSessionLocker(locker))
	if err := s.dialect.migrate(ctx, s.db); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	o.Log.Info("leading", "holder", o.Holder, "epoch", l.epoch)
	return s, nil
}

// connect makes a pool whose sessions the database drops when they are silent in a transaction: a paused
// repairer would hold its locks for as long as it is paused, and nobody could take over.
func connect(c *pgx.ConnConfig, ttl time.Duration, epoch uint64) *sql.DB {
	return stdlib.OpenDB(*c, stdlib.OptionAfterConnect(func(ctx context.Context, conn *pgx.Conn) error {
		for name, value := range map[string]string{
			"synchronous_commit":                  "on",
			"idle_in_transaction_session_timeout": strconv.FormatInt(max(1, (ttl/silences).Milliseconds()), 10),
			"glia.epoch":                          strconv.FormatUint(epoch, 10), // the tables of the tracker ask for it
		} {
			if _, err := conn.Exec(ctx, `SELECT set_config($1, $2, false)`, name, value); err != nil {
				return err
			}
		}
		return nil
	}))
}

// Close lets the next repairer lead and closes the database.
func (s *Postgres) Close() error {
	err := s.lease.release(context.Background())
	return errors.Join(s.db.Close(), err, s.lease.db.Close())
}
