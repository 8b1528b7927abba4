package history_test

import (
	"testing"
	"time"

	"glia"
	"glia/nerve/history"
	"glia/nerve/judge"
)

func TestRounds_LetRulesDecideAfterEachChange(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	series := []history.Series{
		{What: "ata.pending", Class: glia.Media, Points: []history.Point{{At: start, Value: 0}, {At: start.Add(48 * time.Hour), Value: 3}, {At: start.Add(15 * 24 * time.Hour), Unknown: true}}},
		{What: "fs.errors[/a]", Class: glia.Filesystem, Points: []history.Point{{At: start, Value: 1}, {At: start.Add(49 * time.Hour), Unknown: true}}},
	}
	rounds := history.Rounds(series, 4, start.Add(20*24*time.Hour))
	verdicts := judge.Replay(judge.Default(), rounds)
	var turns []string
	last := glia.StateUnknown
	for i, v := range verdicts {
		if v.State != last {
			turns = append(turns, rounds[i].At.Format("2 15:04 ")+v.State.String())
			last = v.State
		}
	}
	want := "1 00:00 healthy, 3 00:02 suspect, 10 02:04 healthy, 16 03:04 unknown"
	if got := join(turns); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	if n := len(rounds); n > 600 {
		t.Errorf("%d rounds for twenty days", n)
	}
}

func join(s []string) (out string) {
	for i, x := range s {
		if i > 0 {
			out += ", "
		}
		out += x
	}
	return out
}
