// Package nerve is the prober sidecar of a storage host: it watches the host's disks, judges them,
// announces a digest and serves the detail.
//
// It guarantees that one disk never delays another (each has a worker with a deadline and at most one
// parked thread), that nothing is said about a disk that was not looked at, and that verdicts with
// their counts survive a restart. It never decides to change anything: only the hand does, when the
// repairer orders it.
package nerve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"glia"
	gliav1 "glia/api/glia/v1"
	"glia/nerve/history"
	"glia/nerve/judge"
)

// Inventory lists the disks of the host without touching them.
type Inventory interface {
	Scan(ctx context.Context) ([]glia.Disk, error)
}

// Doubter is an inventory that also knows of devices that it can not tell from others.
type Doubter interface {
	// ScanAll is Scan that also names the serials that some device claims but that can not be told
	// apart, each with the reason. Such a disk is unknown, not missing.
	ScanAll(ctx context.Context) (disks []glia.Disk, doubtful map[string]string, err error)
}

// Rechecker is an inventory that can tell cheaply whether it is still what it was.
type Rechecker interface {
	// Recheck is ScanAll, and may return what the last one has found when nothing has changed but what the kernel
	// would have told by an event.
	Recheck(ctx context.Context) (disks []glia.Disk, doubtful map[string]string, err error)
}

// Prober observes one disk. It may block for as long as the kernel does, and is never called for a
// disk whose former call has not returned.
type Prober interface {
	Probe(ctx context.Context, d glia.Disk) []glia.Evidence
}

// Hand executes the repairer's orders.
type Hand interface {
	// Fence makes orders of older epochs be refused, also after a restart. The error wraps glia.ErrStaleEpoch
	// when a newer one is known.
	Fence(epoch uint64) error
	// Execute carries out one order, or tells how it stands. The error wraps glia.ErrStaleEpoch when a newer epoch is
	// known, and glia.ErrUnreachable when the hand takes no orders any more.
	Execute(ctx context.Context, o *gliav1.Order) (*gliav1.ExecuteResponse, error)
}

// Announcer publishes the host's announcement. Announcing the same again writes nothing.
type Announcer interface {
	Announce(ctx context.Context, a glia.Announcement) error
}

// Labels reads label and UUID of a filesystem from its superblock.
type Labels func(device string) (label, uuid string, err error)

// Options are what a nerve is made of.
type Options struct {
	Host      string
	API       string        // host:port at which others reach this nerve
	Kernel    string        // release of the running kernel
	Cert      func() string // fingerprint of its certificate as it is now; nil without TLS
	StateFile string        // where verdicts survive a restart
	Inventory Inventory
	Prober    Prober
	Hand      Hand // nil: orders are refused
	Announcer Announcer
	Labels    Labels // nil: what the inventory says is all
	Events    Events // nil: only scans notice disks that come and go
	Rules     judge.RuleSet
	Together  judge.Together   // zero: disks are judged each by itself
	Starved   judge.Starvation // zero: the nerve never doubts itself
	Pressure  Pressure         // nil: only late timers are noticed
	History   *history.Store   // nil: nothing is kept

	Interval time.Duration // between two probes of a disk
	Deadline time.Duration // for one probe
	Expiry   time.Duration // after which a verdict is unknown

	Log      *slog.Logger
	Registry prometheus.Registerer
}

// saveEvery bounds what a crash loses of the counts. Verdicts that change are saved at once.
const saveEvery = time.Minute

// Nerve is one running nerve. It is safe for concurrent use.
type Nerve struct {
	Options
	metrics *metrics
	rescan  chan struct{}
	changed chan struct{} // something that is announced or saved may have changed

	saving        sync.Mutex
	historyFailed atomic.Bool // the last record could not be kept
	listening     atomic.Bool // the kernel's events are heard

	mu         sync.Mutex
	life       context.Context      // of Run, in which the workers live; nil before
	disks      map[string]*entry    // by serial
	told       map[string]time.Time // when an event was about a kernel name
	generation uint64
	announced  glia.Announcement
	scans      uint64          // that have begun
	scanned    uint64          // number of the newest one that was taken over
	scanErr    string          // of the newest scan
	whole      time.Time       // when the last scan began that was no recheck
	findings   []judge.Finding // of the newest announcement
	starved    *judge.Finding  // nil while the nerve gets what it needs
	dirty      bool
}

// entry is what the nerve knows of one disk. The nerve's mutex guards it.
type entry struct {
	disk     glia.Disk
	missing  bool      // not seen for longer than a reset of its link takes
	gone     time.Time // of the first scan in a row that did not see it; zero while it is there
	seen     time.Time // of the last scan that saw it
	state    judge.DiskState
	verdict  glia.Verdict
	evidence []glia.Evidence
	labels   map[string]label // by mount source and target
	worker   *worker          // nil while the disk is absent
}

