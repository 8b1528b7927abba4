package probe

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/procfs/blockdevice"

	"glia"
	"glia/nerve/disk/latency"
)

// Latency tells whether a disk is slow among its siblings, by what the kernel counts of all requests to it:
//
//	latency.slow  1 when it is much slower than the disks of its model and class on this host, else 0
//
// It touches no disk. Package latency says what slow means. The counters are read at each look, and judged once a
// window; what it keeps of a disk has a fixed size, about 8 kB.
type Latency struct {
	Policy latency.Policy // zero: latency.Default
	Window time.Duration  // time of one window; zero: a minute

	// Stats reads the counters of all block devices; nil: /proc/diskstats.
	Stats func() ([]blockdevice.Diskstats, error)
	Now   func() time.Time // time.Now if nil

	mu       sync.Mutex
	err      error // of the newest reading
	began    time.Time
	disks    map[string]*track // by serial
	findings map[string]latency.Finding
}

// track is what is kept of one disk.
type track struct {
	disk    glia.Disk
	at      time.Time // of the newest reading
	last    latency.Counters
	now     latency.Window
	windows []latency.Window
}

// samples is how many readings of the counters one window is made of, at most.
const samples = 15

// Name is "latency".
func (l *Latency) Name() string { return "latency" }

// Begin does nothing: the counters are read by Look.
func (l *Latency) Begin() {}

// Look reads the counters of the disks.
func (l *Latency) Look(disks []glia.Disk, _ bool) {
	now := time.Now
	if l.Now != nil {
		now = l.Now
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	at := now()
	if l.disks == nil {
		l.disks, l.began = map[string]*track{}, at
	} else if at.Sub(l.newest()) < l.window()/samples && at.After(l.newest()) {
		return
	}
	stats := l.Stats
	if stats == nil {
		stats = diskstats
	}
	all, err := stats()
	if l.err = err; err != nil {
		return
	}
	counters := map[string]latency.Counters{}
	for _, s := range all {
		counters[s.DeviceName] = countersOf(s)
	}
	here := map[string]bool{}
	for _, d := range disks {
		c, ok := counters[d.Location.Device]
		if !ok {
			continue
		}
		here[d.Serial()] = true
		l.sample(d, c, at)
	}
	for serial := range l.disks {
		if !here[serial] {
			delete(l.disks, serial)
		}
	}
	if at.Sub(l.began) >= l.window() || at.Before(l.began) {
		l.began = at
		l.judge()
	}
}

func (l *Latency) newest() time.Time {
	var t time.Time
	for _, d := range l.disks {
		if d.at.After(t) {
			t = d.at
		}
	}
	return t
}

// sample adds one reading. The first of a disk, or of a kernel name that it has got, only begins.
func (l *Latency) sample(d glia.Disk, c latency.Counters, at time.Time) {
	t := l.disks[d.Serial()]
	if t == nil {
		t = &track{}
		l.disks[d.Serial()] = t
	} else if t.disk.Location.Device == d.Location.Device && t.disk.Location.DiskSeq == d.Location.DiskSeq {
		t.now.Add(t.last, c, at.Sub(t.at))
	}
	t.disk, t.last, t.at = d, c, at
}

// judge closes the window and compares.
func (l *Latency) judge() {
	p := l.policy()
	traces := make([]latency.Trace, 0, len(l.disks))
	for serial, t := range l.disks {
		if len(t.windows) == p.Windows {
			copy(t.windows, t.windows[1:])
			t.windows = t.windows[:p.Windows-1]
		}
		t.windows, t.now = append(t.windows, t.now), latency.Window{}
		traces = append(traces, latency.Trace{Serial: serial, Model: t.disk.Identity.Model, Class: t.disk.Identity.Class, Windows: t.windows})
	}
	l.findings = latency.Judge(traces, p)
}

func (l *Latency) policy() latency.Policy {
	if l.Policy == (latency.Policy{}) {
		return latency.Default
	}
	return l.Policy
}

func (l *Latency) window() time.Duration {
	if l.Window == 0 {
		return time.Minute
	}
	return l.Window
}

// Probe tells what was found at the end of the newest window.
func (l *Latency) Probe(_ context.Context, d glia.Disk) []glia.Evidence {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := glia.Evidence{Class: glia.Latency, Source: l.Name(), What: "latency.slow"}
	f, ok := l.findings[d.Serial()]
	switch {
	case l.err != nil:
		e.Unknown = fmt.Sprintf("read the kernel's counters: %v", l.err)
	case !ok:
		e.Unknown = fmt.Sprintf("not yet watched for %s", l.window())
	case f.Unknown != "":
		e.Unknown = f.Unknown
	case f.Slow:
		e.Value, e.Detail = 1, f.Words
	}
	return []glia.Evidence{e}
}

func diskstats() ([]blockdevice.Diskstats, error) {
	fs, err := blockdevice.NewDefaultFS()
	if err != nil {
		return nil, err
	}
	return fs.ProcDiskstats()
}

func countersOf(s blockdevice.Diskstats) latency.Counters {
	ms := func(n uint64) time.Duration { return time.Duration(n) * time.Millisecond }
	return latency.Counters{
		Reads:  latency.Count{Requests: s.ReadIOs, Sectors: s.ReadSectors, Took: ms(s.ReadTicks)},
		Writes: latency.Count{Requests: s.WriteIOs, Sectors: s.WriteSectors, Took: ms(s.WriteTicks)},
		Busy:   ms(s.IOsTotalTicks), Waited: ms(s.WeightedIOTicks),
	}
}
