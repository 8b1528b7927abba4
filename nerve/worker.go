package nerve

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"glia"
	"glia/nerve/judge"
)

// worker probes one disk. A probe that does not return parks one goroutine, and no other is started
// for that disk until it does.
type worker struct {
	n      *Nerve
	serial string
	stop   context.CancelFunc
	ask    chan struct{}
	turn   chan struct{} // holds one element while a probe runs, or while it must not

	mu       sync.Mutex
	running  time.Time     // when the present probe began; zero when none runs
	begun    uint64        // probes that began
	finished uint64        // probes that ended or ran out of time
	done     chan struct{} // closed when finished grows
}

func (n *Nerve) startWorker(ctx context.Context, serial string) *worker {
	ctx, cancel := context.WithCancel(ctx)
	w := &worker{n: n, serial: serial, stop: cancel, ask: make(chan struct{}, 1), turn: make(chan struct{}, 1), done: make(chan struct{})}
	go w.run(ctx)
	return w
}

// run probes at once, and then once an interval, up to a tenth earlier so that the disks of many hosts do
// not work in step.
func (w *worker) run(ctx context.Context) {
	for {
		w.round(ctx)
		early := time.Duration(rand.Int64N(int64(w.n.Interval)/10 + 1))
		select {
		case <-ctx.Done():
			return
		case <-time.After(w.n.Interval - early):
		case <-w.ask:
		}
	}
}

// hold keeps probes of the disk from beginning until release is called, and waits, until ctx ends at
// most, for the one that runs: that one may hang for ever, and then no other begins anyhow.
func (w *worker) hold(ctx context.Context) (release func()) {
	select {
	case w.turn <- struct{}{}:
		return func() { <-w.turn }
	case <-ctx.Done():
		return func() {}
	}
}

// round is one probe with its deadline.
func (w *worker) round(ctx context.Context) {
	select {
	case w.turn <- struct{}{}:
		defer func() { <-w.turn }()
	case <-ctx.Done():
		return
	}
	began := time.Now()
	w.mu.Lock()
	w.running = began
	w.begun++
	w.mu.Unlock()

	ctx, cancel := context.WithTimeout(ctx, w.n.Deadline)
	defer cancel()
	answer := make(chan []glia.Evidence, 1)
	go func() { answer <- w.n.observe(ctx, w.serial) }()

	var evidence []glia.Evidence
	returned := true
	select {
	case evidence = <-answer:
	case <-ctx.Done():
		// A probe that minds its context answers now; one that hangs in the kernel does not.
		select {
		case evidence = <-answer:
		case <-time.After(grace):
			returned = false
		}
	}
	if !returned && errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		w.n.metrics.timeouts.Inc()
		evidence = []glia.Evidence{{Class: glia.Media, Source: "probe", What: "probe.hung", Unknown: fmt.Sprintf("the probe that began at %s has not returned", began.UTC().Format(time.RFC3339)), At: time.Now()}}
	}
	if !errors.Is(context.Cause(ctx), context.Canceled) {
		w.n.judge(w.serial, evidence, time.Since(began))
	}
	w.finish()
	if !returned {
		w.n.metrics.hung.Inc()
		<-answer
		w.n.metrics.hung.Dec()
	}
	w.mu.Lock()
	w.running = time.Time{}
	w.mu.Unlock()
}

// grace is what a probe that minds its context gets to come back after its deadline.
const grace = 100 * time.Millisecond

// finish tells those who wait for this round.
func (w *worker) finish() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.finished = w.begun
	close(w.done)
	w.done = make(chan struct{})
}

// probeNow waits for a probe that begins after the call.
func (w *worker) probeNow(ctx context.Context) error {
	w.mu.Lock()
	want := w.begun + 1
	w.mu.Unlock()
	for {
		w.mu.Lock()
		finished, done, running := w.finished, w.done, w.running
		w.mu.Unlock()
		if finished >= want {
			return nil
		}
		poke(w.ask)
		select {
		case <-done:
		case <-ctx.Done():
			if !running.IsZero() {
				return fmt.Errorf("the probe that began at %s has not returned", running.UTC().Format(time.RFC3339))
			}
			return errors.New("it was not probed in time")
		}
	}
}

// observe runs the prober on the disk as it is known now, and fills in what only the superblock of
// its filesystems tells.
func (n *Nerve) observe(ctx context.Context, serial string) []glia.Evidence {
	n.mu.Lock()
	e := n.disks[serial]
	if e == nil {
		n.mu.Unlock()
		return nil
	}
	d := e.disk
	n.mu.Unlock()
	n.readLabels(serial, d)
	return n.Prober.Probe(ctx, d)
}

// judge steps the disk's verdict by one round of evidence, and keeps what it was judged by.
func (n *Nerve) judge(serial string, evidence []glia.Evidence, took time.Duration) {
	now := time.Now()
	rules, v, ok := n.step(serial, evidence, took, now)
	if !ok || n.History == nil {
		return
	}
	err := n.History.Record(serial, now, judged(rules, evidence, v))
	if failed := err != nil; n.historyFailed.Swap(failed) != failed && failed {
		n.Log.Error("history can not be kept", "serial", serial, "error", err)
	}
}

// step judges one round. It is false for a disk that is not here any more.
func (n *Nerve) step(serial string, evidence []glia.Evidence, took time.Duration, now time.Time) (judge.RuleSet, glia.Verdict, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	e := n.disks[serial]
	if e == nil || e.missing {
		return judge.RuleSet{}, glia.Verdict{}, false
	}
	n.metrics.duration.Observe(took.Seconds())
	if n.starved != nil {
		for i := range evidence {
			evidence[i].Unknown = n.starved.Words
		}
	}
	was, accepted := e.verdict, e.state.Accepted
	rules := n.Rules.For(e.disk.Identity)
	e.state, e.verdict = judge.Step(rules, e.state, evidence, now, n.Expiry)
	e.verdict.Kernel = n.Kernel
	e.evidence = evidence
	n.ended(serial, accepted, e.state.Accepted)
	if e.verdict.State != was.State {
		n.dirty = true
		n.Log.Info("verdict changed", "serial", serial, "device", e.disk.Location.Device, "from", was.State, "to", e.verdict.State, "why", e.verdict.Summary())
		poke(n.changed)
	}
	return rules, e.verdict, true
}