// New makes a nerve with what the state file says of former runs. A state file that can not be read
// is an error, because without it verdicts would silently begin anew.
func New(o Options) (*Nerve, error) {
	o.Rules = o.Rules.Sealed()
	n := &Nerve{Options: o, metrics: newMetrics(o.Registry), rescan: make(chan struct{}, 1), changed: make(chan struct{}, 1), disks: map[string]*entry{}, told: map[string]time.Time{}}
	if err := n.load(); err != nil {
		return nil, fmt.Errorf("read the state of former runs: %w; move the file away to start without it", err)
	}
	return n, nil
}

// Run probes and announces until the context ends. Workers whose probe hangs in the kernel are left
// behind.
func (n *Nerve) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	n.mu.Lock()
	n.life = ctx
	n.mu.Unlock()
	n.look(ctx)
	g.Go(func() error { n.scanLoop(ctx); return nil })
	if n.Events != nil {
		g.Go(func() error { n.listen(ctx); return nil })
	}
	g.Go(func() error { n.firstRound(ctx); n.announceLoop(ctx); return nil })
	g.Go(func() error { n.saveLoop(ctx); return nil })
	g.Go(func() error { n.watchItself(ctx); return nil })
	return g.Wait()
}

func (n *Nerve) scanLoop(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(n.nextScan()):
			n.lookBy(ctx, n.recheck())
		case <-n.rescan:
			n.look(ctx)
		}
	}
}

// look scans and remembers whether that was possible. A change between the two is one line of the log.
func (n *Nerve) look(ctx context.Context) { n.lookBy(ctx, n.scanner()) }

func (n *Nerve) lookBy(ctx context.Context, scanner scanner) {
	if was, err := n.scan(ctx, scanner); err != nil && ctx.Err() == nil && was != err.Error() {
		n.Log.Error("inventory can not be read", "error", err)
	}
}

// Rescan makes the nerve read the inventory now.
func (n *Nerve) Rescan() { poke(n.rescan) }

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// scanner is a way to read the inventory, with what is doubtful about it.
type scanner func(context.Context) (found []glia.Disk, doubtful map[string]string, err error)

// scanner reads everything.
func (n *Nerve) scanner() scanner {
	n.mu.Lock()
	n.whole = time.Now()
	n.mu.Unlock()
	if all, ok := n.Inventory.(Doubter); ok {
		return all.ScanAll
	}
	return func(ctx context.Context) ([]glia.Disk, map[string]string, error) {
		found, err := n.Inventory.Scan(ctx)
		return found, nil, err
	}
}

// recheck reads as little as it may.
func (n *Nerve) recheck() scanner {
	n.mu.Lock()
	whole := n.whole
	n.mu.Unlock()
	if r, ok := n.Inventory.(Rechecker); ok && n.listening.Load() && time.Since(whole) < scanWhole {
		return r.Recheck
	}
	return n.scanner()
}

// scan reads the inventory and brings the entries up to date. When it can not be read nothing
// changes: a disk is missing only when a good inventory does not show it. Neither does anything when a scan that
// began later was faster: what this one tells is older than what is known. It returns the problem that there was
// before beside its own.
func (n *Nerve) scan(ctx context.Context, scanner scanner) (was string, err error) {
	n.mu.Lock()
	n.scans++
	number := n.scans
	n.mu.Unlock()
	found, doubtful, err := scanner(ctx)
	if err != nil && ctx.Err() != nil {
		return "", err
	}
	now := time.Now()
	n.mu.Lock()
	defer n.mu.Unlock()
	if number < n.scanned {
		return "", nil
	}
	n.scanned, was, n.scanErr = number, n.scanErr, ""
	if err != nil {
		n.scanErr = err.Error()
		return was, err
	}
	seen := map[string]bool{}
	for _, d := range found {
		seen[d.Serial()] = true
		n.saw(d, now)
	}
	for serial, e := range n.disks {
		switch why := doubtful[serial]; {
		case seen[serial]:
		case why != "":
			n.doubt(serial, e, why)
		default:
			n.missed(serial, e, now)
		}
	}
	poke(n.changed)
	return was, nil
}

// saw notes a disk that is there. The caller holds the mutex.
func (n *Nerve) saw(d glia.Disk, now time.Time) {
	e := n.disks[d.Serial()]
	if e == nil {
		e = &entry{verdict: judge.Unprobed("it was not probed yet"), labels: map[string]label{}}
		n.disks[d.Serial()] = e
		n.dirty = true
		n.Log.Info("disk appeared", "serial", d.Serial(), "device", d.Location.Device, "place", d.Location.Place(), "model", d.Identity.Model, "protected", d.Protected)
	}
	if e.missing {
		e.verdict = judge.Unprobed("it is back and was not probed yet")
		n.Log.Info("disk is back", "serial", d.Serial(), "device", d.Location.Device, "place", d.Location.Place())
	}
	e.disk, e.missing, e.gone, e.seen = e.labelled(d), false, time.Time{}, now
	if e.worker == nil && n.life != nil {
		e.worker = n.startWorker(n.life, d.Serial())
	}
}

