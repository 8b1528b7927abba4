package synapse

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"glia"
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
	results chan result
	busy    int // hosts that are being asked
	workers sync.WaitGroup

	confirmed time.Time // when the registry last answered
	readAt    time.Time // when it is read next
	lastRead  time.Time
	retry     *backoff.ExponentialBackOff // of the registry

	dirty     bool // that the hosts differ from the published view
	published time.Time
}

// Run keeps the view until ctx is done. It returns once every question to a nerve has ended.
func (f *Fleet) Run(ctx context.Context) error {
	defer close(f.stopped)
	ctx, cancel := context.WithCancel(ctx)
	l := &loop{Fleet: f, hosts: map[string]*host{}, results: make(chan result), retry: newBackoff(f.o.Resync)}
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
			l.publish(buildView(l.confirmed, l.hosts))
			l.dirty, l.published = false, now
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

// read takes over the whole state of the registry.
func (l *loop) read(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, l.o.FetchTimeout)
	defer cancel()
	members, err := l.o.Watcher.Members(ctx)
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
	l.readAt = now.Add(l.o.Resync)
	if turned {
		l.o.Log.Info("registry answers", "members", len(members))
	}
	l.take(members, l.confirmed.IsZero())
	l.confirmed, l.dirty = now, true
}

// take brings the hosts in line with the members.
func (l *loop) take(members []glia.Member, first bool) {
	seen := map[string]bool{}
	for _, c := range claims(members) {
		name := c.member.Announcement.Host
		seen[name] = true
		h := l.hosts[name]
		if h == nil {
			h = &host{retry: newBackoff(l.o.Resync)}
			l.hosts[name] = h
			if !first {
				l.o.Log.Info("host appeared", "host", name, "status", c.member.Status, "disks", c.member.Announcement.Worst)
			}
		} else {
			l.report(name, h.member, c.member)
		}
		h.announce(c)
	}
	for name := range l.hosts {
		if !seen[name] {
			delete(l.hosts, name)
			l.o.Log.Info("registry forgot host", "host", name)
		}
	}
}

// report logs what changed of a host.
func (l *loop) report(name string, old, new glia.Member) {
	if old.Status != new.Status {
		l.o.Log.Info("host changed its status", "host", name, "from", old.Status, "to", new.Status)
	}
	if from, to := old.Announcement.Worst, new.Announcement.Worst; from != to {
		l.o.Log.Info("host announces another state", "host", name, "from", from, "to", to)
	}
	if old.Problem != new.Problem && new.Problem != "" {
		l.o.Log.Warn("announcement has a problem", "host", name, "problem", new.Problem)
	}
}

// dispatch does what is due for each host and returns when the next of them is due. Hosts that
// answered last time are asked before those that did not, so that hanging ones wait for healthy
// ones and never the other way round.
func (l *loop) dispatch(ctx context.Context, now time.Time) (wake time.Time) {
	var due []*host
	for _, h := range l.hosts {
		switch d := h.decide(now, l.o.Resync); d.act {
		case fetch:
			due = append(due, h)
		case drop:
			h.drop()
			l.dirty = true
		case wait:
			wake = earlier(wake, d.at)
		}
	}
	slices.SortFunc(due, func(a, b *host) int {
		return cmp.Or(cmp.Compare(a.failures, b.failures), cmp.Compare(a.member.Announcement.Host, b.member.Announcement.Host))
	})
	for _, h := range due[:min(len(due), fetchers-l.busy)] {
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
	h, name := r.host, r.host.member.Announcement.Host
	if l.hosts[name] != h {
		return // the registry forgot it meanwhile
	}
	now := l.o.Now()
	if r.err != nil {
		l.metrics.failures.Inc()
		if h.failures == 0 {
			l.o.Log.Warn("nerve does not answer; keeping what it told before", "host", name, "error", r.err)
		}
		h.refused(r, now)
	} else {
		if h.failures > 0 {
			l.o.Log.Info("nerve answers again", "host", name, "failures", h.failures)
		}
		h.answered(r, now)
	}
	l.dirty = true
}

func newBackoff(longest time.Duration) *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval, b.Multiplier = min(firstBackoff, longest), longest, 2
	b.Reset()
	return b
}
