package trial

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"glia"
	gliav1 "glia/api/glia/v1"
	"glia/repairer"
	"glia/repairer/queue"
	"glia/repairer/storage/filesystem"
	"glia/repairer/store"
	"glia/repairer/ticket"
)

// What a call returns when its fault strikes.
var (
	errKilled = errors.New("this process was killed")
	errLost   = errors.New("no answer in time")
)

// process is one repairer: the real engine on the real store. Every write and every outside effect
// passes through call, where it may be killed, paused or cut off. A killed process has no effect any
// more, whatever it still computes.
type process struct {
	w       *world
	db      *store.SQLite
	tickets *ticket.Builtin
	engine  *repairer.Engine
	service *repairer.Service
	queue   *queue.Queue
	leads   bool // it has looked at everything once
	sure    bool // nobody had taken over when it last asked the store, and it has done nothing since
	dead    bool
}

// start opens the store, as a new process does. The lock of a process that still lives is broken, as
// on a filesystem that loses locks: then the epochs alone must keep the two apart.
func (w *world) start(ctx context.Context) (*process, error) {
	if err := os.Remove(w.path + ".lock"); err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	db, err := store.OpenSQLite(ctx, w.path)
	if err != nil {
		return nil, err
	}
	w.opened = append(w.opened, db)
	p := &process{w: w, db: db, tickets: ticket.New(db.DB(), w.clock)}
	way := wire{p}
	p.engine = repairer.New(repairer.Options{
		Store: ledger{db, p}, Feed: w, Hosts: way, Tracker: desk{p.tickets, p}, Drivers: map[string]repairer.Driver{"": storage{filesystem.New(way), w}, filesystem.Name: storage{filesystem.New(way), w}},
		Mode: repairer.ModeAuto, Pools: w.pools, Rules: w.rules, Limits: w.limits, Domains: w.domains, Storms: w.storms, Breakers: w.breakers, Cohorts: w.cohorts,
		Flap: w.flap, Windows: w.windows, StopFile: w.stop, Hook: p.hook, States: []glia.State{glia.StateFailing, glia.StateFailed},
		Tick: tick, Settle: settle, CoolDown: coolDown, MaxViewAge: maxViewAge, RetryMin: 5 * time.Second, RetryMax: time.Minute, Attempts: attempts,
		RemindAfter: w.remind, EscalateAfter: w.escalate, Overdue: time.Minute,
		Parallel: 1, Now: w.clock, Log: slog.New(slog.DiscardHandler),
	})
	if !w.hook {
		p.engine.Hook = nil
	}
	p.service = repairer.NewService(p.engine, p.tickets)
	p.queue = queue.New(db.DB(), queue.Options{
		Epoch: db.Epoch(), Timeout: time.Minute, Attempts: attempts, RetryMin: 5 * time.Second, RetryMax: time.Minute, Now: w.clock, Log: slog.New(slog.DiscardHandler),
		Handlers: map[string]queue.Handler{store.PauseOver: p.pauseOver},
	})
	w.forget()
	if db.Epoch() <= w.newest {
		w.violate("5", "a repairer opened the store under epoch %d, an earlier one has %d", db.Epoch(), w.newest)
	}
	w.newest = max(w.newest, db.Epoch())
	return p, nil
}

// pauseOver puts the end of a pause into the log. A killed process does not even write down that it could not.
func (p *process) pauseOver(ctx context.Context, e queue.Event) error {
	err := p.call(ctx, "write", func() error {
		err := p.db.EndPause(ctx, e.Payload, p.w.clock())
		if err == nil {
			p.w.lapsed(e.Payload)
		}
		return err
	})
	if p.dead {
		return fmt.Errorf("%w: %w", glia.ErrStaleEpoch, err)
	}
	return err
}

// hook is the site's veto.
func (p *process) hook(ctx context.Context, plan repairer.Plan) (veto string) {
	err := p.call(ctx, "hook", func() error {
		veto = p.w.veto
		p.w.heard(plan, veto)
		return nil
	})
	if err != nil {
		return err.Error()
	}
	return veto
}

// storage is the storage system that the disks belong to.
type storage struct {
	*filesystem.Driver
	w *world
}

var _ repairer.Gatekeeper = storage{}

// Check is part of repairer.Gatekeeper.
func (s storage) Check(context.Context, repairer.Case, string, []repairer.Case) []repairer.Refusal {
	if !s.w.sick {
		return nil
	}
	return []repairer.Refusal{{Gate: "storage", Value: "copies are missing", Limit: "no missing copy", Until: "the storage has made them again"}}
}

