package trial

import (
	"context"
	"errors"
	"fmt"
	"time"

	"glia"
	"glia/repairer"
)

// recalled is the answer of one read.
type recalled struct {
	value any
	err   error
}

// recall reads from the store, and keeps the answer until something is written to it by anybody: a run
// reads the same a hundred times, by the repairer and by the checks.
func recall[T any](w *world, key string, read func() (T, error)) (T, error) {
	if r, ok := w.memo[key]; ok {
		v, _ := r.value.(T)
		return v, r.err
	}
	v, err := read()
	if err == nil || errors.Is(err, glia.ErrNotFound) {
		w.memo[key] = recalled{v, err}
	}
	return v, err
}

// forget is called at each write.
func (w *world) forget() { clear(w.memo) }

func (l ledger) Case(ctx context.Context, id string) (repairer.Case, error) {
	return recall(l.p.w, "case "+id, func() (repairer.Case, error) { return l.Store.Case(ctx, id) })
}

func (l ledger) Cases(ctx context.Context, all bool) ([]repairer.Case, error) {
	return recall(l.p.w, fmt.Sprint("cases ", all), func() ([]repairer.Case, error) { return l.Store.Cases(ctx, all) })
}

func (l ledger) CasesSince(ctx context.Context, seq uint64) ([]repairer.Case, error) {
	return recall(l.p.w, fmt.Sprint("cases since ", seq), func() ([]repairer.Case, error) { return l.Store.CasesSince(ctx, seq) })
}

func (l ledger) LastCase(ctx context.Context, serial string) (repairer.Case, error) {
	return recall(l.p.w, "last case "+serial, func() (repairer.Case, error) { return l.Store.LastCase(ctx, serial) })
}

func (l ledger) Events(ctx context.Context, id string, after uint64) ([]repairer.Event, error) {
	return recall(l.p.w, fmt.Sprint("events ", id, after), func() ([]repairer.Event, error) { return l.Store.Events(ctx, id, after) })
}

func (l ledger) Retired(ctx context.Context) ([]string, error) {
	return recall(l.p.w, "retired", func() ([]string, error) { return l.Store.Retired(ctx) })
}

func (l ledger) Get(ctx context.Context, key string) (string, error) {
	return recall(l.p.w, "get "+key, func() (string, error) { return l.Store.Get(ctx, key) })
}

// inForce are the pauses. They may run out, so that only an answer without any is kept.
func (l ledger) inForce(ctx context.Context, now time.Time) ([]repairer.Pause, error) {
	out, err := recall(l.p.w, "pauses", func() ([]repairer.Pause, error) { return l.Store.Pauses(ctx, now) })
	if len(out) > 0 {
		delete(l.p.w.memo, "pauses")
	}
	return out, err
}

func (d desk) Ticket(ctx context.Context, id string) (repairer.Ticket, error) {
	return recall(d.p.w, "ticket "+id, func() (repairer.Ticket, error) { return d.Builtin.Ticket(ctx, id) })
}
