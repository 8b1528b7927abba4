package nerve

import (
	"context"
	"maps"
	"slices"
	"time"

	"glia"
	"glia/nerve/judge"
)

// Pressure tells which share of the last minute all work of the host stood still for memory and for I/O, in
// percent. An error means that the kernel does not tell.
type Pressure func() (memory, io float64, err error)

// view is all disks, by serial, and what is put down to the host instead of to them.
func (n *Nerve) view() ([]glia.DiskStatus, []judge.Finding) {
	now := time.Now()
	n.mu.Lock()
	defer n.mu.Unlock()
	found := n.correlate(now)
	d := doubts(found)
	disks := make([]glia.DiskStatus, 0, len(n.disks))
	for _, serial := range slices.Sorted(maps.Keys(n.disks)) {
		disks = append(disks, n.disks[serial].status(now, d))
	}
	return disks, found
}

// correlate compares the disks with each other. The caller holds the mutex.
func (n *Nerve) correlate(now time.Time) []judge.Finding {
	members := make([]judge.Member, 0, len(n.disks))
	for _, e := range n.disks {
		m := judge.Member{Disk: e.disk}
		switch {
		case !e.gone.IsZero():
			m.Since, m.Gone, m.Decided = e.gone, true, e.missing
		case !e.verdict.ObservedAt.IsZero():
			m.Since, m.Decided = e.state.Against(n.Rules.For(e.disk.Identity), now, n.Expiry)
		}
		members = append(members, m)
	}
	found := n.Together.Find(members)
	if n.starved != nil {
		found = append(found, *n.starved)
	}
	return found
}

// doubts is the finding that each disk is part of.
func doubts(found []judge.Finding) map[string]judge.Finding {
	out := map[string]judge.Finding{}
	for _, f := range slices.Backward(found) { // the first, which is the narrowest, counts
		for _, serial := range f.Serials {
			out[serial] = f
		}
	}
	return out
}

// headline is what is announced of the findings: one line, which stays the same while they do.
func headline(found []judge.Finding) string {
	var text string
	for i, f := range found {
		if i > 0 {
			text += "; "
		}
		text += f.Words
	}
	return text
}

const (
	tick       = time.Second      // of the timer that the nerve watches itself with
	remembered = 2 * time.Minute  // how long a late timer counts
	askEvery   = 10 * time.Second // how often the kernel is asked for the pressure
)

// watchItself notices when the nerve does not get what it needs, by timers that are late and by the kernel's
// pressure figures. A machine that was suspended is not late: its monotonic clock stood still as well.
func (n *Nerve) watchItself(ctx context.Context) {
	var p judge.Prober
	var latest, asked time.Time
	t := time.NewTimer(tick)
	defer t.Stop()
	for {
		due := time.Now().Add(tick)
		t.Reset(tick)
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		now := time.Now()
		if late := now.Sub(due); late >= p.Late || now.Sub(latest) > remembered {
			p.Late, latest = max(late, 0), now
		}
		if n.Pressure != nil && now.Sub(asked) >= askEvery {
			asked = now
			memory, io, err := n.Pressure()
			if err != nil {
				memory, io = 0, 0
			}
			p.Memory, p.IO = memory, io
		}
		n.doubtItself(p, now)
	}
}

// doubtItself notes whether the nerve is starved. A change is one line of the log, and is announced.
func (n *Nerve) doubtItself(p judge.Prober, now time.Time) {
	f, starved := n.Starved.Find(p, now)
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case starved && n.starved == nil:
		n.starved = &f
		n.Log.Warn("prober is starved; nothing it sees is believed", "why", f.Words)
	case !starved && n.starved != nil:
		n.Log.Info("prober is not starved any more", "since", n.starved.Since)
		n.starved = nil
	default:
		return
	}
	poke(n.changed)
}

// note remembers what is found and logs what has changed.
func (n *Nerve) note(found []judge.Finding) {
	n.mu.Lock()
	was := n.findings
	n.findings = found
	n.mu.Unlock()
	same := func(a judge.Finding) func(judge.Finding) bool {
		return func(b judge.Finding) bool { return a.Kind == b.Kind && a.Scope == b.Scope }
	}
	for _, f := range found {
		if f.Kind == judge.FindingTogether && !slices.ContainsFunc(was, same(f)) {
			n.Log.Error("disks fail together", "what", f.Words, "serials", f.Serials, "advice", f.Advice)
		}
	}
	for _, f := range was {
		if f.Kind == judge.FindingTogether && !slices.ContainsFunc(found, same(f)) {
			n.Log.Info("disks do not fail together any more", "what", f.Words)
		}
	}
}
