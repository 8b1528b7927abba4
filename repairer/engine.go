// Package repairer carries each failing disk through its repair: confirm, drain, ticket, wait for the
// swap, inspect, rejoin, settle, close.
//
// It guarantees that every act stands in the append-only log before it happens and its outcome after;
// that the phase of a case is derived from that log at each tick, so that a kill at any instruction
// loses nothing; that at most one case is open for a serial; and that nothing is acted on while a gate
// refuses. When anything can not be known, the case waits and says for what.
package repairer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"glia"
)

// Pool gives hosts a mode and a storage driver.
type Pool struct {
	Name   string
	Hosts  []string // patterns as of path.Match; the first pool that names a host wins
	Mode   Mode
	Driver string

	Approvals        int // persons whom an approval takes; 0 counts as 1
	DestroyApprovals int // the same for a plan that destroys, which then needs one in mode auto, too; 0: as Approvals
}

// Options are what an engine is made of. Needed are all fields up to Drivers, and all times but CoolDown
// and Overdue; the zero value of a limit turns it off.
type Options struct {
	Store   Store
	Feed    Feed
	Hosts   Hosts
	Tracker Tracker
	Answers Answers // what is known of tickets; nil: the tracker is asked each time
	Words   *Words  // of tickets; nil: glia's own
	Link    string  // to a case, with {case} for its id; empty: tickets have none
	// Announce files tickets when a case starts, which say "do not pull yet" until the disk is out of use. Without it
	// they are filed then.
	Announce bool
	Drivers  map[string]Driver // by name; the one named "" is for hosts of no pool
	Mode     Mode              // of hosts of no pool
	Pools    []Pool
	Rules    []RuleMode // modes by the rules that have spoken
	Limits   Limits

	Domains  []Domain
	Storms   StormLimits
	Breakers BreakerLimits
	Cohorts  CohortLimits
	Flap     FlapLimits
	Windows  []Window
	StopFile string // while it exists nothing is done; empty: there is none
	// Hook is the site's veto, asked right before a case starts; empty text agrees. It may be nil.
	Hook        func(context.Context, Plan) string
	HookCommand []string // what Hook runs, for people

	// Of hosts of no pool; see Pool.
	Approvals        int
	DestroyApprovals int

	States     []glia.State  // verdicts that open a case
	Tick       time.Duration // between two looks at everything
	Settle     time.Duration // how long a new disk must stay healthy before its case closes
	MaxViewAge time.Duration // an older fleet view opens and starts nothing
	RetryMin   time.Duration // first wait after a failed attempt
	RetryMax   time.Duration // longest wait between attempts
	Attempts   int           // failed attempts of one step before the case is parked
	CoolDown   time.Duration // after a case was cancelled, until its disk may get another one

	RemindAfter   []time.Duration // ages of a waiting ticket at which its person is reminded
	EscalateAfter time.Duration   // age from which a waiting ticket is a finding; 0 is never

	// Troubles are further findings for the status. It may be nil.
	Troubles func(context.Context) ([]string, error)

	Overdue time.Duration // after which a step that still runs is reported; it is never cut off

	// Parallel is how many cases are worked on together; 0 is 64. With 1, TickOnce goes through them
	// in the order of their opening, so that a simulation can be repeated exactly.
	Parallel int

	Now func() time.Time
	Log *slog.Logger
}

// Engine drives all cases of one store. Tick is called by one goroutine; the other methods are safe
// for concurrent use.
type Engine struct {
	Options

	wake     chan struct{}
	starting sync.Mutex // held while the gates are asked, so that budgets hold
	slots    chan struct{}

	memory memory
	graves graveyard
	vetoes vetoes
	outbox outbox
	fences fences

	mu       sync.Mutex
	findings []string        // what needs a person and has no case
	surveyed surveyed        // more of that, of the storage
	busy     map[string]bool // cases whose step has not returned
	status   Status          // of the newest look
	refused  map[string]uint64
	progress map[string]string // of the steps under way, by case

	inspections map[string]string // keys of those that run, by case and new disk
}

// New makes an engine. It does nothing until Run or Tick is called.
func New(o Options) *Engine {
	if o.Parallel == 0 {
		o.Parallel = parallel
	}
	if o.Words == nil {
		o.Words = DefaultWords()
	}
	return &Engine{Options: o.fenced(), wake: make(chan struct{}, 1), slots: make(chan struct{}, o.Parallel), busy: map[string]bool{}, refused: map[string]uint64{}, progress: map[string]string{}, inspections: map[string]string{}}
}

