package latency_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"glia"
	"glia/nerve/disk/latency"
)

// load is what one disk does in each window: reads and writes, each request taking so long.
type load struct {
	reads, writes int
	took          time.Duration
	busy          float64 // 0: as the requests make it
}

// window simulates six samples of ten seconds, each time a little off.
func window(r *rand.Rand, l load) latency.Window {
	var w latency.Window
	var at latency.Counters
	for range 6 {
		next := at
		count := func(c *latency.Count, n int) {
			c.Requests += uint64(n / 6)
			c.Sectors += uint64(n / 6 * 8)
			c.Took += time.Duration(float64(n/6) * float64(l.took) * (0.8 + 0.4*r.Float64()))
		}
		count(&next.Reads, l.reads)
		count(&next.Writes, l.writes)
		next.Waited = next.Reads.Took + next.Writes.Took
		next.Busy += min(10*time.Second, next.Waited-at.Waited)
		if l.busy > 0 {
			next.Busy = at.Busy + time.Duration(l.busy*float64(10*time.Second))
			next.Waited = at.Waited + next.Busy - at.Busy
		}
		w.Add(at, next, 10*time.Second)
		at = next
	}
	return w
}

// host simulates disks of one model for so many windows; odd gives the loads of some that differ.
func host(class glia.Class, n, windows int, all load, odd func(disk, window int) *load) []latency.Trace {
	r := rand.New(rand.NewPCG(1, 2))
	out := make([]latency.Trace, n)
	for i := range out {
		out[i] = latency.Trace{Serial: fmt.Sprintf("S%02d", i), Model: "M", Class: class}
		for w := range windows {
			l := all
			if odd != nil {
				if o := odd(i, w); o != nil {
					l = *o
				}
			}
			out[i].Windows = append(out[i].Windows, window(r, l))
		}
	}
	return out
}

// first is a load of disk 0 alone.
func first(l load) func(int, int) *load {
	return func(disk, _ int) *load {
		if disk == 0 {
			return &l
		}
		return nil
	}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	busy := load{reads: 6000, writes: 3000, took: 8 * ms}
	for _, c := range []struct {
		name   string
		traces []latency.Trace
		want   string // of the first disk: slow, fine or unknown; the others are never slow
	}{
		{"nothing special", host(glia.ClassHDD, 12, 10, busy, nil), "fine"},
		{"a crawling disk", host(glia.ClassHDD, 12, 10, busy, first(load{reads: 3000, writes: 1500, took: 90 * ms})), "slow"},
		{"a crawling NVMe", host(glia.ClassNVMe, 6, 10, load{reads: 60000, took: 100 * time.Microsecond}, first(load{reads: 6000, took: 9 * ms})), "slow"},
		{"which nobody would notice", host(glia.ClassNVMe, 6, 10, load{reads: 60000, took: 100 * time.Microsecond}, first(load{reads: 60000, took: 600 * time.Microsecond})), "fine"},
		{"twice as slow is not enough", host(glia.ClassHDD, 12, 10, busy, first(load{reads: 3000, writes: 1500, took: 18 * ms})), "fine"},
		{"all are slow", host(glia.ClassHDD, 12, 10, load{reads: 600, took: 900 * ms}, nil), "fine"},
		{"half of them are", host(glia.ClassHDD, 12, 10, busy, func(disk, _ int) *load {
			if disk < 6 {
				return &load{reads: 3000, writes: 1500, took: 90 * ms}
			}
			return nil
		}), "fine"},
		{"one that does all the work", host(glia.ClassHDD, 12, 10, load{reads: 600, took: 8 * ms}, first(load{reads: 60000, took: 90 * ms})), "fine"},
		{"slow in five of ten", host(glia.ClassHDD, 12, 10, busy, func(disk, window int) *load {
			if disk == 0 && window%2 == 0 {
				return &load{reads: 3000, took: 90 * ms}
			}
			return nil
		}), "fine"},
		{"slow in seven of ten", host(glia.ClassHDD, 12, 10, busy, func(disk, window int) *load {
			if disk == 0 && window > 2 {
				return &load{reads: 3000, took: 90 * ms}
			}
			return nil
		}), "slow"},
		{"slow long ago", host(glia.ClassHDD, 12, 30, busy, func(disk, window int) *load {
			if disk == 0 && window < 20 {
				return &load{reads: 3000, took: 90 * ms}
			}
			return nil
		}), "fine"},
		{"too few windows yet", host(glia.ClassHDD, 12, 5, busy, first(load{reads: 3000, took: 90 * ms})), "unknown"},
		{"two siblings", host(glia.ClassHDD, 3, 10, busy, first(load{reads: 3000, took: 90 * ms})), "unknown"},
		{"three siblings", host(glia.ClassHDD, 4, 10, busy, first(load{reads: 3000, took: 90 * ms})), "slow"},
		{"siblings that do nothing", host(glia.ClassHDD, 12, 10, load{}, first(load{reads: 3000, took: 90 * ms})), "unknown"},
		{"it has nothing to do", host(glia.ClassHDD, 12, 10, busy, first(load{})), "unknown"},
		{"few requests, and idle", host(glia.ClassHDD, 12, 10, busy, first(load{reads: 12, took: 200 * ms})), "unknown"},
		{"few requests, and busy all the time", host(glia.ClassHDD, 12, 10, busy, first(load{reads: 12, took: 4 * time.Second, busy: 1})), "slow"},
		{"hangs", host(glia.ClassHDD, 12, 10, busy, first(load{busy: 1})), "slow"},
		{"all hang", host(glia.ClassHDD, 12, 10, load{busy: 1}, nil), "unknown"},
		{"writes to one, reads from the others", host(glia.ClassHDD, 12, 10, load{reads: 6000, took: 8 * ms}, first(load{writes: 3000, took: 90 * ms})), "unknown"},
	} {
		got := latency.Judge(c.traces, latency.Default)
		for serial, f := range got {
			switch said := say(f); {
			case serial == "S00" && said != c.want:
				t.Errorf("%s: %s, want %s: %+v", c.name, said, c.want, f)
			case serial == "S00" && f.Slow:
				t.Log(c.name, ": ", f.Words)
			case serial != "S00" && f.Slow:
				t.Errorf("%s: %s is accused: %s", c.name, serial, f.Words)
			}
		}
	}
	strangers := host(glia.ClassHDD, 12, 10, busy, first(load{reads: 3000, took: 90 * ms}))
	for i := range strangers {
		strangers[i].Model = fmt.Sprint("M", i%6)
	}
	if f := latency.Judge(strangers, latency.Default)["S00"]; !strings.Contains(f.Unknown, "1 other disks of the model M0") {
		t.Errorf("%+v", f)
	}
	strangers[0].Model = ""
	if f := latency.Judge(strangers, latency.Default)["S00"]; f.Unknown == "" {
		t.Errorf("%+v", f)
	}
}

