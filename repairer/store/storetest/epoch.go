package storetest

import (
	"errors"
	"testing"
	"time"

	"glia"
	"glia/repairer"
)

func deposedIsRefused(t *testing.T, b Backend) {
	s := b.open(t)
	c := must[repairer.Case](t)(s.Open(t.Context(), Opened("S1")))
	if err := b.Exec(b.Deposing); err != nil {
		t.Fatal(err)
	}
	for what, write := range map[string]func() error{
		"open":       func() error { _, err := s.Open(t.Context(), Opened("S2")); return err },
		"append":     func() error { _, err := s.Append(t.Context(), Ended(c.ID)); return err },
		"pause":      func() error { _, err := s.AddPause(t.Context(), repairer.Pause{Scope: "fleet"}); return err },
		"end pauses": func() error { _, err := s.EndPauses(t.Context(), "fleet", "ops", "r", At); return err },
		"set":        func() error { return s.Set(t.Context(), "k", "v", repairer.Event{}) },
		"forgive":    func() error { return s.Forgive(t.Context(), "S1", repairer.Event{}) },
		"current":    func() error { return s.Current(t.Context(), c.ID, c.Seq) },
	} {
		if err := write(); !errors.Is(err, glia.ErrStaleEpoch) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if all, err := s.Cases(t.Context(), true); err != nil || len(all) != 1 || all[0].Phase.Ended() {
		t.Errorf("the refused events were written: %+v, %v", all, err)
	}
}

// movedIsRefused makes a decision on a case that has moved on since it was read.
func movedIsRefused(t *testing.T, b Backend) {
	s := b.open(t)
	c := must[repairer.Case](t)(s.Open(t.Context(), Opened("S1")))
	must[repairer.Case](t)(s.Open(t.Context(), Opened("S2"))) // another case moves nothing
	decided := Waits(c.ID, "decided on the newest event")
	decided.After = c.Seq
	if err := s.Current(t.Context(), c.ID, c.Seq); err != nil {
		t.Errorf("the newest event: %v", err)
	}
	after, err := s.Append(t.Context(), decided, Waits(c.ID, "and more"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Append(t.Context(), decided); !errors.Is(err, repairer.ErrMoved) {
		t.Errorf("decided on event %d, when %d was the newest: %v", c.Seq, after.Seq, err)
	}
	for id, seq := range map[string]uint64{c.ID: c.Seq, "c99": 1} {
		if err := s.Current(t.Context(), id, seq); !errors.Is(err, repairer.ErrMoved) {
			t.Errorf("event %d of %s: %v", seq, id, err)
		}
	}
	if _, err := s.Append(t.Context(), Waits(c.ID, "holds whatever came before")); err != nil {
		t.Error(err)
	}
	wantWhole(t, s, 5)
}

// newIsAhead: the hands have heard the epochs of the database whose place a new one takes.
func newIsAhead(t *testing.T, b Backend) {
	s := b.open(t)
	first := s.Epoch()
	if before := uint64(time.Now().Add(-time.Minute).Unix()); first < before {
		t.Errorf("a new database begins with epoch %d; one that was made a minute ago with %d", first, before)
	}
	newest := func(want uint64) {
		t.Helper()
		if n, err := s.Newest(t.Context()); err != nil || n != want || s.Held() != nil {
			t.Errorf("the newest epoch is %d, %v; want %d; held: %v", n, err, want, s.Held())
		}
	}
	newest(first)
	if err := b.Exec(b.Deposing); err != nil {
		t.Fatal(err)
	}
	newest(first + 1)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := b.Exec(b.Ending); err != nil {
		t.Fatal(err)
	}
	if s = b.open(t); s.Epoch() != first+2 {
		t.Errorf("an old database goes on with epoch %d after %d", s.Epoch(), first+1)
	}
}
