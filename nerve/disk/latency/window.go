// Package latency finds the disk that is slow among its siblings. It is pure: it reads no clock and no
// file, so the same counters always give the same answer, in whatever order the disks are given.
//
// It guarantees that nobody is accused when all are slow: a disk is compared with disks of the same model
// and class of the same host in the same minutes, by medians, and only while it does not do more work than
// they do, and no more than a quarter of them is as slow as it. It says unknown where there are too few siblings, too few requests or too few windows. A whole
// model that is slow, or a disk without siblings, is not found.
package latency

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// Counters are what the kernel has counted for a disk since it came (Documentation/admin-guide/iostats.rst).
type Counters struct {
	Reads, Writes Count
	Busy          time.Duration // with a request under way
	Waited        time.Duration // sum over all requests of the time that each was under way
}

// Count is of completed requests of one kind.
type Count struct {
	Requests uint64
	Sectors  uint64        // of 512 bytes
	Took     time.Duration // sum over all requests, queue included
}

// Window is what a disk did in one stretch of time.
type Window struct {
	Length        time.Duration
	Reads, Writes Work
	Busy          time.Duration
	Waited        time.Duration
}

// Work is what was done of one kind.
type Work struct {
	Requests uint64
	Sectors  uint64
	Took     Distribution
}

// Queue is the mean number of requests under way.
func (w Window) Queue() float64 { return ratio(w.Waited, w.Length) }

// Add puts one sample into the window: what grew between two readings of the counters. It is false, and adds
// nothing, when a counter went backwards.
func (w *Window) Add(from, to Counters, took time.Duration) bool {
	if took <= 0 || to.Busy < from.Busy || to.Waited < from.Waited || !grew(from.Reads, to.Reads) || !grew(from.Writes, to.Writes) {
		return false
	}
	w.Length += took
	w.Busy += to.Busy - from.Busy
	w.Waited += to.Waited - from.Waited
	w.Reads.add(from.Reads, to.Reads)
	w.Writes.add(from.Writes, to.Writes)
	return true
}

func grew(from, to Count) bool {
	return to.Requests >= from.Requests && to.Sectors >= from.Sectors && to.Took >= from.Took
}

func (w *Work) add(from, to Count) {
	n := to.Requests - from.Requests
	if n == 0 {
		return
	}
	w.Requests += n
	w.Sectors += to.Sectors - from.Sectors
	w.Took.add((to.Took-from.Took)/time.Duration(min(n, math.MaxInt32)), n)
}

// Distribution counts requests by how long they took. The kernel gives sums only, so each request counts with
// the mean of its sample. Its size is fixed; a step is a fifth.
type Distribution [steps]uint32

const (
	shortest = 10 * time.Microsecond // what is shorter counts as that
	steps    = 88                    // 10 µs * 1.2^88 is 90 s; what is longer counts as that
	step     = 1.2
)

func (d *Distribution) add(took time.Duration, n uint64) {
	i := 0
	if took > shortest {
		i = min(steps-1, int(math.Log(float64(took)/float64(shortest))/math.Log(step)))
	}
	d[i] = uint32(min(uint64(d[i])+n, math.MaxUint32))
}

// Quantile is the time that a share q of the requests took at most, to within a step; 0 without requests.
func (d *Distribution) Quantile(q float64) time.Duration {
	var all uint64
	for _, n := range d {
		all += uint64(n)
	}
	want := uint64(math.Ceil(q * float64(all)))
	var seen uint64
	for i, n := range d {
		if seen += uint64(n); n > 0 && seen >= want {
			return time.Duration(float64(shortest) * math.Pow(step, float64(i)+0.5))
		}
	}
	return 0
}

func ratio(a, b time.Duration) float64 {
	if b <= 0 {
		return 0
	}
	return float64(a) / float64(b)
}

// median and spread of values: the spread is the median of the distances from the median, scaled to what the
// standard deviation of a normal distribution would be (1.4826).
func median[T cmp.Ordered](values []T) T {
	var zero T
	if len(values) == 0 {
		return zero
	}
	s := slices.Sorted(slices.Values(values))
	return s[(len(s)-1)/2]
}

func spread(values []float64, middle float64) float64 {
	far := make([]float64, len(values))
	for i, v := range values {
		far[i] = math.Abs(v - middle)
	}
	return 1.4826 * median(far)
}
