package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
	"golang.org/x/sys/unix"

	"glia"
	"glia/config/secret"
	"glia/repairer"
)

// DefaultTTL is how long a repairer that has died keeps the others from taking over. One of them does so within
// a tenth of it afterwards, or a quarter more when its own connection is dead too.
const DefaultTTL = 10 * time.Second

// Options are how a repairer takes part in PostgreSQL. The zero value is usable.
type Options struct {
	TTL      time.Duration // of the lease; 0 is DefaultTTL; the same for all repairers
	Renew    time.Duration // how often it is renewed; less than a third of TTL; 0 is a fifth
	Holder   string        // who we are, for people; empty is host and process
	Password secret.Value  // none when the URL, PGPASSFILE or the server's trust makes it needless
	Log      *slog.Logger  // nil is none

	// Elector says when this repairer leads; nil is the lease in this database. TTL then only bounds how
	// long a connection may be silent.
	Elector repairer.Elector
	// Waiting is told what is waited for, at each look until this repairer leads. It may be nil.
	Waiting func(reason string)

	stall func() // see lease
}

// Postgres is the store in a PostgreSQL database that several repairers share; one of them leads at a
// time. It is safe for concurrent use.
type Postgres struct {
	core
	term  repairer.Term
	under *sql.DB // of the election
}

var (
	_ repairer.Store   = (*Postgres)(nil)
	_ repairer.Auditor = (*Postgres)(nil)
)

// A write holds the row of the lease. The one who takes over waits for that row, so it finds everything that
// its predecessor has committed, and the predecessor commits nothing afterwards.
var postgresDialect = dialect{
	name: "postgres", goose: goose.DialectPostgres,
	options:  []goose.ProviderOption{goose.WithGoMigrations(goose.NewGoMigration(5, derived, nil), goose.NewGoMigration(6, derived, nil))},
	snapshot: sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true},
	newest:   `SELECT epoch FROM lease`,
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
	o = o.filled()
	c.Password = cmp.Or(o.Password.Reveal(), c.Password)
	c.RuntimeParams["application_name"] = "glia repairer: " + o.Holder
	t := times{ttl: o.TTL, renew: o.Renew}
	under := connect(c, t, 0)
	under.SetMaxOpenConns(1)
	w := &waiter{times: t, log: o.Log, tell: o.Waiting}
	if o.Elector == nil {
		o.Elector = &lease{db: under, holder: o.Holder, times: t, waiter: w, log: o.Log, stall: o.stall}
	}
	s := &Postgres{under: under}
	for {
		lost, err := s.lead(ctx, c, w, o)
		switch {
		case err == nil:
			o.Log.Info("leading", "holder", o.Holder, "epoch", s.epoch)
			return s, nil
		case !lost || ctx.Err() != nil:
			return nil, errors.Join(err, under.Close())
		}
		o.Log.Warn("lease was lost before the database was open, waiting for it again", "error", err)
	}
}

// lead waits until this repairer leads, and opens the database under the epoch of its term. After an error it says whether the term was lost,
// as it is when the database answers so slowly that the lease ends meanwhile.
func (s *Postgres) lead(ctx context.Context, c *pgx.ConnConfig, w *waiter, o Options) (lost bool, err error) {
	term, err := elect(ctx, s.under, w, o)
	if err != nil {
		return false, err
	}
	s.core, s.term = newCore(postgresDialect), term
	s.epoch, s.lost, s.held = term.Epoch(), term.Lost(), term.Held
	s.db = connect(c, w.times, s.epoch)
	s.db.SetMaxOpenConns(8)
	s.db.SetMaxIdleConns(8)
	err = claimWithin(ctx, s.under, w, term, o.Holder)
	if err == nil {
		err = s.begin(ctx, w)
	}
	if err != nil {
		lost = term.Held() != nil
		return lost, errors.Join(err, s.db.Close(), term.Resign(ctx))
	}
	return false, nil
}

func (o Options) filled() Options {
	o.TTL = cmp.Or(o.TTL, DefaultTTL)
	o.Renew = cmp.Or(o.Renew, o.TTL/5)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Waiting == nil {
		o.Waiting = func(string) {}
	}
	if o.Holder == "" {
		host, _ := os.Hostname()
		o.Holder = fmt.Sprintf("process %d on %s", os.Getpid(), host)
	}
	return o
}

