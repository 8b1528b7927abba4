// Package repairerd puts a repairer together from its configuration and runs it. It also answers who leads where
// no repairer does.
package repairerd

import (
	"context"
	"log/slog"
	"os"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"glia/api/glia/v1/gliav1connect"
	"glia/config"
	"glia/internal/program"
	"glia/nerve/judge"
	"glia/repairer"
	"glia/repairer/queue"
	"glia/repairer/storage/ceph"
	"glia/repairer/storage/filesystem"
	"glia/repairer/store"
)

// answerWithin bounds one call to a nerve. Orders that take longer go on at the host and are asked
// about again; the longest call is a probe with its deadline.
const answerWithin = time.Minute

// garbage is how much memory may be lost to garbage, in percent of what is in use, unless GOGC says it. Views and
// cases come and go as a whole, and a repairer is idle most of the time.
const garbage = 25

// Parts stands between the engine and what it changes, for tests that count or cut off every
// effect. A nil field leaves that part as it is.
type Parts struct {
	Store   func(repairer.Store) repairer.Store
	Hosts   func(repairer.Hosts) repairer.Hosts
	Tracker func(repairer.Tracker) repairer.Tracker
}

// Run runs a repairer until the context ends; started is called once it serves
// or, on a database that is shared, stands by; it may be nil.
func Run(ctx context.Context, c config.Repairer, started func(), log *slog.Logger) error {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbage)
	}
	return RunWith(ctx, c, Parts{}, started, log)
}

// RunWith is Run with something around its parts.
func RunWith(ctx context.Context, c config.Repairer, parts Parts, started func(), log *slog.Logger) error {
	ready := sync.OnceFunc(func() {
		if started != nil {
			started()
		}
	})
	v, err := program.OpenSecrets(ctx, &c, c.Vault, &c.TLS, c.API, program.Hostname(), log)
	if err != nil {
		return err
	}
	defer v.Close()
	lead := func(ctx context.Context, st database) error { return lead(ctx, c, v, st, parts, ready, log) }
	if c.Postgres() {
		return share(ctx, c, v, ready, log, lead)
	}
	st, err := store.OpenSQLite(ctx, c.Database)
	if err != nil {
		return err
	}
	defer closeDatabase(st, log)
	return lead(ctx, st)
}

// lead runs the repairer on an open database until the context ends.
func lead(ctx context.Context, c config.Repairer, v program.Secrets, st database, parts Parts, ready func(), log *slog.Logger) error {
	s, err := program.NewShell(program.Served{Program: "repairer", API: c.API, TLS: c.TLS, Access: c.Access, Debug: c.Debug}, log, v.Names("fleet")...)
	if err != nil {
		return err
	}
	var engine *repairer.Engine
	feed := repairer.NewSynapseFeed(s.Client(), c.Synapse, func() { engine.Wake() }, log)
	nerves := around[repairer.Hosts](parts.Hosts, repairer.NewNerves(feed, s.Client(), s.Scheme(), answerWithin))
	tickets, err := openTracker(ctx, c, st.DB(), func() { engine.Wake() }, log)
	if err != nil {
		return err
	}
	fs := filesystem.New(nerves)
	osds, err := cephDriver(c.Ceph, nerves, log)
	if err != nil {
		return err
	}
	engine = repairer.New(gates(c, repairer.Options{
		Store: around[repairer.Store](parts.Store, st), Feed: feed, Hosts: nerves, Tracker: around(parts.Tracker, tickets.tracker), Answers: tickets.answers, Words: tickets.words, Link: c.Tracker.Link, Announce: c.Tracker.File == config.FileStarted, Drivers: map[string]repairer.Driver{"": fs, filesystem.Name: fs, ceph.Name: osds},
		Mode: repairer.Mode(c.Mode), Pools: pools(c.Pools), Rules: ruleModes(c.Rules), Approvals: c.Approvals, DestroyApprovals: c.DestroyApprovals,
		States: c.Repair.Verdicts, Tick: time.Duration(c.Repair.Tick), Overdue: time.Duration(c.Repair.OrderTimeout), Troubles: func(ctx context.Context) ([]string, error) { return queue.Findings(ctx, st.DB()) }, CoolDown: time.Duration(c.Repair.CoolDown), RemindAfter: durations(c.Repair.RemindAfter), EscalateAfter: time.Duration(c.Repair.EscalateAfter), Settle: time.Duration(c.Repair.Settle), MaxViewAge: time.Duration(c.Repair.MaxViewAge),
		RetryMin: time.Duration(c.Repair.RetryMin), RetryMax: time.Duration(c.Repair.RetryMax), Attempts: c.Repair.Attempts, Now: time.Now, Log: log,
	}))
	people, err := openNotices(c, st, log)
	if err != nil {
		return err
	}
	s.Metrics.MustRegister(engine, people.figures)
	log.Info("repairing", "database", c.Database, "epoch", st.Epoch(), "mode", c.Mode, "synapse", c.Synapse)
	path, handler := gliav1connect.NewRepairServiceHandler(repairer.NewService(engine, tickets.desk), s.Options()...)
	entrypoint{c: c, log: log}.serve(s)
	s.Handle(gliav1connect.NewQueueServiceHandler(queue.NewService(st.DB(), st), s.Options()...))
	if tickets.changed != nil {
		s.Handle("/tracker/changed", tickets.changed)
	}
	ready()
	return s.Serve(ctx, path, handler, append(v.Checks(s), engine.Run, tickets.run, people.run, events(c, st, log).Run, func(ctx context.Context) error { feed.Run(ctx); return nil },
		s.Watch("fleet", func() error { _, err := feed.View(); return err }))...)
}