// Wake makes Run look at everything now, because a person has just said something.
func (e *Engine) Wake() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// Run ticks until the context ends or the repairer is deposed, which it returns as an error. A host
// that does not answer holds up its own cases only.
func (e *Engine) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	t := time.NewTicker(e.Options.Tick)
	defer t.Stop()
	told := ""
	for {
		looked := time.NewTimer(breath)
		err := e.begin(ctx, func(c Case, step func() error) {
			wg.Go(func() {
				switch err := step(); {
				case errors.Is(err, glia.ErrStaleEpoch):
					cancel(fmt.Errorf("another repairer took over, this one stops: %w", err))
				case err != nil && ctx.Err() == nil:
					e.Log.Error("case can not go on", "case", c.ID, "error", err)
				}
			})
		})
		switch {
		case errors.Is(err, glia.ErrStaleEpoch):
			return fmt.Errorf("another repairer took over, this one stops: %w", err)
		case err != nil && err.Error() != told && ctx.Err() == nil:
			e.Log.Error("cases can not be looked at", "error", err)
		}
		told = ""
		if err != nil {
			told = err.Error()
		}
		select {
		case <-ctx.Done():
			if cause := context.Cause(ctx); errors.Is(cause, glia.ErrStaleEpoch) {
				return cause
			}
			return nil
		case <-t.C:
		case <-e.wake:
			<-looked.C
		}
	}
}

// breath is the least time between two looks, however much there is to do.
const breath = 20 * time.Millisecond

// parallel is how many cases are worked on together. Their time goes into waiting for hosts.
const parallel = 64

// TickOnce looks at the fleet view and at every open case once, does at most one act in each, and
// waits for them.
func (e *Engine) TickOnce(ctx context.Context) error {
	var g errgroup.Group
	g.SetLimit(e.Parallel)
	var mu sync.Mutex
	var errs []error
	err := e.begin(ctx, func(_ Case, step func() error) {
		g.Go(func() error {
			if err := step(); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, err)
			}
			return nil
		})
	})
	_ = g.Wait()
	return errors.Join(append(errs, err)...)
}

// begin opens cases and hands the next step of every case that is not busy to run.
func (e *Engine) begin(ctx context.Context, run func(c Case, step func() error)) error {
	// A case that is worked on while it is read may have moved on by the time that it is claimed.
	working := e.working()
	l, err := e.snapshot(ctx)
	if err != nil {
		return err
	}
	if !l.view.At.IsZero() {
		if err := e.fence(ctx, l, run); err != nil {
			return err
		}
	}
	opened, err := e.openCases(ctx, l)
	if err != nil {
		return err
	}
	if opened {
		if l.cases, err = e.memory.look(ctx, e.Store); err != nil {
			return fmt.Errorf("read the open cases: %w", err)
		}
	}
	if l.view.At.IsZero() {
		return nil // no host can be reached before the first view: a step would count as one that failed
	}
	if e.claim(graveTask) {
		run(Case{ID: graveTask}, func() error {
			defer e.unclaim(graveTask)
			e.visit(ctx, l)
			return nil
		})
	}
	if e.surveyDue() && e.claim(surveyTask) {
		run(Case{ID: surveyTask}, func() error {
			defer e.unclaim(surveyTask)
			e.survey(ctx)
			return nil
		})
	}
	still := e.still(l)
	for i, c := range l.cases {
		if still[i] || working[c.ID] || !e.claim(c.ID) {
			continue
		}
		run(*c, func() error {
			defer e.unclaim(c.ID)
			select {
			case e.slots <- struct{}{}:
				defer func() { <-e.slots }()
			case <-ctx.Done():
				return ctx.Err()
			}
			err := e.step(ctx, *c, l)
			if errors.Is(err, ErrMoved) {
				e.Log.Debug("case has moved on, it is looked at again", "case", c.ID, "seq", c.Seq)
				e.Wake()
				err = e.memory.correct(ctx, e.Store, c.ID)
			}
			return err
		})
	}
	return nil
}

// working are the cases whose step has not returned.
func (e *Engine) working() map[string]bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return maps.Clone(e.busy)
}

func (e *Engine) claim(id string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.busy[id] {
		return false
	}
	e.busy[id] = true
	return true
}

func (e *Engine) unclaim(id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.busy, id)
}