// fault is something that will go wrong at a later call.
type fault struct {
	op    Op
	at    string // the only kind of call that it hits; empty: what op says
	skip  int    // calls that go well before it
	count int    // calls that it hits
	after bool
	ticks int // of another repairer, while this one is paused
	says  int // what people tell that one: 1 to pause, 2 to cancel, 3 to stop
}

// hits says whether the fault is about calls of that kind: write, start (a write), look, order, tracker or hook, or
// begin and the step that is begun (a write).
func (f *fault) hits(kind string) bool {
	if f.at != "" {
		return kind == f.at
	}
	if kind == untold {
		return false
	}
	switch f.op {
	case OpStoreErr:
		return isWrite(kind)
	case OpMeddle:
		return kind == "start"
	case OpOrderErr:
		return kind == "order"
	case OpTicketErr:
		return kind == "tracker"
	}
	return true
}

const begin = "begin "

// untold is a look at everything while a ticket must still be told something. Only what names it strikes there.
const untold = "untold"

func isWrite(kind string) bool {
	return kind == "write" || kind == "start" || strings.HasPrefix(kind, begin)
}

// strike takes the fault that is due at this call.
func (w *world) strike(p *process, kind string) *fault {
	if p != w.proc || w.calm {
		return nil
	}
	for i, f := range w.faults {
		switch {
		case !f.hits(kind):
		case f.skip > 0:
			f.skip--
		default:
			if f.count--; f.count <= 0 {
				w.faults = append(w.faults[:i:i], w.faults[i+1:]...)
			}
			return f
		}
	}
	return nil
}

// call makes one call of the given kind, or what the due fault makes of it.
func (p *process) call(ctx context.Context, kind string, do func() error) error {
	if p.dead {
		return errKilled
	}
	if isWrite(kind) || kind == "tracker" {
		defer p.w.forget()
	}
	f := p.w.strike(p, kind)
	if f == nil {
		return do()
	}
	var err error
	if f.after {
		if err = do(); err != nil && f.op != OpKill && f.op != OpDepose {
			return err
		}
	}
	switch f.op {
	case OpKill:
		p.dead = true
		return errKilled
	case OpDepose:
		p.w.depose(ctx, f.ticks, func() error {
			if kind != "order" {
				return nil // a tracker knows no epochs, and may be told late
			}
			return p.w.speakUp(ctx, f.says)
		})
		if !f.after {
			err = do()
		}
		return err
	case OpMeddle:
		if err := p.w.withdrawAll(ctx); err != nil {
			return err
		}
		return do()
	}
	return errLost
}

// ledger is the store as the process sees it.
type ledger struct {
	repairer.Store
	p *process
}

func (l ledger) Open(ctx context.Context, e repairer.Event) (c repairer.Case, err error) {
	err = l.p.call(ctx, "write", func() error {
		if c, err = l.Store.Open(ctx, e); err == nil {
			l.p.w.forget()
			l.p.w.wrote(ctx, l.p, c, e)
		}
		return err
	})
	return c, err
}

func (l ledger) Append(ctx context.Context, events ...repairer.Event) (c repairer.Case, err error) {
	kind := "write"
	switch events[0].Kind {
	case repairer.KindStarted:
		kind = "start"
	case repairer.KindBegun:
		kind = begin + events[0].Step
	}
	err = l.p.call(ctx, kind, func() error {
		if c, err = l.Store.Append(ctx, events...); err == nil {
			l.p.w.forget()
			l.p.w.wrote(ctx, l.p, c, events...)
		}
		return err
	})
	return c, err
}

// Pauses is what a repairer reads after the cases, at each look.
func (l ledger) Pauses(ctx context.Context, now time.Time) (out []repairer.Pause, err error) {
	open, err := l.Cases(ctx, false)
	if err != nil || l.p.w.asked || !slices.ContainsFunc(open, func(c repairer.Case) bool { return len(c.Untold) > 0 }) {
		return l.inForce(ctx, now)
	}
	err = l.p.call(ctx, untold, func() error { out, err = l.inForce(ctx, now); return err })
	return out, err
}

func (l ledger) Current(ctx context.Context, id string, seq uint64) error {
	l.p.sure = l.p == l.p.w.proc
	return l.p.call(ctx, "look", func() error { return l.Store.Current(ctx, id, seq) })
}

// Held knows by the clock whether another repairer may lead; where there is no lease, nobody knows.
func (l ledger) Held() error {
	if l.p.w.leased && l.p != l.p.w.proc {
		return fmt.Errorf("the lease of epoch %d has run out: %w", l.p.db.Epoch(), glia.ErrStaleEpoch)
	}
	return l.Store.Held()
}

