// Package trial puts the real repairer through everything that may happen to a fleet, and watches with
// eyes of its own that it keeps its promises.
//
// The engine, its gates, the SQLite store and the built-in tracker are the real ones; hosts, networks,
// people and time are simulated. A seed gives a site, which is how the repairer is set up, and a script of
// events, and nothing else is random, so a seed always gives the same run. What glia says about itself is believed nowhere: the checks look at
// what hands and trackers were made to do, and at the disks. A broken promise ends the run and is
// returned with the shortest script found that still breaks it.
package trial

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"glia"
	"glia/internal/sim"
	"glia/repairer"
	"glia/repairer/store"
)

// The simulated site: two racks of two hosts with four disks each.
const (
	hosts = 4
	slots = 4

	tick       = 5 * time.Second
	settle     = 20 * time.Second
	coolDown   = 2 * time.Minute
	maxViewAge = time.Minute
	expiry     = time.Hour // of verdicts, as the simulated fleet gives them
	attempts   = 3

	// patience is how many ticks all cases get to end once everybody does the right thing.
	patience = 400
)

// Violation is a broken promise.
type Violation struct {
	Invariant string // its number in the design, or a word for what it adds
	Text      string
	Event     int // index of the event in whose wake it came; len(script) when all was well again
}

func (v *Violation) String() string { return "invariant " + v.Invariant + ": " + v.Text }

// Result is what came of a run.
type Result struct {
	Broken *Violation     // nil when every promise was kept
	Seen   map[string]int // how often what was met: events of the log, gates that refused, ends of cases
}

// world is one run.
type world struct {
	site
	now    time.Time
	skew   time.Duration // of the repairers' clock
	fleet  *sim.Fleet
	path   string
	stop   string // the stop file
	opened []*store.SQLite
	pools  []repairer.Pool
	memo   map[string]recalled
	seen   map[string]int

	proc     *process // the one that should act; nil while it is down
	deposed  *process // the newest one that was taken over from
	newest   uint64   // highest epoch of any process
	downFor  int      // ticks until it starts again
	deposing bool

	faults  []*fault
	calm    bool // no fault strikes any more
	cut     map[string]bool
	split   *glia.FleetView // the view that the repairer is left with
	apart   bool            // the split is from the hosts as well, not from the synapse alone
	serial  int             // of the newest spare disk
	drawer  []drawn         // disks that were pulled, newest last
	veto    string          // of the site's hook; empty: it agrees
	sick    bool            // the storage can not spare a disk
	asked   bool            // a person acts through the service at this moment
	reading bool            // and only wants to know

	event     int
	violation *Violation
	witness
}

// drawn is a disk outside of its host.
type drawn struct {
	disk       *sim.Disk
	host, slot string
}

// clock is the repairers' clock. The hosts and the synapse have the right time.
func (w *world) clock() time.Time { return w.now.Add(w.skew) }

// violate keeps the first broken promise.
func (w *world) violate(invariant, format string, args ...any) {
	if w.violation == nil {
		w.violation = &Violation{Invariant: invariant, Text: fmt.Sprintf(format, args...), Event: w.event}
	}
}

// View is the feed of the repairer.
func (w *world) View() (glia.FleetView, error) {
	if w.split != nil {
		return *w.split, errors.New("the synapse does not answer")
	}
	return w.fleet.View()
}

// template is an empty database with a fixed name, because keys and with them the jitter depend on it.
var template = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp(memory(), "glia-sim-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "glia.db")
	ctx := context.Background()
	db, err := store.OpenSQLite(ctx, path)
	if err != nil {
		return nil, err
	}
	if _, err := db.DB().ExecContext(ctx, `UPDATE epoch SET store = 'simulated', epoch = 1`); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	if err := db.Close(); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
})

// memory is a folder in memory where there is one.
func memory() string {
	if s, err := os.Stat("/dev/shm"); err == nil && s.IsDir() {
		return "/dev/shm"
	}
	return ""
}

// Run plays the script of the seed up to its end or to the first broken promise. An error means that the
// simulation itself could not go on.
func Run(ctx context.Context, seed uint64, script []Event) (Result, error) {
	w, err := play(ctx, seed, script)
	if err != nil {
		return Result{}, err
	}
	return Result{w.violation, w.seen}, w.close()
}

// Log is everything that the repairer wrote down while the script of the seed was played, a line an event.
func Log(ctx context.Context, seed uint64, script []Event) (_ string, err error) {
	w, err := play(ctx, seed, script)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	if w.proc == nil {
		return "", nil
	}
	cases, err := w.proc.db.Cases(ctx, true)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, c := range cases {
		events, err := w.proc.db.Events(ctx, c.ID, 0)
		if err != nil {
			return "", err
		}
		for _, e := range events {
			fmt.Fprintf(&b, "%s %s %s %s %s\n", e.At.Format(time.DateTime), e.Case, e.Kind, e.Step, e.Text)
		}
	}
	return strings.ReplaceAll(b.String(), filepath.Dir(w.path), "…"), nil
}

