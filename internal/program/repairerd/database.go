package repairerd

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"

	"glia"
	"glia/api/glia/v1/gliav1connect"
	"glia/config"
	"glia/internal/program"
	"glia/repairer"
	"glia/repairer/notify"
	"glia/repairer/queue"
	"glia/repairer/store"
)

// database is the store with what the program needs beside it.
type database interface {
	repairer.Store
	queue.Acts
	EndPause(ctx context.Context, id string, now time.Time) error
	notify.Log
	DB() *sql.DB           // for the built-in tracker and the queue
	Lost() <-chan struct{} // see store.Postgres
	Close() error
}

var (
	_ database = (*store.SQLite)(nil)
	_ database = (*store.Postgres)(nil)
)

func closeDatabase(st database, log *slog.Logger) {
	if err := st.Close(); err != nil {
		log.Error("database was not closed well", "error", err)
	}
}

// share takes turns with the other repairers on one PostgreSQL: it stands by, leads until the lease is lost, and
// stands by again, until the context ends or something fails that waiting does not mend.
func share(ctx context.Context, c config.Repairer, v program.Secrets, ready func(), log *slog.Logger, lead func(context.Context, database) error) error {
	for {
		st, err := standBy(ctx, c, v, ready, log)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		switch err := term(ctx, st, lead); {
		case ctx.Err() != nil || !deposed(st, err):
			closeDatabase(st, log)
			return err
		default:
			log.Warn("this repairer no longer leads, standing by", "epoch", st.Epoch(), "error", err)
		}
		closeDatabase(st, log)
	}
}

// term leads until the lease is lost.
func term(ctx context.Context, st database, lead func(context.Context, database) error) error {
	ctx, end := whileLed(ctx, st)
	defer end()
	return lead(ctx, st)
}

// whileLed is a context that also ends when the lease is lost.
func whileLed(ctx context.Context, st database) (context.Context, context.CancelFunc) {
	ctx, end := context.WithCancel(ctx)
	go func() {
		select {
		case <-st.Lost():
			end()
		case <-ctx.Done():
		}
	}()
	return ctx, end
}

// deposed says whether the term ended because another repairer leads or may lead.
func deposed(st database, err error) bool {
	select {
	case <-st.Lost():
		return true
	default:
		return errors.Is(err, glia.ErrStaleEpoch)
	}
}

var errLeading = errors.New("this repairer leads")

// standBy waits until this repairer leads. Meanwhile it serves health and metrics, and an API that says so.
func standBy(ctx context.Context, c config.Repairer, v program.Secrets, ready func(), log *slog.Logger) (st *store.Postgres, err error) {
	o := store.Options{TTL: time.Duration(c.Lease.TTL), Renew: time.Duration(c.Lease.Renew), Log: log}
	if o.Password, err = c.DatabasePassword.Read(); err != nil {
		return nil, fmt.Errorf("read the password of the database: %w", err)
	}
	s, err := program.NewShell(program.Served{Program: "repairer", API: c.API, TLS: c.TLS, Access: c.Access, Debug: c.Debug}, log, v.Names("leader")...)
	if err != nil {
		return nil, err
	}
	var waitsFor atomic.Value
	o.Waiting = func(reason string) {
		waitsFor.Store(reason)
		s.Health.Ready("leader", "standing by: "+reason)
	}
	o.Waiting("the database has not answered yet")
	if o.Elector, err = elector(c, o.Waiting, log); err != nil {
		return nil, err
	}
	complain := connect.NewErrorWriter()
	api := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = complain.Write(w, r, connect.NewError(connect.CodeUnavailable, fmt.Errorf("this repairer stands by: %s", waitsFor.Load()))) // the client is gone
	})
	entrypoint{c: c, log: log}.serve(s)
	vacancy, err := openVacancy(c, log)
	if err != nil {
		return nil, err
	}
	ready()
	err = s.Serve(ctx, "/"+gliav1connect.RepairServiceName+"/", api, append(v.Checks(s), vacancy.Run, func(ctx context.Context) error {
		if st, err = store.OpenPostgres(ctx, c.Database, o); err != nil {
			return err
		}
		return errLeading
	})...)
	if errors.Is(err, errLeading) {
		led, end := whileLed(ctx, st)
		go func() {
			defer end()
			vacancy.Took(led)
		}()
		return st, nil
	}
	if st != nil {
		closeDatabase(st, log)
	}
	return nil, err
}