// elect waits until this repairer leads.
func elect(ctx context.Context, db *sql.DB, w *waiter, o Options) (repairer.Term, error) {
	var newest uint64
	err := w.until(ctx, func(ctx context.Context) (string, error) {
		if err := postgresDialect.refuseNewer(ctx, db); err != nil {
			return "", err
		}
		if err := prepare(ctx, db); err != nil {
			return "", err
		}
		return "", db.QueryRowContext(ctx, `SELECT epoch FROM lease`).Scan(&newest)
	})
	if err != nil {
		return nil, err
	}
	return o.Elector.Lead(ctx, newest)
}

// claimWithin waits until the database has taken in the epoch of the term, or the term is lost. Whoever elects, the database refuses an
// epoch that is not newer than all before it.
func claimWithin(ctx context.Context, db *sql.DB, w *waiter, term repairer.Term, holder string) error {
	led, cancel := whileLed(ctx, term.Lost())
	defer cancel()
	return w.until(led, func(ctx context.Context) (string, error) {
		return "", inTx(ctx, db, func(tx *sql.Tx) error { return claim(ctx, tx, term.Epoch(), holder) })
	})
}

// claim makes the epoch the one under which the database is written.
func claim(ctx context.Context, tx *sql.Tx, epoch uint64, holder string) error {
	var newest uint64
	var by string
	if err := tx.QueryRowContext(ctx, `SELECT epoch, holder FROM lease FOR UPDATE`).Scan(&newest, &by); err != nil {
		return fmt.Errorf("read the newest epoch: %w", err)
	}
	switch {
	case newest == epoch && by == holder:
		return nil
	case newest >= epoch:
		return fmt.Errorf("the election gave epoch %d, the database has seen %d of %s: %w", epoch, newest, by, glia.ErrStaleEpoch)
	}
	for _, q := range []string{`UPDATE lease SET epoch = $1, holder = $2, expires = '-infinity'`, `INSERT INTO leaders VALUES ($1, $2, clock_timestamp())`} {
		if _, err := tx.ExecContext(ctx, q, epoch, holder); err != nil {
			return fmt.Errorf("claim epoch %d: %w", epoch, err)
		}
	}
	return nil
}

// begin brings the tables to the newest version. A database that does not let us in at once is waited for, while this repairer leads.
func (s *Postgres) begin(ctx context.Context, w *waiter) error {
	ctx, cancel := whileLed(ctx, s.lost)
	defer cancel()
	locker, err := lock.NewPostgresSessionLocker() // should the lease be lost in the middle of a migration
	if err != nil {
		return err
	}
	s.dialect.options = append(s.dialect.options, goose.WithSessionLocker(locker))
	if err := w.until(ctx, func(ctx context.Context) (string, error) {
		return "", s.db.QueryRowContext(ctx, `SELECT store FROM lease`).Scan(&s.name)
	}); err != nil {
		return fmt.Errorf("read the name of the database: %w", err)
	}
	return s.dialect.migrate(ctx, s.db)
}

// connect makes a pool of connections that are given up when they are dead: the kernel asks the other side when it
// is silent, and does not wait for long for what was sent to be received. The database drops those that are
// silent in a transaction: a paused repairer would hold its locks for as long as it is paused, and nobody
// could take over.
func connect(c *pgx.ConnConfig, t times, epoch uint64) *sql.DB {
	c = c.Copy()
	silence := strconv.FormatInt(max(1, t.silence().Milliseconds()), 10)
	c.ConnectTimeout = cmp.Or(c.ConnectTimeout, t.answer())
	c.DialFunc = (&net.Dialer{
		Timeout:         c.ConnectTimeout,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: t.answer(), Interval: max(t.answer()/4, time.Second), Count: 3},
		Control: func(network, _ string, raw syscall.RawConn) (err error) {
			if !strings.HasPrefix(network, "tcp") {
				return nil
			}
			return errors.Join(raw.Control(func(fd uintptr) {
				err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(t.ttl.Milliseconds()))
			}), err)
		},
	}).DialContext
	return stdlib.OpenDB(*c, stdlib.OptionAfterConnect(func(ctx context.Context, conn *pgx.Conn) error {
		for name, value := range map[string]string{
			"synchronous_commit":                  "on",
			"idle_in_transaction_session_timeout": silence,
			"tcp_user_timeout":                    strconv.FormatInt(t.ttl.Milliseconds(), 10),
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
	err := s.term.Resign(context.Background())
	return errors.Join(s.db.Close(), err, s.under.Close())
}
