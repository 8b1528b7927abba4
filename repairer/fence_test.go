package repairer_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"glia"
	gliav1 "glia/api/glia/v1"
	"glia/repairer"
)

// untilStale ticks until the engine ends for a newer epoch.
func (w *world) untilStale() bool {
	for range 10 {
		w.now = w.now.Add(time.Second)
		if err := w.engine.TickOnce(w.t.Context()); errors.Is(err, glia.ErrStaleEpoch) {
			return true
		}
	}
	return false
}

func TestEngine_DeposedRepairerStops(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.fail("node-1", "2")
	w.phase("N1S2", repairer.PhaseWaiting)
	if _, err := w.store.DB().ExecContext(t.Context(), `UPDATE epoch SET epoch = epoch + 1`); err != nil {
		t.Fatal(err)
	}
	if err := w.fleet.Fence(t.Context(), "node-1", w.store.Epoch()+1); err != nil {
		t.Fatal(err)
	}
	if !w.untilStale() {
		t.Fatal("the engine went on although its epoch is old")
	}
}

// A hand that obeys another database is no sign that this repairer was deposed. It must not take a
// higher epoch by itself, and says what a person has to mend.
func TestEngine_HandOfAnotherDatabase(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.fail("node-1", "2")
	w.phase("N1S2", repairer.PhaseWaiting)
	if err := w.fleet.Fence(t.Context(), "node-1", w.store.Epoch()+1); err != nil {
		t.Fatal(err)
	}
	c := w.phase("N1S2", repairer.PhaseParked)
	if !strings.Contains(c.Parked, "the hand of node-1 obeys a newer epoch") || slices.ContainsFunc(w.fleet.Acts(), func(a string) bool { return strings.Contains(a, "N1S2") }) {
		t.Errorf("parked: %s; acts %v", c.Parked, w.fleet.Acts())
	}
	w.open()
	if err := w.fleet.Fence(t.Context(), "node-1", w.store.Epoch()+1); err != nil {
		t.Fatal(err)
	}
	w.ticks(2) // the hand is told the epoch, and says that it obeys another one
	if f := w.engine.Findings(); !slices.ContainsFunc(f, func(s string) bool { return strings.Contains(s, "the hand of node-1 obeys a newer epoch") }) {
		t.Errorf("findings %v", f)
	}
}

// expiring is a store whose lease runs out when the test says so.
type expiring struct {
	repairer.Store
	over *bool
}

func (e expiring) Held() error {
	if *e.over {
		return fmt.Errorf("it has run out: %w", glia.ErrStaleEpoch)
	}
	return nil
}

func TestEngine_ActsOnlyWhileTheTermIsHeld(t *testing.T) {
	t.Parallel()
	over := false
	w := newWorld(t, func(o *repairer.Options) { o.Store = expiring{o.Store, &over} })
	w.fleet.Fault = func(*gliav1.Order, bool) error {
		if over {
			t.Error("an order was sent after the term")
		}
		return nil
	}
	w.fail("node-1", "2")
	w.phase("N1S2", repairer.PhaseDraining)
	over = true
	if !w.untilStale() {
		t.Error("the engine goes on after its term")
	}
}

// hands notes what the hands are told and ordered, in order, and may not answer.
type hands struct {
	repairer.Hosts
	heard *[]string
	deaf  *bool
}

func (h hands) Fence(ctx context.Context, host string, epoch uint64) error {
	if *h.deaf {
		return glia.ErrUnreachable
	}
	*h.heard = append(*h.heard, fmt.Sprintf("%s: epoch %d", host, epoch))
	return h.Hosts.Fence(ctx, host, epoch)
}

func (h hands) Execute(ctx context.Context, host string, o *gliav1.Order) (*gliav1.ExecuteResponse, error) {
	*h.heard = append(*h.heard, host+": order")
	return h.Hosts.Execute(ctx, host, o)
}

func TestEngine_TellsTheHandsBeforeItsFirstAct(t *testing.T) {
	t.Parallel()
	var heard []string
	deaf := false
	w := newWorld(t, func(o *repairer.Options) {
		o.Parallel = 1
		o.Hosts = hands{o.Hosts, &heard, &deaf}
	})
	w.fail("node-1", "2")
	w.phase("N1S2", repairer.PhaseAwaitingReplacement)
	if slices.ContainsFunc(heard, func(s string) bool { return strings.Contains(s, "epoch") }) {
		t.Errorf("told %v, and there was nobody before this repairer", heard)
	}
	heard = nil
	w.open()
	w.swap("node-1", "2", blank("NEW1")) // an order is due at once
	w.ticks(3)
	want := fmt.Sprintf("node-1: epoch %d", w.store.Epoch())
	if len(heard) < 2 || heard[0] != want || heard[1] == want {
		t.Errorf("the hands have heard %v; want first %q, once", heard, want)
	}
	// One that does not answer is told later.
	heard, deaf = nil, true
	w.open()
	w.tick()
	deaf = false
	w.ticks(10)
	want = fmt.Sprintf("node-1: epoch %d", w.store.Epoch())
	if n := len(slices.DeleteFunc(slices.Clone(heard), func(s string) bool { return s != want })); n != 1 {
		t.Errorf("a hand that did not answer at first has heard %v", heard)
	}
}
