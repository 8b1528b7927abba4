package nerve_test

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"glia"
	"glia/internal/figures"
	"glia/nerve"
)

// lateness is a prober that measures how much later than its interval each probe comes. One disk may never answer.
type lateness struct {
	interval time.Duration
	blocked  string
	free     chan struct{}

	mu   sync.Mutex
	last map[string]time.Time
	late []time.Duration
}

func (l *lateness) Probe(_ context.Context, d glia.Disk) []glia.Evidence {
	if d.Serial() == l.blocked {
		<-l.free
		return nil
	}
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if last, ok := l.last[d.Serial()]; ok {
		l.late = append(l.late, max(0, now.Sub(last)-l.interval))
	}
	l.last[d.Serial()] = now
	return []glia.Evidence{{Class: glia.Media, Source: "read", What: "read.errors", At: now}}
}

// hundred runs a nerve of 100 disks that are probed ten times in a second, one of which may never answer. stop ends it
// and returns the 99th percentile of the delay of those that answer.
func hundred(b *testing.B, blocked string) (stop func() time.Duration) {
	b.Helper()
	const interval, deadline = 100 * time.Millisecond, 50 * time.Millisecond
	var serials []string
	for i := range 100 {
		serials = append(serials, fmt.Sprintf("DISK%02d", i))
	}
	bench := newBench(serials...)
	l := &lateness{interval: interval, blocked: blocked, free: make(chan struct{}), last: map[string]time.Time{}, late: make([]time.Duration, 0, 1<<17)}
	o := bench.options(b.TempDir())
	o.Prober, o.Interval, o.Deadline = l, interval, deadline
	n, err := nerve.New(o)
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	return func() time.Duration {
		cancel()
		close(l.free)
		if err := <-done; err != nil {
			b.Fatal(err)
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		slices.Sort(l.late)
		return l.late[len(l.late)*99/100]
	}
}

// leastInUse is the memory in use, in KiB: the least that was seen in ten seconds, since probes that are under way have some.
func leastInUse() int {
	least := math.MaxInt
	for range 20 {
		<-time.After(500 * time.Millisecond)
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		least = min(least, int(m.HeapAlloc>>10))
	}
	return least
}

// BenchmarkNerve_OneDiskBlocked runs two nerves of 100 disks beside each other, so that what else the machine does delays
// both, and compares how late probes come: in one of them all disks answer, in the other one never does.
func BenchmarkNerve_OneDiskBlocked(b *testing.B) {
	var free, blocked time.Duration
	var grown int
	for b.Loop() {
		all, most := hundred(b, ""), hundred(b, "DISK42")
		grown = -leastInUse()
		grown += leastInUse()
		free, blocked = all(), most()
	}
	b.ReportMetric(0, "ns/op") // of no meaning
	b.ReportMetric(float64(free.Microseconds()), "µs-p99-late")
	b.ReportMetric(float64(blocked.Microseconds()), "µs-p99-late-one-blocked")
	b.ReportMetric(float64(blocked)/float64(max(free, 1)), "times-later")
	b.ReportMetric(1.1, "times-later"+figures.AtMost)
	b.ReportMetric(float64(grown), "KiB-grown")
	b.ReportMetric(64, "KiB-grown"+figures.AtMost)
}
