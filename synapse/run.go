package synapse

import (
	"context"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"glia"
	"glia/registry"
)

// result is what came of asking one host.
type result struct {
	host       *host
	disks      []glia.DiskStatus
	generation uint64
	err        error
}

// loop is the state of Run. Only its goroutine touches it.
type loop struct {
	*Fleet
	hosts   map[string]*host
	due     queue // hosts to ask
	later   queue // hosts to decide on again, at their time
	results chan result
	busy    int // hosts that are being asked
	workers sync.WaitGroup

	mark      registry.Mark // of what was read of the registry
	wholeAt   time.Time     // when the whole of it is read next
	readAt    time.Time     // when it is read next
	lastRead  time.Time
	confirmed time.Time                   // when the registry last answered
	retry     *backoff.ExponentialBackOff // of the registry

	dirty     bool                // that the published view is not what is known now
	changed   map[string]struct{} // hosts that differ from the published view
	view      *hostViews
	published time.Time
}

func newLoop(f *Fleet) *loop {
	return &loop{
		Fleet: f, hosts: map[string]*host{}, results: make(chan result), retry: newBackoff(f.o.Resync), changed: map[string]struct{}{}, view: newHostViews(),
		// Hosts that answered last time are asked before those that did not, so that hanging ones wait for healthy
		// ones and never the other way round.
		due:   queue{before: func(a, b *host) bool { return a.failures < b.failures || a.failures == b.failures && a.name < b.name }},
		later: queue{before: func(a, b *host) bool { return a.at.Before(b.at) }},
	}
}

// Run keeps the view until ctx is done. It returns once every question to a nerve has ended.
func (f *Fleet) Run(ctx context.Context) error {
	defer close(f.stopped)
	ctx, cancel := context.WithCancel(ctx)
	l := newLoop(f)
	defer l.workers.Wait()
	defer cancel()
	changes := f.o.Watcher.Changes(ctx)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-changes:
			if soon := l.lastRead.Add(pace); soon.Before(l.readAt) {
				l.readAt = soon
			}
		case r := <-l.results:
			l.settle(r)
		case <-timer.C:
		}
		timer.Reset(l.turn(ctx))
	}
}

// turn does all that is due and returns how long there is nothing more to do.
func (l *loop) turn(ctx context.Context) time.Duration {
	now := l.o.Now()
	if !now.Before(l.readAt) {
		l.read(ctx)
		now = l.o.Now()
	}
	wake := l.dispatch(ctx, now)
	if l.dirty && !l.confirmed.IsZero() {
		if due := l.published.Add(pace); now.Before(due) {
			wake = earlier(wake, due)
		} else {
			l.show()
			l.published = now
		}
	}
	return max(earlier(wake, l.readAt).Sub(now), time.Millisecond)
}

// earlier is the earlier of two times, of which the zero time means never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// read takes over what has changed in the registry, and its whole state once every Resync.
func (l *loop) read(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, l.o.FetchTimeout)
	defer cancel()
	mark := l.mark
	if !l.o.Now().Before(l.wholeAt) {
		mark = registry.Mark{}
	}
	delta, err := l.o.Watcher.Since(ctx, mark)
	now := l.o.Now()
	l.lastRead = now
	turned := l.setProblem(err)
	if err != nil {
		l.readAt = now.Add(l.retry.NextBackOff())
		if turned {
			l.o.Log.Warn("registry does not answer; keeping the last view", "error", err)
		}
		return
	}
	l.retry.Reset()
	first := l.confirmed.IsZero()
	l.take(delta, first, now)
	l.mark, l.confirmed, l.dirty = delta.Mark, now, true
	if delta.Whole {
		l.wholeAt = now.Add(l.o.Resync)
	}
	l.readAt = l.wholeAt
	if turned {
		l.o.Log.Info("registry answers", "hosts", len(l.hosts))
	}
}

