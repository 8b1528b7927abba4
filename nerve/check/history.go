package check

// History turns probes into up and down, as nerve 0.9.7 does: the first probe decides by itself and counts as if it had always been so;
// after it so many bad ones in a row make it down, and so many good ones in a row make it up. It is not safe for concurrent use.
type History struct {
	rise, fall int
	last       []bool // newest last; empty before the first probe
	up         bool
}

// NewHistory is that of a check that nothing is known of. Rise and fall are at least 1; less is taken as 1.
func NewHistory(rise, fall int) *History { return &History{rise: max(rise, 1), fall: max(fall, 1)} }

// Note takes one probe, and says whether the check is up now.
func (h *History) Note(good bool) bool {
	size := max(h.rise, h.fall)
	if len(h.last) == 0 {
		h.up = good
		for range size {
			h.last = append(h.last, good)
		}
		return h.up
	}
	h.last = append(h.last[1:], good)
	if h.lastAre(false, h.fall) {
		h.up = false
	}
	if h.lastAre(true, h.rise) {
		h.up = true
	}
	return h.up
}

func (h *History) lastAre(good bool, n int) bool {
	for _, g := range h.last[len(h.last)-n:] {
		if g != good {
			return false
		}
	}
	return true
}