// doubt notes that something claims to be the disk and may not be it. The caller holds the mutex.
func (n *Nerve) doubt(serial string, e *entry, why string) {
	if e.worker != nil {
		e.worker.stop()
		e.worker = nil
	}
	e.gone = time.Time{} // it may be here
	if e.verdict.Why != why {
		n.Log.Warn("disk can not be identified", "serial", serial, "why", why)
		e.verdict, e.missing, e.evidence = judge.Unprobed(why), false, nil
		n.dirty = true
	}
}

// missed notes that a good inventory did not show a disk. The caller holds the mutex.
func (n *Nerve) missed(serial string, e *entry, now time.Time) {
	if e.gone.IsZero() {
		e.gone = now
	}
	if !e.missing && now.Sub(e.gone) < n.patience(e) {
		return
	}
	e.missing = true
	if e.worker != nil {
		e.worker.stop()
		e.worker = nil
	}
	if n.replaced(e) {
		delete(n.disks, serial)
		n.dirty = true
		n.Log.Info("disk was replaced", "serial", serial, "place", e.disk.Location.Place())
		return
	}
	if e.verdict.State != glia.StateMissing {
		n.Log.Warn("disk is missing", "serial", serial, "place", e.disk.Location.Place(), "was", e.verdict.State)
		e.verdict = glia.Verdict{State: glia.StateMissing, Why: fmt.Sprintf("not seen since %s; it was %s", e.seen.UTC().Format(time.RFC3339), e.verdict.State), ObservedAt: now, Prober: glia.Version}
		e.disk.Location.Device = ""
		e.evidence = nil
		n.dirty = true
	}
}

// replaced says whether another disk sits where the missing one was. The caller holds the mutex.
func (n *Nerve) replaced(gone *entry) bool {
	place := gone.disk.Location.Place()
	for _, e := range n.disks {
		if e != gone && e.gone.IsZero() && place != "" && e.disk.Location.Place() == place {
			return true
		}
	}
	return false
}

// Disks are all disks with their verdicts as they stand now, by serial.
func (n *Nerve) Disks() []glia.DiskStatus {
	disks, _ := n.view()
	return disks
}

func (e *entry) status(now time.Time, doubts map[string]judge.Finding) glia.DiskStatus {
	v := e.verdict.At(now)
	if f, ok := doubts[e.disk.Serial()]; ok && v.State.Bad() {
		v = judge.Doubted(v, f)
	}
	return glia.DiskStatus{Disk: e.disk, Verdict: v, Evidence: e.evidence}
}

// Problem says why the inventory can not be trusted now; empty when it can.
func (n *Nerve) Problem() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.scanErr
}

// Probe probes one disk now and returns its verdict, which rests on a probe that began after the
// call. It returns glia.ErrNotFound for a serial that was never here.
func (n *Nerve) Probe(ctx context.Context, serial string) (glia.DiskStatus, error) {
	n.mu.Lock()
	e := n.disks[serial]
	if e == nil {
		n.mu.Unlock()
		return glia.DiskStatus{}, fmt.Errorf("disk %s on %s: %w", serial, n.Host, glia.ErrNotFound)
	}
	w := e.worker
	n.mu.Unlock()
	if w != nil {
		if err := w.probeNow(ctx); err != nil {
			return glia.DiskStatus{}, fmt.Errorf("probe %s: %w", serial, err)
		}
	}
	now := time.Now()
	n.mu.Lock()
	defer n.mu.Unlock()
	return e.status(now, doubts(n.correlate(now))), nil
}

// Fence hands an epoch to the hand.
func (n *Nerve) Fence(epoch uint64) error {
	if n.Hand == nil {
		return errNoHand
	}
	return n.Hand.Fence(epoch)
}

var errNoHand = errors.New("the hand of this host is switched off: set hand.enabled in its configuration")

// Execute hands an order to the hand and looks at the inventory afterwards.
func (n *Nerve) Execute(ctx context.Context, o *gliav1.Order) (*gliav1.ExecuteResponse, error) {
	if n.Hand == nil {
		return nil, errNoHand
	}
	defer n.Rescan()
	defer n.standStill(ctx, o)()
	return n.Hand.Execute(ctx, o)
}

// stillness is how long an order waits for the probe of its disk to end.
const stillness = 5 * time.Second

// standStill keeps the disk from being probed while an order lets go of its filesystem, which is busy
// for as long as a probe has a file of it open.
func (n *Nerve) standStill(ctx context.Context, o *gliav1.Order) (release func()) {
	if v := o.GetVerb(); v != gliav1.Verb_VERB_UNMOUNT && v != gliav1.Verb_VERB_OSD_DEACTIVATE {
		return func() {}
	}
	n.mu.Lock()
	var w *worker
	if e := n.disks[o.GetSerial()]; e != nil {
		w = e.worker
	}
	n.mu.Unlock()
	if w == nil {
		return func() {}
	}
	ctx, cancel := context.WithTimeout(ctx, stillness)
	defer cancel()
	return w.hold(ctx)
}
