package nerve

import (
	"context"
	"time"

	"glia/nerve/disk/uevent"
)

// Events tells of disks that come, go or change, so that the nerve need not wait for its next scan. Run
// returns when the context ends, which is no error.
type Events interface {
	Run(ctx context.Context, tell func(uevent.Batch)) error
}

const (
	// scanEvery bounds how long a disk that was pulled or put in goes unnoticed where no event tells of it.
	// A scan reads sysfs only.
	scanEvery = 5 * time.Second

	// scanWhole bounds how long what neither an event nor a recheck tells of goes unnoticed.
	scanWhole = 2 * time.Minute

	// reseat is how long a disk may be away that the kernel has told of. The kernel says so only when it has
	// given the device up, so this is for what is detached and attached again in one go: a driver that is
	// bound anew, a loop device that gets another file.
	reseat = 500 * time.Millisecond
)

// listen scans whenever the kernel tells of a disk. Without events the scans alone notice.
func (n *Nerve) listen(ctx context.Context) {
	n.listening.Store(true)
	defer n.listening.Store(false)
	err := n.Events.Run(ctx, func(b uevent.Batch) {
		n.mu.Lock()
		now := time.Now()
		for _, name := range b.Names {
			n.told[name] = now
		}
		if b.Lost {
			n.metrics.lost.Inc()
		}
		n.mu.Unlock()
		n.Rescan()
	})
	if err != nil && ctx.Err() == nil {
		n.Log.Warn("no events from the kernel; disks that come and go are noticed by scans alone", "every", n.scanInterval(), "error", err)
	}
}

// scanInterval is the time between two scans.
func (n *Nerve) scanInterval() time.Duration { return min(scanEvery, n.Interval) }

// patience is how long a disk may go unseen before it is missing: one scan without it may have met a reset
// of its link, unless the kernel has told of the device. The caller holds the mutex.
func (n *Nerve) patience(e *entry) time.Duration {
	at, told := n.told[e.disk.Location.Device]
	if told && !at.Before(e.gone.Add(-n.scanInterval())) {
		return min(reseat, n.scanInterval())
	}
	return n.scanInterval()
}

// nextScan is the time until the next scan: an interval, or less when a disk that is not seen is missing
// before that. What was told long ago is forgotten.
func (n *Nerve) nextScan() time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	now, next := time.Now(), n.scanInterval()
	for _, e := range n.disks {
		if !e.gone.IsZero() && !e.missing {
			next = min(next, n.patience(e)-now.Sub(e.gone))
		}
	}
	for name, at := range n.told {
		if now.Sub(at) > 4*scanEvery {
			delete(n.told, name)
		}
	}
	return max(next, time.Millisecond)
}
