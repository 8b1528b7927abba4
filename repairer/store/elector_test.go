package store_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"glia"
	"glia/repairer"
	"glia/repairer/store"
)

// elected is an election outside of the database, whose winner is always this repairer.
type elected struct {
	epoch uint64 // 0: one above what the store knows
	lost  chan struct{}
}

func (e *elected) Lead(_ context.Context, above uint64) (repairer.Term, error) {
	if e.epoch == 0 {
		e.epoch = above + 1
	}
	return e, nil
}

func (e *elected) Epoch() uint64                { return e.epoch }
func (e *elected) Held() error                  { return nil }
func (e *elected) Lost() <-chan struct{}        { return e.lost }
func (e *elected) Resign(context.Context) error { return nil }

// slow is an election whose first terms end before the database is open, as they do when it answers slowly.
type slow struct {
	*elected
	early int
}

func (s *slow) Lead(ctx context.Context, above uint64) (repairer.Term, error) {
	if s.early--; s.early >= 0 {
		t := gone{elected{epoch: above + 1, lost: make(chan struct{})}}
		close(t.lost)
		return &t, nil
	}
	return s.elected.Lead(ctx, above)
}

type gone struct{ elected }

func (*gone) Held() error { return glia.ErrStaleEpoch }

func TestPostgres_WaitsAgainWhenTheTermEndsBeforeItHasBegun(t *testing.T) {
	t.Parallel()
	srv, name := database(t, "")
	s := openPostgres(t, srv.URL(name), store.Options{Elector: &slow{&elected{lost: make(chan struct{})}, 2}})
	if _, err := s.AddPause(t.Context(), repairer.Pause{Scope: "fleet"}); err != nil {
		t.Error(err)
	}
}

// shut is an election after which the database lets nobody in who is not there already.
type shut struct {
	*elected
	shut func()
}

func (s *shut) Lead(ctx context.Context, above uint64) (repairer.Term, error) {
	s.shut()
	return s.elected.Lead(ctx, above)
}

func TestPostgres_WaitsForADatabaseThatIsAwayWhenItHasJustBeenElected(t *testing.T) {
	t.Parallel()
	srv, name := database(t, "")
	let := func(in bool) {
		if err := srv.Exec(t.Context(), "postgres", fmt.Sprintf(`ALTER DATABASE %s ALLOW_CONNECTIONS %t`, name, in)); err != nil {
			t.Error(err)
		}
	}
	waited := false
	openPostgres(t, srv.URL(name), store.Options{
		Elector: &shut{&elected{lost: make(chan struct{})}, func() { let(false) }},
		Waiting: func(reason string) {
			if strings.Contains(reason, "not currently accepting connections") {
				waited = true
				let(true)
			}
		},
	})
	if !waited {
		t.Error("the database was not shut")
	}
}

// Whoever elects: the database refuses the writes of one that has a successor, and an epoch that is not new.
func TestPostgres_ChecksTheEpochOfAnotherElection(t *testing.T) {
	t.Parallel()
	srv, name := database(t, "")
	a := openPostgres(t, srv.URL(name), store.Options{Holder: "a", Elector: &elected{lost: make(chan struct{})}})
	b := openPostgres(t, srv.URL(name), store.Options{Holder: "b", Elector: &elected{lost: make(chan struct{})}})
	if _, err := a.AddPause(t.Context(), repairer.Pause{Scope: "fleet"}); !errors.Is(err, glia.ErrStaleEpoch) || b.Epoch() <= a.Epoch() {
		t.Errorf("epoch %d after %d; the first one writes: %v", b.Epoch(), a.Epoch(), err)
	}
	if _, err := b.AddPause(t.Context(), repairer.Pause{Scope: "fleet"}); err != nil {
		t.Error(err)
	}
	_, err := store.OpenPostgres(t.Context(), srv.URL(name), store.Options{Holder: "c", Elector: &elected{epoch: a.Epoch(), lost: make(chan struct{})}})
	if !errors.Is(err, glia.ErrStaleEpoch) {
		t.Errorf("an election that gives an old epoch: %v", err)
	}
}