func (l ledger) AddPause(ctx context.Context, pause repairer.Pause) (out repairer.Pause, err error) {
	err = l.p.call(ctx, "write", func() error {
		if out, err = l.Store.AddPause(ctx, pause); err == nil {
			l.p.w.pauses = append(l.p.w.pauses, out)
			l.p.w.spoke(repairer.KindPaused, 1)
		}
		return err
	})
	return out, err
}

func (l ledger) EndPauses(ctx context.Context, scope, person, reason string, now time.Time) (out []repairer.Pause, err error) {
	err = l.p.call(ctx, "write", func() error {
		if out, err = l.Store.EndPauses(ctx, scope, person, reason, now); err == nil {
			l.p.w.resumed(out)
			l.p.w.spoke(repairer.KindResumed, len(out))
		}
		return err
	})
	return out, err
}

func (l ledger) Forgive(ctx context.Context, serial string, e repairer.Event) error {
	return l.p.call(ctx, "write", func() error {
		err := l.Store.Forgive(ctx, serial, e)
		if err == nil {
			l.p.w.forgiven(serial)
			l.p.w.spoke(e.Kind, 1)
		}
		return err
	})
}

func (l ledger) Set(ctx context.Context, key, value string, e repairer.Event) error {
	return l.p.call(ctx, "write", func() error {
		err := l.Store.Set(ctx, key, value, e)
		if err == nil {
			l.p.w.kept(key)
			l.p.w.spoke(e.Kind, 1)
		}
		return err
	})
}

// wire is the network between the process and the hosts.
type wire struct{ p *process }

func (n wire) reach(host string) error {
	switch {
	case n.p.dead:
		return errKilled
	case n.p.w.cut[host] || n.p.w.split != nil && n.p.w.apart:
		return fmt.Errorf("host %s: %w", host, glia.ErrUnreachable)
	}
	return nil
}

func (n wire) Disks(ctx context.Context, host string) ([]glia.DiskStatus, error) {
	if err := n.reach(host); err != nil {
		return nil, err
	}
	return n.p.w.fleet.Disks(ctx, host)
}

func (n wire) Probe(ctx context.Context, host, serial string) (glia.DiskStatus, error) {
	if err := n.reach(host); err != nil {
		return glia.DiskStatus{}, err
	}
	return n.p.w.fleet.Probe(ctx, host, serial)
}

func (n wire) Fence(ctx context.Context, host string, epoch uint64) error {
	if err := n.reach(host); err != nil {
		return err
	}
	err := n.p.w.fleet.Fence(ctx, host, epoch)
	if err == nil {
		n.p.w.epochs[host] = epoch
	}
	return err
}

func (n wire) Execute(ctx context.Context, host string, o *gliav1.Order) (r *gliav1.ExecuteResponse, err error) {
	if !n.p.dead {
		n.p.w.ordered(ctx, n.p, host, o) // what comes while it is on the way can not hold it back
	}
	err = n.p.call(ctx, "order", func() error {
		if err := n.reach(host); err != nil {
			return err
		}
		n.p.w.arrived(host, o)
		r, err = n.p.w.fleet.Execute(ctx, host, o)
		return err
	})
	return r, err
}

// desk is the tracker as the process sees it.
type desk struct {
	*ticket.Builtin
	p *process
}

func (d desk) File(ctx context.Context, key string, t repairer.Ticket) (id string, err error) {
	if !d.p.dead {
		d.p.w.filing(ctx, d.p, t)
	}
	err = d.p.call(ctx, "tracker", func() error {
		if id, err = d.Builtin.File(ctx, key, t); err == nil {
			d.p.w.filed(t, id)
		}
		return err
	})
	return id, err
}

func (d desk) Comment(ctx context.Context, key, id, text string) error {
	d.p.w.telling(ctx, d.p, key)
	return d.p.call(ctx, "tracker", func() error { return d.Builtin.Comment(ctx, key, id, text) })
}

func (d desk) Update(ctx context.Context, id, title, body string) error {
	return d.p.call(ctx, "tracker", func() error { return d.Builtin.Update(ctx, id, title, body) })
}

func (d desk) Attach(ctx context.Context, key, id, name string, data []byte) error {
	d.p.w.telling(ctx, d.p, key)
	return d.p.call(ctx, "tracker", func() error { return d.Builtin.Attach(ctx, key, id, name, data) })
}

func (d desk) Reopen(ctx context.Context, key, id, text string) error {
	d.p.w.telling(ctx, d.p, key)
	return d.p.call(ctx, "tracker", func() error { return d.Builtin.Reopen(ctx, key, id, text) })
}

func (d desk) Close(ctx context.Context, key, id, text string) error {
	d.p.w.telling(ctx, d.p, key)
	return d.p.call(ctx, "tracker", func() error { return d.Builtin.Close(ctx, key, id, text) })
}
