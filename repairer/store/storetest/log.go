package storetest

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"glia/repairer"
	"glia/repairer/notify"
)

func appendOnly(t *testing.T, b Backend) {
	s := b.open(t)
	must[repairer.Case](t)(s.Open(t.Context(), Opened("S1")))
	for _, q := range []string{`DELETE FROM events`, `UPDATE events SET text = 'nothing happened'`} {
		if err := b.Exec(q); err == nil || !strings.Contains(err.Error(), "the log is append-only") {
			t.Errorf("%s: %v", q, err)
		}
	}
}

func allOrNothing(t *testing.T, b Backend) {
	s := b.open(t)
	c := must[repairer.Case](t)(s.Open(t.Context(), Opened("S1")))
	if _, err := s.Append(t.Context(), Waits(c.ID, "fits"), Waits("c99", "does not")); err == nil {
		t.Fatal("events of two cases were appended to one")
	}
	if events := must[[]repairer.Event](t)(s.Events(t.Context(), c.ID, 0)); len(events) != 1 {
		t.Errorf("%d events", len(events))
	}
	wantWhole(t, s, 1)
}

func anyText(t *testing.T, b Backend) {
	s := b.open(t)
	c := must[repairer.Case](t)(s.Open(t.Context(), Opened("S1\x00")))
	if last, err := s.LastCase(t.Context(), "S1\x00"); err != nil || last.ID != c.ID {
		t.Errorf("by a serial with a NUL: %s, %v", last.ID, err)
	}
	e := Waits(c.ID, "bad \x00\xff\xfe <&> \u2028 \"quoted\"")
	e.Data.Output, e.At = "binary \x00\xff", At.In(time.FixedZone("x", 3600))
	c = must[repairer.Case](t)(s.Append(t.Context(), e))
	if c.Steps["drain"].Error != "bad \uFFFD\uFFFD <&> \u2028 \"quoted\"" {
		t.Errorf("text %q", c.Steps["drain"].Error)
	}
	wantWhole(t, s, 2)
}

func noGaps(t *testing.T, b Backend) {
	s := b.open(t)
	c := must[repairer.Case](t)(s.Open(t.Context(), Opened("S1")))
	var wg sync.WaitGroup
	for i := range 10 {
		wg.Go(func() {
			if _, err := s.Append(t.Context(), Waits(c.ID, fmt.Sprint("a", i)), Waits(c.ID, fmt.Sprint("b", i))); err != nil {
				t.Error(err)
			}
			if _, err := s.Append(t.Context(), Waits(c.ID, "no"), Waits("c99", "no")); err == nil {
				t.Error("accepted")
			}
		})
	}
	wg.Wait()
	for i, e := range must[[]repairer.Event](t)(s.Events(t.Context(), c.ID, 0)) {
		if e.Seq != uint64(i+1) {
			t.Errorf("event %d has the number %d", i+1, e.Seq)
		}
	}
	wantWhole(t, s, 21)
}

// wholeLog checks what notices are made of: all events in their order, and how far a sink has come.
func wholeLog(t *testing.T, b Backend) {
	s := b.open(t)
	if end := must[uint64](t)(s.End(t.Context())); end != 0 {
		t.Errorf("an empty log ends at %d", end)
	}
	c := must[repairer.Case](t)(s.Open(t.Context(), Opened("S1")))
	must[repairer.Pause](t)(s.AddPause(t.Context(), repairer.Pause{Scope: "fleet", Owner: "bob", Reason: "r", Since: At}))
	must[repairer.Case](t)(s.Append(t.Context(), Waits(c.ID, "for data")))
	var got []string
	for after := uint64(0); ; {
		page := must[[]repairer.Event](t)(s.Log(t.Context(), after))
		if len(page) == 0 {
			break
		}
		for _, e := range page {
			got, after = append(got, fmt.Sprintf("%d %s %s", e.Seq, e.Case, e.Kind)), e.Seq
		}
	}
	if want := fmt.Sprintf("1 %s opened,2  paused,3 %s waits", c.ID, c.ID); strings.Join(got, ",") != want {
		t.Errorf("the log is %q, want %q", got, want)
	}
	if end := must[uint64](t)(s.End(t.Context())); end != 3 {
		t.Errorf("the log ends at %d", end)
	}
	table := notify.Table{DB: s.DB()}
	if _, known, err := table.Position(t.Context(), "team"); known || err != nil {
		t.Errorf("a new sink is known: %v", err)
	}
	for _, cursor := range []uint64{2, 3} {
		if err := table.Keep(t.Context(), "team", notify.Position{Cursor: cursor, Told: []uint64{5}, Threads: notify.Threads{c.ID: "1.2"}}); err != nil {
			t.Fatal(err)
		}
		if p, known, err := table.Position(t.Context(), "team"); !known || err != nil || p.Cursor != cursor || len(p.Told) != 1 || p.Threads[c.ID] != "1.2" {
			t.Errorf("kept %+v, %v", p, err)
		}
	}
}
