package check_test

import (
	"testing"

	"glia/nerve/check"
)

// TestHistory_CountsAsNerve has probes (1 passes) with the states after each, as nerve 0.9.7 itself told them.
func TestHistory_CountsAsNerve(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rise, fall   int
		probes, want string
	}{
		{3, 2, "1100111", "UUUDDDU"},
		{3, 2, "01110100", "DDDUUUUD"},
		{2, 3, "01011000", "DDDDUUUD"},
		{5, 1, "1011111", "UDDDDDU"},
		{1, 3, "001000", "DDUUUD"},
		{1, 1, "010", "DUD"},
		{0, 0, "01", "DU"},
	} {
		h := check.NewHistory(c.rise, c.fall)
		got := ""
		for _, p := range c.probes {
			if h.Note(p == '1') {
				got += "U"
			} else {
				got += "D"
			}
		}
		if got != c.want {
			t.Errorf("rise %d, fall %d: %s gives %s, want %s", c.rise, c.fall, c.probes, got, c.want)
		}
	}
}
