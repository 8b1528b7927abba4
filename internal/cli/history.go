package cli

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"glia"
	"glia/nerve/history"
)

// seriesDoc is how one quantity has changed.
type seriesDoc struct {
	What   string     `json:"what"` // verdict: the number of the state
	Class  string     `json:"class,omitempty"`
	Points []pointDoc `json:"points"` // oldest first; a value holds until the next point
}

type pointDoc struct {
	At      time.Time `json:"at"`
	Value   float64   `json:"value"`
	Unknown bool      `json:"unknown,omitempty"` // not observed from then on
}

func seriesFrom(s history.Series) seriesDoc {
	d := seriesDoc{What: s.What, Class: string(s.Class)}
	for _, p := range s.Points {
		d.Points = append(d.Points, pointDoc(p))
	}
	return d
}

// writeHistory draws each quantity over time, oldest on the left.
func writeHistory(w io.Writer, series []seriesDoc, since, now time.Time) {
	var rows [][]string
	for _, s := range series {
		if len(s.Points) == 0 {
			continue
		}
		last := s.Points[len(s.Points)-1]
		value, changed := s.word(last), age(now, last.At)
		if len(s.Points) == 1 {
			changed = ""
		}
		low, high := s.span()
		rows = append(rows, []string{s.What, value, s.number(low), s.number(high), changed, s.draw(since, now)})
	}
	table(w, "HISTORY NOW LEAST MOST CHANGED LAST-"+strings.ToUpper(span(now.Sub(since))), rows)
}

func (s seriesDoc) word(p pointDoc) string {
	if p.Unknown {
		return "unknown"
	}
	return s.number(p.Value)
}

func (s seriesDoc) number(v float64) string {
	if s.What == "verdict" && s.Class == "" {
		return glia.State(v).String()
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}

// span is the least and the greatest value that was seen.
func (s seriesDoc) span() (low, high float64) {
	low, high = math.Inf(1), math.Inf(-1)
	for _, p := range s.Points {
		if !p.Unknown {
			low, high = min(low, p.Value), max(high, p.Value)
		}
	}
	return low, high
}

const (
	drawWidth = 30
	levels    = "▁▂▃▄▅▆▇█"
)

// draw shows the greatest value of each part of the time as one character: a dot is not observed.
func (s seriesDoc) draw(since, now time.Time) string {
	parts := make([]float64, drawWidth)
	for i := range parts {
		parts[i] = math.NaN()
	}
	width := now.Sub(since) / drawWidth
	for i, p := range s.Points {
		end := now
		if i+1 < len(s.Points) {
			end = s.Points[i+1].At
		}
		if p.Unknown || width <= 0 {
			continue
		}
		from, to := int(p.At.Sub(since)/width), int(end.Sub(since)/width)
		for k := max(0, from); k <= min(to, drawWidth-1); k++ {
			if !(parts[k] >= p.Value) {
				parts[k] = p.Value
			}
		}
	}
	low, high := s.span()
	runes := []rune(levels)
	var b strings.Builder
	for _, v := range parts {
		switch {
		case math.IsNaN(v):
			b.WriteRune('·')
		case high == low:
			b.WriteRune(runes[0])
		default:
			b.WriteRune(runes[int((v-low)/(high-low)*float64(len(runes)-1)+0.5)])
		}
	}
	return b.String()
}

func writeAccepted(w io.Writer, accepted []acceptedDoc) {
	for _, a := range accepted {
		facts(w, [2]string{"accepted", a.words()})
	}
}

func (a acceptedDoc) words() string {
	return fmt.Sprintf("%s up to %s until %s, by %s: %s", a.Rule, strconv.FormatFloat(a.Value, 'f', -1, 64), stamp(a.Until), a.Person, a.Reason)
}