// openCases opens a case for every disk of the fleet view that needs one. Where a storm
// is it opens none: the storm is one finding, and what is still bad after it gets its case then.
func (e *Engine) openCases(ctx context.Context, l *snapshot) (opened bool, err error) {
	now, view := l.facts.Now, l.view
	findings := append([]string(nil), l.findings...)
	defer func() { e.setFindings(findings) }()
	if r := gateFreshness(Case{}, l.facts); r != nil || l.facts.Stop != "" {
		return false, nil
	}
	has := make(map[string]bool, len(l.cases))
	for _, c := range l.cases {
		has[c.Serial()] = true
	}
	risen, barred, err := e.risen(ctx, l)
	if err != nil {
		return false, err
	}
	findings = append(findings, risen...)
	for _, h := range view.Hosts {
		if h.Member.Status != glia.MemberAlive || now.Sub(h.FetchedAt) > e.MaxViewAge {
			continue
		}
		host := h.Member.Announcement.Host
		if _, storm := l.facts.Storms.over(host, e.lookup(host)); storm.Phase == StormBlowing {
			continue
		}
		for i := range h.Disks {
			if h.Disks[i].Verdict.State == glia.StateHealthy {
				continue // nor is it when the verdict has expired
			}
			d := h.Disks[i]
			if has[d.Disk.Serial()] || barred[d.Disk.Serial()] {
				continue
			}
			open, why := ShouldOpen(d, e.States, now)
			if !open {
				if s := d.Verdict.At(now).State; s >= glia.StateWorn {
					findings = append(findings, fmt.Sprintf("%s is %s and gets no case: %s", d.Disk, s, why))
				}
				continue
			}
			if r := gateFreshness(Case{Disk: d.Disk, Verdict: d.Verdict}, l.facts); r != nil {
				findings = append(findings, fmt.Sprintf("%s is %s and gets no case: %s", d.Disk, d.Verdict.State, r))
				continue
			}
			blocked, err := e.open(ctx, d, now)
			if err != nil {
				return opened, err
			}
			opened = opened || blocked == ""
			if blocked != "" {
				findings = append(findings, fmt.Sprintf("%s is %s and gets no case: %s", d.Disk, d.Verdict.State, blocked))
			}
		}
	}
	return opened, nil
}

// open opens a case, or says why the disk gets none now. A person who has cancelled the last one is
// not asked again at once.
func (e *Engine) open(ctx context.Context, d glia.DiskStatus, now time.Time) (blocked string, err error) {
	last, err := e.Store.LastCase(ctx, d.Disk.Serial())
	switch {
	case errors.Is(err, glia.ErrNotFound):
	case err != nil:
		return "", fmt.Errorf("look for cases of %s: %w", d.Disk, err)
	case !last.Phase.Ended():
		return "", nil
	case last.Phase == PhaseCancelled && now.Before(last.ClosedAt.Add(e.CoolDown)):
		return fmt.Sprintf("its case %s was cancelled by %s; a new one is opened after %s", last.ID, last.Cancel, last.ClosedAt.Add(e.CoolDown).UTC().Format(time.RFC3339)), nil
	}
	pool := e.poolOf(d.Disk.Location.Host)
	mode, _ := ModeOf(pool, e.Rules, d.Verdict)
	_, err = e.Store.Open(ctx, Event{
		At: now, Kind: KindOpened,
		Text: fmt.Sprintf("%s is %s", d.Disk, d.Verdict.Summary()),
		Data: Data{Disk: &d.Disk, Verdict: &d.Verdict, Mode: mode, Driver: pool.Driver},
	})
	switch {
	case errors.Is(err, ErrAlreadyOpen):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("open a case for %s: %w", d.Disk, err)
	}
	e.Log.Info("case opened", "serial", d.Disk.Serial(), "host", d.Disk.Location.Host, "verdict", d.Verdict.State)
	return "", nil
}

func (e *Engine) setFindings(f []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.findings = f
}

// Findings are the disks that need a person and have no case, in words.
func (e *Engine) Findings() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append(append([]string(nil), e.findings...), e.surveyed.findings...)
}

var (
	// ErrAlreadyOpen is returned by Store.Open when the serial has an open case.
	ErrAlreadyOpen = errors.New("the disk has an open case")
	// ErrMoved is returned when a case has newer events than the decision about it was made on. Nothing
	// was done or written; the case is to be read and looked at again.
	ErrMoved = errors.New("the case has moved on meanwhile")
)

// record appends one event to a case. A decision holds only for the case as it was when it was made; what
// came of an act is written down in any case.
func (e *Engine) record(ctx context.Context, c Case, kind Kind, step, text string, d Data) (Case, error) {
	event := Event{Case: c.ID, At: e.Now(), Kind: kind, Step: step, Text: text, Data: d, After: c.Seq}
	if kind == KindDone || kind == KindFailed || kind == KindTold {
		event.After = 0
	}
	after, err := e.Store.Append(ctx, event)
	if err != nil {
		return c, fmt.Errorf("case %s: record %q: %w", c.ID, text, err)
	}
	if kind == KindHeld || kind == KindCancel {
		e.tellProgress(c.ID, "") // nobody asks the step how far it has come until it goes on
	}
	e.Wake() // what follows need not wait for the next tick
	if after.Phase != c.Phase {
		e.Log.Info("case moved", "case", c.ID, "serial", c.Serial(), "host", c.Host(), "from", c.Phase, "to", after.Phase, "why", text)
	}
	return after, nil
}