func say(f latency.Finding) string {
	switch {
	case f.Unknown != "":
		return "unknown"
	case f.Slow:
		return "slow"
	}
	return "fine"
}

// genHost draws a host with disks of any load.
func genHost(t *rapid.T, same bool) []latency.Trace {
	n := rapid.IntRange(1, 8).Draw(t, "disks")
	windows := rapid.IntRange(0, 12).Draw(t, "windows")
	draw := rapid.Custom(func(t *rapid.T) load {
		return load{rapid.IntRange(0, 5000).Draw(t, "reads"), rapid.IntRange(0, 5000).Draw(t, "writes"),
			time.Duration(rapid.Int64Range(0, int64(time.Second)).Draw(t, "took")), rapid.SampledFrom([]float64{0, 0, 0.5, 1}).Draw(t, "busy")}
	})
	one := draw.Draw(t, "load")
	return host(rapid.SampledFrom([]glia.Class{glia.ClassHDD, glia.ClassSSD, glia.ClassNVMe, glia.ClassUnknown}).Draw(t, "class"), n, windows, one, func(int, int) *load {
		if same {
			return nil
		}
		l := draw.Draw(t, "load")
		return &l
	})
}

func TestJudge_OrderDoesNotMatter(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		traces := genHost(t, false)
		want := latency.Judge(traces, latency.Default)
		if got := latency.Judge(rapid.Permutation(traces).Draw(t, "order"), latency.Default); !reflect.DeepEqual(got, want) {
			t.Fatalf("%+v, then %+v", want, got)
		}
		if len(want) != len(traces) {
			t.Fatalf("%d findings about %d disks", len(want), len(traces))
		}
	})
}

func TestJudge_NobodyIsAccusedWhenAllAreAlike(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		for serial, f := range latency.Judge(genHost(t, true), latency.Default) {
			if f.Slow {
				t.Fatalf("%s: %s", serial, f.Words)
			}
		}
	})
}

func TestJudge_NeverTheMajority(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		traces := genHost(t, false)
		for i := range traces { // in each window as in the first
			for w := range traces[i].Windows {
				traces[i].Windows[w] = traces[i].Windows[0]
			}
		}
		accused := 0
		for _, f := range latency.Judge(traces, latency.Default) {
			if f.Slow {
				accused++
			}
		}
		// Some may be slow at reading, others at writing, others hang.
		if accused > 3*(len(traces)/4+1) {
			t.Fatalf("%d of %d are accused", accused, len(traces))
		}
	})
}

func TestWindow_CountersThatGoBackwards(t *testing.T) {
	t.Parallel()
	from := latency.Counters{Reads: latency.Count{Requests: 5, Sectors: 40, Took: time.Second}, Busy: time.Second, Waited: time.Second}
	for _, to := range []latency.Counters{{}, {Reads: from.Reads, Busy: from.Busy}, {Reads: latency.Count{Requests: 6, Sectors: 39, Took: time.Second}, Busy: time.Second, Waited: time.Second}} {
		var w latency.Window
		if w.Add(from, to, time.Second) || w != (latency.Window{}) {
			t.Errorf("%+v was added", to)
		}
	}
	var w latency.Window
	if w.Add(from, from, 0) || !w.Add(from, from, time.Second) || w.Queue() != 0 {
		t.Errorf("%+v", w)
	}
}

func TestDistribution_Quantile(t *testing.T) {
	t.Parallel()
	for _, took := range []time.Duration{0, time.Microsecond, 80 * time.Microsecond, 5 * time.Millisecond, time.Second, time.Hour} {
		var w latency.Window
		w.Add(latency.Counters{}, latency.Counters{Reads: latency.Count{Requests: 10, Took: 10 * took}}, time.Second)
		got := w.Reads.Took.Quantile(0.5)
		near := min(max(took, 10*time.Microsecond), 90*time.Second)
		if r := float64(got) / float64(near); r < 0.8 || r > 1.25 {
			t.Errorf("%s is told as %s", took, got)
		}
	}
	var none latency.Distribution
	if none.Quantile(0.5) != 0 {
		t.Error("a time without requests")
	}
}
