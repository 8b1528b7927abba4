// Package probe observes disks. Each Source looks at one kind of evidence: raw reads, mounted
// filesystems, a small test file, the kernel's counters, SMART.
//
// Devices are opened for reading only. The one thing that is ever written is the opt-in test file of
// Write, on a filesystem that is mounted for writing. Evidence counts against a disk only when the
// kernel or the disk itself reported a fault; whatever kept a source from looking (permission, a
// vanished device, a full filesystem, a deadline) is evidence with Unknown set.
//
// A source may block for as long as the kernel does: a system call on a hung disk cannot be taken
// back. Callers give each disk its own worker.
package probe

import (
	"context"
	"errors"
	"fmt"
	"time"

	"glia"
)

// Source observes one kind of evidence of one disk. Sources are safe for concurrent use by workers of
// different disks. A source that does not apply to the disk returns nothing; one that applies and could
// not look returns evidence with Unknown set. Context ends it between two system calls, not within one.
type Source interface {
	Name() string
	Probe(ctx context.Context, d glia.Disk) []glia.Evidence
}

// Prober runs several sources one after another and dates what they saw.
type Prober struct {
	Sources []Source
	Roots   Roots
	Now     func() time.Time // time.Now if nil
}

// New makes a prober of the sources, in the order in which they shall run: cheap ones first, because a
// source that hangs keeps those behind it from looking.
func New(sources ...Source) *Prober { return &Prober{Sources: sources} }

// Probe returns the evidence of all sources. Those whose turn did not come before ctx ended are
// represented by one piece of unknown evidence each. If the disk's kernel name was another device's before the end,
// all evidence is unknown, because sources go by the name.
func (p *Prober) Probe(ctx context.Context, d glia.Disk) []glia.Evidence {
	now := p.Now
	if now == nil {
		now = time.Now
	}
	var all []glia.Evidence
	for _, s := range p.Sources {
		var seen []glia.Evidence
		if err := ctx.Err(); err != nil {
			seen = []glia.Evidence{{Source: s.Name(), What: s.Name(), Unknown: "not begun: " + whyEnded(ctx)}}
		} else {
			seen = s.Probe(ctx, d)
		}
		at := now()
		for i := range seen {
			if seen[i].At.IsZero() {
				seen[i].At = at
			}
		}
		all = append(all, seen...)
	}
	if why := p.Roots.other(d); why != "" {
		for i := range all {
			all[i].Value, all[i].Detail, all[i].Unknown = 0, "", why
		}
	}
	return all
}

// whyEnded says in words why ctx has ended.
func whyEnded(ctx context.Context) string {
	if errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		return "timed out"
	}
	return fmt.Sprintf("stopped (%v)", context.Cause(ctx))
}
