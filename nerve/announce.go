package nerve

import (
	"context"
	"time"

	"glia"
)

// resync bounds how long the registry can differ from the truth when somebody else has changed it.
const resync = 30 * time.Second

// firstRound waits until every disk was looked at once, so that a restart is not announced as a host
// full of unknown disks. A disk that hangs is not waited for longer than its deadline.
func (n *Nerve) firstRound(ctx context.Context) {
	limit := time.After(n.Deadline + time.Second)
	t := time.NewTicker(50 * time.Millisecond)
	defer t.Stop()
	for {
		n.mu.Lock()
		waiting := false
		for _, e := range n.disks {
			waiting = waiting || (e.worker != nil && e.verdict.ObservedAt.IsZero() && len(e.evidence) == 0)
		}
		n.mu.Unlock()
		if !waiting {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-limit:
			return
		case <-t.C:
		}
	}
}

// announceLoop keeps the registry at what the verdicts say.
func (n *Nerve) announceLoop(ctx context.Context) {
	t := time.NewTicker(min(resync, n.Interval))
	defer t.Stop()
	failed := false
	for {
		err := n.announce(ctx)
		if err != nil && !failed && ctx.Err() == nil {
			n.Log.Error("announcement did not get out", "error", err)
		}
		failed = err != nil
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		case <-n.changed:
		}
	}
}

func (n *Nerve) announce(ctx context.Context) error {
	disks, found := n.view()
	n.note(found)
	a := glia.NewAnnouncement(n.Host, n.API, disks)
	a.Finding = headline(found)
	if n.Cert != nil {
		a.Fingerprint = n.Cert()
	}
	n.mu.Lock()
	if !a.SameDigest(n.announced) {
		n.generation++
		n.dirty = true
		n.Log.Info("announced", "disks", a.Worst, "disk_count", a.DiskCount, "bad", a.Bad, "finding", a.Finding, "generation", n.generation)
	}
	a.Generation = n.generation
	n.announced = a
	n.mu.Unlock()
	return n.Announcer.Announce(ctx, a)
}