// take brings the hosts in line with the registry.
func (l *loop) take(d registry.Delta, first bool, now time.Time) {
	there := map[string]bool{}
	for _, r := range d.Hosts {
		if len(r.Members) == 0 {
			l.forget(r.Name)
			continue
		}
		there[r.Name] = true
		c := claimOf(r)
		h := l.hosts[r.Name]
		if h == nil {
			h = &host{name: r.Name, retry: newBackoff(l.o.Resync)}
			l.hosts[r.Name] = h
			if !first {
				l.o.Log.Info("host appeared", "host", r.Name, "status", c.member.Status, "disks", c.member.Announcement.Worst)
			}
		} else {
			l.report(r.Name, h.member, c.member)
		}
		if c.contested && !h.claimed {
			l.o.Log.Warn("host name is not that of one host, so nobody is asked", "host", r.Name, "problem", c.member.Problem)
		}
		h.announce(c)
		l.plan(h, now)
		l.touch(r.Name)
	}
	if !d.Whole {
		return
	}
	for name := range l.hosts {
		if !there[name] {
			l.forget(name)
		}
	}
}

// forget forgets a host as the registry has.
func (l *loop) forget(name string) {
	if h := l.hosts[name]; h != nil {
		h.leave()
		delete(l.hosts, name)
		l.touch(name)
		l.o.Log.Info("registry forgot host", "host", name)
	}
}

// touch notes that a host differs from the published view.
func (l *loop) touch(name string) {
	l.changed[name] = struct{}{}
	l.dirty = true
}

// report logs what changed of a host.
func (l *loop) report(name string, old, new glia.Member) {
	if old.Status != new.Status {
		l.o.Log.Info("host changed its status", "host", name, "from", old.Status, "to", new.Status)
	}
	if from, to := old.Announcement.Worst, new.Announcement.Worst; from != to {
		l.o.Log.Info("host announces another state", "host", name, "from", from, "to", to)
	}
}

// plan decides what to do for a host, now or later. It is called after everything that happens to the host.
func (l *loop) plan(h *host, now time.Time) {
	h.leave()
	switch d := h.decide(now, l.o.Resync); {
	case d.act == fetch:
		l.due.add(h)
	case d.act == drop:
		h.drop()
		l.touch(h.name)
	case !d.at.IsZero():
		h.at = d.at
		l.later.add(h)
	}
}

// dispatch does what is due and returns when the next host is.
func (l *loop) dispatch(ctx context.Context, now time.Time) (wake time.Time) {
	for h := l.later.first(); h != nil; h = l.later.first() {
		if now.Before(h.at) {
			wake = h.at
			break
		}
		l.plan(h, now)
	}
	for h := l.due.first(); h != nil && l.busy < fetchers; h = l.due.first() {
		h.leave()
		h.asked()
		l.busy++
		a := h.member.Announcement
		l.workers.Go(func() {
			disks, generation, err := l.ask(ctx, a)
			for i := range disks {
				disks[i].Evidence = nil // most of what a view would hold; ListFleetDisks has it, and verdicts tell what they rest on
			}
			select {
			case l.results <- result{host: h, disks: disks, generation: generation, err: err}:
			case <-ctx.Done():
			}
		})
	}
	return wake
}

// settle notes what a nerve answered.
func (l *loop) settle(r result) {
	l.busy--
	h := r.host
	if l.hosts[h.name] != h {
		return // the registry forgot it meanwhile
	}
	now := l.o.Now()
	if r.err != nil {
		l.metrics.failures.Inc()
		if h.failures == 0 {
			l.o.Log.Warn("nerve does not answer; keeping what it told before", "host", h.name, "error", r.err)
		}
		h.refused(r, now)
	} else {
		if h.failures > 0 {
			l.o.Log.Info("nerve answers again", "host", h.name, "failures", h.failures)
		}
		h.answered(r, now)
	}
	l.plan(h, now)
	l.touch(h.name)
}

// show publishes the view as it is now.
func (l *loop) show() {
	for name := range l.changed {
		var is *glia.HostView
		if h := l.hosts[name]; h != nil {
			is = h.view()
		}
		l.metrics.replace(l.view.set(name, is), is)
	}
	clear(l.changed)
	l.dirty = false
	l.publish(l.confirmed, l.view.freeze())
}

func newBackoff(longest time.Duration) *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval, b.Multiplier = min(firstBackoff, longest), longest, 2
	b.Reset()
	return b
}
