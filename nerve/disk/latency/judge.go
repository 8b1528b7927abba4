package latency

import (
	"fmt"
	"math"
	"time"

	"glia"
)

// Policy says how much slower than its siblings a disk must be, and for how long.
type Policy struct {
	Windows  int    // that are looked at
	Slow     int    // of them that make a disk slow; as many must have been judged to say that it is not
	Siblings int    // that must have worked in the same window
	Requests uint64 // of one kind in a window, for its times to count

	Times    float64 // slower than the median of the siblings
	Spreads  float64 // away from that median, in spreads of the siblings
	MoreWork float64 // a disk that does so many times what its siblings do may be slower than they are

	// By how much it must be slower at least: what nobody notices is no fault.
	HDD, SSD time.Duration
}

// Default asks for a disk that is three times slower than its siblings in six of ten minutes. That is far
// from what placement of data does: the halves of a rotating disk differ by less than a factor of two, and
// a slow disk of the kind meant here by ten and more.
var Default = Policy{
	Windows: 10, Slow: 6, Siblings: 3, Requests: 20,
	Times: 3, Spreads: 6, MoreWork: 2,
	HDD: 20 * time.Millisecond, SSD: 2 * time.Millisecond,
}

// always is the share of a window with a request under way from which on few requests are the disk's own doing.
const always = 0.9

// Trace is what one disk did, oldest window first. Windows of the same place from the end are of the same time.
type Trace struct {
	Serial  string
	Model   string
	Class   glia.Class
	Windows []Window
}

// Finding is what is said about a disk.
type Finding struct {
	Slow    bool
	Words   string // for people, when Slow
	Unknown string // why nothing can be said; Slow is meaningless then
}

// Judge compares each disk with its siblings. The order of the traces does not matter.
func Judge(traces []Trace, p Policy) map[string]Finding {
	families := map[[2]string][]Trace{}
	for _, t := range traces {
		key := [2]string{t.Model, string(t.Class)}
		families[key] = append(families[key], t)
	}
	out := map[string]Finding{}
	for _, family := range families {
		for i, t := range family {
			out[t.Serial] = judge(t, append(append([]Trace(nil), family[:i]...), family[i+1:]...), p)
		}
	}
	return out
}

// opinion is what one window says: 1 slow, 0 not slow, -1 nothing.
type opinion int

const (
	nothing opinion = iota - 1
	fine
	slow
)

func judge(t Trace, siblings []Trace, p Policy) Finding {
	if t.Model == "" || t.Class == glia.ClassUnknown {
		return Finding{Unknown: "its model or class is not known, so it can not be compared"}
	}
	if len(siblings) < p.Siblings {
		return Finding{Unknown: fmt.Sprintf("%d other disks of the model %s are on this host; %d are needed to compare", len(siblings), t.Model, p.Siblings)}
	}
	judged, bad := 0, 0
	var words string
	for back := 1; back <= min(p.Windows, len(t.Windows)); back++ {
		var others []Window
		for _, s := range siblings {
			if back <= len(s.Windows) {
				others = append(others, s.Windows[len(s.Windows)-back])
			}
		}
		said, why := compare(t.Windows[len(t.Windows)-back], others, t.Class, p)
		if said != nothing {
			judged++
		}
		if said == slow {
			if bad++; words == "" { // of the newest
				words = why
			}
		}
	}
	switch {
	case bad >= p.Slow:
		return Finding{Slow: true, Words: fmt.Sprintf("%s; so in %d of the last %d windows", words, bad, judged)}
	case judged < p.Slow:
		return Finding{Unknown: fmt.Sprintf("it could be compared with its siblings in %d of the last %d windows; %d are needed", judged, p.Windows, p.Slow)}
	}
	return Finding{}
}

// compare judges one window.
func compare(w Window, siblings []Window, class glia.Class, p Policy) (opinion, string) {
	said, words := stuck(w, siblings, p)
	for _, kind := range []struct {
		name string
		of   func(Window) Work
	}{
		{"reads", func(w Window) Work { return w.Reads }},
		{"writes", func(w Window) Work { return w.Writes }},
	} {
		o, why := compareWork(kind.name, w, siblings, kind.of, class, p)
		if o > said {
			said, words = o, why
		}
	}
	return said, words
}

// counts says whether enough was done for the times to mean something.
func (p Policy) counts(w Window, of Work) bool {
	return of.Requests >= p.Requests || of.Requests > 0 && ratio(w.Busy, w.Length) >= always
}

func compareWork(name string, w Window, siblings []Window, of func(Window) Work, class glia.Class, p Policy) (opinion, string) {
	own := of(w)
	if !p.counts(w, own) {
		return nothing, ""
	}
	var times, requests, sectors, queues []float64
	for _, s := range siblings {
		if work := of(s); p.counts(s, work) {
			times = append(times, float64(work.Took.Quantile(0.5)))
			requests = append(requests, ratio(time.Duration(work.Requests), s.Length))
			sectors = append(sectors, ratio(time.Duration(work.Sectors), s.Length))
			queues = append(queues, s.Queue())
		}
	}
	if len(times) < p.Siblings {
		return nothing, ""
	}
	took, middle := float64(own.Took.Quantile(0.5)), median(times)
	least := p.SSD
	if class == glia.ClassHDD {
		least = p.HDD
	}
	switch {
	case took < p.Times*middle, took-middle < p.Spreads*spread(times, middle), took-middle < float64(least):
		return fine, ""
	case ratio(time.Duration(own.Requests), w.Length) > p.MoreWork*median(requests), ratio(time.Duration(own.Sectors), w.Length) > p.MoreWork*median(sectors):
		return fine, "" // it has more to do
	}
	others := 0
	for _, t := range times {
		if t >= p.Times*middle {
			others++
		}
	}
	if others > len(times)/4 {
		return fine, "" // what they share is slow: expander, controller, link
	}
	return slow, fmt.Sprintf("its %s take %s (nine in ten at most %s) with %.1f requests under way, those of its %d siblings %s with %.1f", name,
		short(time.Duration(took)), short(own.Took.Quantile(0.9)), w.Queue(), len(times), short(time.Duration(middle)), median(queues))
}

// stuck finds the disk that is busy all the time and completes next to nothing, while its siblings work.
func stuck(w Window, siblings []Window, p Policy) (opinion, string) {
	if w.Reads.Requests+w.Writes.Requests > 0 || ratio(w.Busy, w.Length) < always {
		return nothing, ""
	}
	working := 0
	for _, s := range siblings {
		if s.Reads.Requests+s.Writes.Requests >= p.Requests {
			working++
		}
	}
	if working < p.Siblings {
		return nothing, ""
	}
	return slow, fmt.Sprintf("it has completed nothing in %s with %.1f requests under way, while %d siblings worked", short(w.Length), w.Queue(), working)
}

// short writes a time with two or three figures.
func short(d time.Duration) string {
	unit := time.Duration(math.Pow(10, math.Floor(math.Log10(math.Max(1, float64(d))))-1))
	return d.Round(max(1, unit)).String()
}
