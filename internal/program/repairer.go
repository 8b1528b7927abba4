package program

import (
	"context"
	"log/slog"
	"time"

	"glia/api/glia/v1/gliav1connect"
	"glia/config"
	"glia/repairer"
	"glia/repairer/storage/filesystem"
	"glia/repairer/store"
	"glia/repairer/ticket"
)

// answerWithin bounds one call to a nerve. Orders that take longer go on at the host and are asked
// about again; the longest call is a probe with its deadline.
const answerWithin = time.Minute

// Repairer runs a repairer until the context ends; started is called once it serves, and may be nil.
func Repairer(ctx context.Context, c config.Repairer, started func(), log *slog.Logger) error {
	st, err := store.OpenSQLite(ctx, c.Database)
	if err != nil {
		return err
	}
	defer func() {
		if err := st.Close(); err != nil {
			log.Error("database was not closed well", "error", err)
		}
	}()
	s, err := newShell(c.API, c.TLS, c.Debug, log, "fleet")
	if err != nil {
		return err
	}
	var engine *repairer.Engine
	feed := repairer.NewSynapseFeed(s.client(), c.Synapse, func() { engine.Wake() }, log)
	nerves := repairer.NewNerves(feed, s.client(), s.scheme(), answerWithin)
	tickets := ticket.New(st.DB(), time.Now)
	fs := filesystem.New(nerves)
	engine = repairer.New(repairer.Options{
		Store: st, Feed: feed, Hosts: nerves, Tracker: tickets, Drivers: map[string]repairer.Driver{"": fs, filesystem.Name: fs},
		Mode: repairer.Mode(c.Mode), Pools: pools(c.Pools), Limits: repairer.Limits{Fleet: c.Limits.Fleet, Host: c.Limits.Host},
		States: c.Repair.Verdicts, Tick: time.Duration(c.Repair.Tick), Overdue: time.Duration(c.Repair.OrderTimeout), CoolDown: time.Duration(c.Repair.CoolDown), Settle: time.Duration(c.Repair.Settle), MaxViewAge: time.Duration(c.Repair.MaxViewAge),
		RetryMin: time.Duration(c.Repair.RetryMin), RetryMax: time.Duration(c.Repair.RetryMax), Attempts: c.Repair.Attempts, Now: time.Now, Log: log,
	})
	log.Info("repairing", "database", c.Database, "epoch", st.Epoch(), "mode", c.Mode, "synapse", c.Synapse)
	path, handler := gliav1connect.NewRepairServiceHandler(repairer.NewService(engine, tickets))
	if started != nil {
		started()
	}
	return s.serve(ctx, path, handler, engine.Run, func(ctx context.Context) error { feed.Run(ctx); return nil },
		s.watch("fleet", func() error { _, err := feed.View(); return err }))
}

func pools(in []config.Pool) []repairer.Pool {
	var out []repairer.Pool
	for _, p := range in {
		out = append(out, repairer.Pool{Name: p.Name, Hosts: p.Hosts, Mode: repairer.Mode(p.Mode), Driver: string(p.Driver)})
	}
	return out
}