// events are the queue and timers of the database, with what handles them.
func events(c config.Repairer, st database, log *slog.Logger) *queue.Queue {
	return queue.New(st.DB(), queue.Options{
		Epoch: st.Epoch(), Timeout: answerWithin, Attempts: c.Repair.Attempts,
		RetryMin: time.Duration(c.Repair.RetryMin), RetryMax: time.Duration(c.Repair.RetryMax), Now: time.Now, Log: log,
		Handlers: map[string]queue.Handler{
			store.PauseOver: func(ctx context.Context, e queue.Event) error { return st.EndPause(ctx, e.Payload, time.Now()) },
		},
	})
}

func around[T any](wrap func(T) T, part T) T {
	if wrap == nil {
		return part
	}
	return wrap(part)
}

func pools(in []config.Pool) []repairer.Pool {
	var out []repairer.Pool
	for _, p := range in {
		out = append(out, repairer.Pool{Name: p.Name, Hosts: p.Hosts, Mode: repairer.Mode(p.Mode), Driver: string(p.Driver), Approvals: p.Approvals, DestroyApprovals: p.DestroyApprovals})
	}
	return out
}

func ruleModes(in []config.Rule) []repairer.RuleMode {
	var out []repairer.RuleMode
	for _, r := range in {
		out = append(out, repairer.RuleMode{Rule: r.Name, Mode: repairer.Mode(r.Mode), Pools: r.Pools})
	}
	return out
}

// Load loads the configuration, knows the rules that it may name, and tries its template of tickets.
func Load(path string) (config.Repairer, error) {
	return config.LoadRepairer(path, config.Known{Rules: ruleNames, Template: func(text string) error {
		_, err := repairer.ParseWords(text)
		return err
	}})
}

// ruleNames are the rules that are built into nerve, and those of the files, each of which is laid over them.
func ruleNames(files []string) ([]string, error) {
	var names []string
	add := func(rs judge.RuleSet) {
		for _, r := range rs.Rules {
			if !slices.Contains(names, r.Name) {
				names = append(names, r.Name)
			}
		}
	}
	add(judge.Default())
	for _, f := range files {
		rs, err := judge.Default().OverlayFile(f)
		if err != nil {
			return nil, err
		}
		add(rs)
	}
	return names, nil
}

func durations(in []config.Duration) []time.Duration {
	var out []time.Duration
	for _, d := range in {
		out = append(out, time.Duration(d))
	}
	return out
}