// play plays the script up to its end or to the first broken promise. The caller closes the world.
func play(ctx context.Context, seed uint64, script []Event) (w *world, err error) {
	empty, err := template()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(memory(), "glia-sim-")
	if err != nil {
		return nil, err
	}
	w = newWorld(seed, filepath.Join(dir, "glia.db"))
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close())
		}
	}()
	if err := os.WriteFile(w.path, empty, 0o600); err != nil {
		return w, err
	}
	for i, e := range script {
		w.event = i
		if err := w.happen(ctx, e); err != nil {
			return w, fmt.Errorf("event %d, %s: %w", i, e, err)
		}
		for range e.Ticks {
			if err := w.tick(ctx); err != nil {
				return w, fmt.Errorf("event %d, %s: %w", i, e, err)
			}
			if w.violation != nil {
				return w, nil
			}
		}
	}
	w.event = len(script)
	return w, w.makeGood(ctx)
}

func newWorld(seed uint64, path string) *world {
	w := &world{
		site: newSite(seed), now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), path: path, stop: filepath.Join(filepath.Dir(path), "stop", "all"),
		memo: map[string]recalled{}, seen: map[string]int{}, cut: map[string]bool{}, witness: newWitness(),
	}
	w.fleet = sim.NewFleet(func() time.Time { return w.now }, hosts)
	w.fleet.Acted = w.acted
	furnish(w.fleet)
	// The hosts take turns in being watched only, and in asking first.
	modes := []repairer.Mode{repairer.ModeAuto, repairer.ModeAuto, repairer.ModePropose, repairer.ModeObserve}
	for i := range hosts {
		host := name(i)
		w.modes[host] = modes[(uint64(i)+seed)%hosts]
		w.pools = append(w.pools, repairer.Pool{Name: host, Hosts: []string{host}, Mode: w.modes[host], Approvals: w.persons})
	}
	return w
}

// close lets go of all that the run has opened and throws its database away.
func (w *world) close() error {
	for _, db := range w.opened {
		_ = db.Close() // a handle may be closed twice, and the file is thrown away
	}
	return os.RemoveAll(filepath.Dir(w.path))
}

func name(host int) string { return fmt.Sprintf("node-%d", host%hosts+1) }

// tick lets time go on, starts the repairer when it is down and due, and lets it look once.
func (w *world) tick(ctx context.Context) error {
	w.now = w.now.Add(tick)
	if w.proc == nil {
		if w.downFor--; w.downFor > 0 {
			return nil
		}
		p, err := w.start(ctx)
		if err != nil {
			return err
		}
		w.proc = p
	}
	w.note()
	if err := w.drive(ctx, w.proc); err != nil {
		return err
	}
	return w.look(ctx)
}

// drive lets one process look once. What kills it ends it, and what is none of the simulated faults is
// an error of the simulation.
func (w *world) drive(ctx context.Context, p *process) error {
	var hear []string
	if !p.leads {
		hear = w.mustHear(ctx, p)
	}
	err := p.engine.TickOnce(ctx)
	w.looked(err == nil && !p.dead)
	if p.leads = p.leads || err == nil && !p.dead; p.leads {
		for _, host := range hear {
			if heard := w.fleet.Heard(host); heard < p.db.Epoch() {
				w.violate("5", "a repairer of epoch %d has looked, and the hand of %s has heard of %d only", p.db.Epoch(), host, heard)
			}
		}
	}
	if err == nil && !p.dead && slices.ContainsFunc(w.pauses, func(p repairer.Pause) bool { return !p.Until.IsZero() && !w.over[p.ID] }) {
		err = p.queue.Work(ctx)
	}
	switch {
	case p.dead:
		w.bury(p)
		return nil
	case errors.Is(err, glia.ErrStaleEpoch), errors.Is(err, errLost), err == nil:
		return nil
	case p.db.Epoch() < w.newest: // its write was refused for what it says, not for who says it
		w.violate("5", "a repairer of epoch %d acts, the newest is %d: %v", p.db.Epoch(), w.newest, err)
		return nil
	}
	return err
}

// bury closes what a killed process held, as the kernel does.
func (w *world) bury(p *process) {
	_ = p.db.Close() // nothing was pending: every write is a transaction
	if p == w.proc {
		w.proc = nil
	}
	if p == w.deposed {
		w.deposed = nil
	}
}

// depose pauses the acting process in the midst of a call, lets another one take over, people speak to that one
// before it first looks, and it work for some ticks, and returns into the call of the first.
func (w *world) depose(ctx context.Context, ticks int, speak func() error) {
	if w.deposing {
		return
	}
	w.deposing = true
	defer func() { w.deposing = false }()
	w.deposed = w.proc
	p, err := w.start(ctx)
	if err != nil {
		w.violate("liveness", "another repairer could not take over: %v", err)
		return
	}
	w.proc = p
	if err := speak(); err != nil {
		w.violate("liveness", "the repairer that took over: %v", err)
	}
	for range ticks {
		if w.violation != nil || w.proc == nil {
			return
		}
		if err := w.tick(ctx); err != nil {
			w.violate("liveness", "the repairer that took over: %v", err)
		}
	}
}

// open are the open cases.
func (w *world) open(ctx context.Context) ([]repairer.Case, error) {
	return ledger{w.proc.db, w.proc}.Cases(ctx, false)
}
