package storetest

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"

	"glia"
	"glia/repairer"
)

func keepsCases(t *testing.T, b Backend) {
	s := b.open(t)
	c := must[repairer.Case](t)(s.Open(t.Context(), Opened("S1")))
	c, err := s.Append(t.Context(), repairer.Event{Case: c.ID, At: At, Kind: repairer.KindConfirming, Text: "look again"})
	if err != nil || c.Phase != repairer.PhaseConfirming {
		t.Fatalf("phase %s, %v", c.Phase, err)
	}
	first := s.Epoch()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = b.open(t)
	if s.Epoch() <= first {
		t.Errorf("epoch %d after %d", s.Epoch(), first)
	}
	again, err := s.Case(t.Context(), c.ID)
	if err != nil || fmt.Sprintf("%+v", again) != fmt.Sprintf("%+v", c) {
		t.Errorf("case\n%+v, %v; it was\n%+v", again, err, c)
	}
	events, err := s.Events(t.Context(), c.ID, 0)
	if err != nil || len(events) != 2 || !events[0].At.Equal(At) || events[0].Epoch != first || events[1].Text != "look again" {
		t.Errorf("events %+v, %v", events, err)
	}
	if later, _ := s.Events(t.Context(), c.ID, events[0].Seq); len(later) != 1 {
		t.Errorf("%d events after the first", len(later))
	}
	if _, err := s.Case(t.Context(), "c99"); !errors.Is(err, glia.ErrNotFound) {
		t.Errorf("no such case: %v", err)
	}
	if _, err := s.LastCase(t.Context(), "S9"); !errors.Is(err, glia.ErrNotFound) {
		t.Errorf("no case of such a serial: %v", err)
	}
}

func oneOpenCase(t *testing.T, b Backend) {
	s := b.open(t)
	var wg sync.WaitGroup
	errs := make([]error, 20)
	for i := range errs {
		wg.Go(func() { _, errs[i] = s.Open(t.Context(), Opened("S1")) })
	}
	wg.Wait()
	n := 0
	for _, err := range errs {
		switch {
		case err == nil:
			n++
		case !errors.Is(err, repairer.ErrAlreadyOpen):
			t.Error(err)
		}
	}
	if n != 1 {
		t.Fatalf("%d cases were opened", n)
	}
	c := must[repairer.Case](t)(s.LastCase(t.Context(), "S1"))
	must[repairer.Case](t)(s.Append(t.Context(), Ended(c.ID)))
	if _, err := s.Append(t.Context(), Ended(c.ID)); err == nil {
		t.Error("an event was added to a case that has ended")
	}
	if c, err := s.Open(t.Context(), Opened("S1")); err != nil || c.ID != "c2" {
		t.Errorf("a closed case stands in the way of a new one: %v, %v", c.ID, err)
	}
	if retired, _ := s.Retired(t.Context()); !slices.Equal(retired, []string{"S1"}) {
		t.Errorf("retired %v", retired)
	}
	open, all := must[[]repairer.Case](t)(s.Cases(t.Context(), false)), must[[]repairer.Case](t)(s.Cases(t.Context(), true))
	if len(open) != 1 || len(all) != 2 || all[1].ID != "c2" {
		t.Errorf("%d open, %d in all", len(open), len(all))
	}
}

// casesSince follows the log as a memory of the cases does.
func casesSince(t *testing.T, b Backend) {
	s := b.open(t)
	since := func(seq uint64) (out string) {
		for _, c := range must[[]repairer.Case](t)(s.CasesSince(t.Context(), seq)) {
			out += fmt.Sprintf("%s at %d, ", c.ID, c.Seq)
		}
		return out
	}
	if got := since(0); got != "" {
		t.Errorf("of an empty log: %s", got)
	}
	one, two := must[repairer.Case](t)(s.Open(t.Context(), Opened("S1"))), must[repairer.Case](t)(s.Open(t.Context(), Opened("S2")))
	must[repairer.Case](t)(s.Append(t.Context(), Waits(two.ID, "x")))
	must[repairer.Case](t)(s.Append(t.Context(), Waits(one.ID, "y"), Ended(one.ID)))
	for seq, want := range map[uint64]string{0: "c1 at 5, c2 at 3, ", 3: "c1 at 5, c2 at 3, ", 4: "c1 at 5, ", 5: "c1 at 5, ", 6: ""} {
		if got := since(seq); got != want {
			t.Errorf("since %d: %q, want %q", seq, got, want)
		}
	}
	for i := range 300 { // more than are decoded at a time
		must[repairer.Case](t)(s.Open(t.Context(), Opened(fmt.Sprint("N", i))))
	}
	var each []repairer.Case
	if err := s.EachCase(t.Context(), func(c repairer.Case) { each = append(each, c) }); err != nil {
		t.Fatal(err)
	}
	if all := must[[]repairer.Case](t)(s.Cases(t.Context(), true)); len(all) != 302 || !reflect.DeepEqual(each, all) {
		t.Errorf("%d cases one by one, %d at once", len(each), len(all))
	}
	for i, c := range each {
		if c.ID != fmt.Sprint("c", i+1) {
			t.Fatalf("case %s is at place %d", c.ID, i)
		}
	}
}

func changedTells(t *testing.T, b Backend) {
	s := b.open(t)
	changed := s.Changed()
	select {
	case <-changed:
		t.Fatal("nothing was written")
	default:
	}
	must[repairer.Case](t)(s.Open(t.Context(), Opened("S1")))
	<-changed
}
