package queue_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"glia"
	"glia/repairer/queue"
)

// The cases are Q1 to Q11 of what a queue of a coordinator must get right, each once a bug of one in the field.

func TestQueue_Q1_OrderIsNumeric(t *testing.T) {
	each(t, func(b *bed) {
		var want []uint64
		for i := range uint64(12) {
			b.put("work", fmt.Sprint("k", i))
			want = append(want, i+1)
		}
		b.work()
		b.did(want...)
	})
}

func TestQueue_Q2_ConcurrentPublishersGetEachIDOnce(t *testing.T) {
	each(t, func(b *bed) {
		var ids [2][]uint64
		var wg sync.WaitGroup
		for p := range ids {
			wg.Go(func() {
				for i := range 100 {
					id, _, err := b.publish(queue.Event{Key: fmt.Sprintf("p%d-%d", p, i), Type: "work"})
					if err != nil {
						b.Error(err)
						return
					}
					ids[p] = append(ids[p], id)
				}
			})
		}
		wg.Wait()
		all := slices.Sorted(slices.Values(slices.Concat(ids[0], ids[1])))
		for i, id := range all {
			if id != uint64(i+1) {
				b.Fatalf("id %d stands at %d", id, i+1)
			}
		}
		if len(all) != 200 || !slices.IsSorted(ids[0]) || !slices.IsSorted(ids[1]) {
			b.Errorf("%d ids; the order of a publisher is kept: %v, %v", len(all), slices.IsSorted(ids[0]), slices.IsSorted(ids[1]))
		}
	})
}

func TestQueue_Q3_KilledHandlerIsRunByTheNextLeader(t *testing.T) {
	each(t, func(b *bed) {
		b.put("work", "a", "b")
		ctx, kill := context.WithCancel(b.Context())
		b.outcome = func(queue.Event) error { kill(); return nil } // it has worked, and nobody lives to say so
		if err := b.Work(ctx); err == nil {
			b.Fatal("the work went on")
		}
		b.did(1)
		b.work() // by the same leader: the claim stands
		b.did(2)
		b.outcome = nil
		b.lead()
		b.work()
		b.did(1)
		b.lead()
		b.work()
		b.did()
	})
}

func TestQueue_Q3_EventThatKillsItsHandlersDies(t *testing.T) {
	each(t, func(b *bed) {
		b.put("work", "a", "b")
		for range 3 {
			ctx, kill := context.WithCancel(b.Context())
			b.outcome = func(e queue.Event) error {
				if e.ID == 1 {
					kill()
				}
				return nil
			}
			_ = b.Work(ctx)
			kill()
			b.lead()
		}
		b.work()
		if dead := b.dead(); !slices.Equal(dead, []uint64{1}) {
			b.Errorf("dead are %v", dead)
		}
		b.did(1, 1, 1, 2)
	})
}

func TestQueue_Q4_FailedEventIsTriedAgainThenDead(t *testing.T) {
	each(t, func(b *bed) {
		b.put("work", "a")
		b.put("hang", "b")
		b.outcome = func(queue.Event) error { return errors.New("no luck") }
		b.work()
		b.work()
		b.did(1) // its wait is not over
		for range 2 {
			b.pass(time.Minute)
			b.work()
		}
		b.did(1, 1)
		b.pass(time.Hour)
		b.work()
		b.did()
		all, err := queue.List(b.Context(), b.DB(), false)
		b.must(err)
		if len(all) != 2 || all[0].Problem != "no luck" || all[1].Problem != context.DeadlineExceeded.Error() || all[0].Attempts != 3 || !slices.Equal(b.dead(), []uint64{1, 2}) {
			b.Fatalf("the queue has %+v", all)
		}
		if f, err := queue.Findings(b.Context(), b.DB()); err != nil || len(f) != 1 || f[0] != "2 dead in the queue, the first is event 1: see glia queue list" {
			b.Errorf("findings %q, %v", f, err)
		}
		b.outcome = nil
		b.must(b.ReplayEvent(b.Context(), 1, "ann", "mended"))
		b.must(b.DropEvent(b.Context(), 2, "ann", "not needed"))
		for _, do := range []func(context.Context, uint64, string, string) error{b.ReplayEvent, b.DropEvent} {
			if err := do(b.Context(), 1, "ann", "again"); !errors.Is(err, glia.ErrNotFound) {
				b.Errorf("an event that is not dead: %v", err)
			}
		}
		b.work()
		b.did(1)
		if all, err := queue.List(b.Context(), b.DB(), false); err != nil || len(all) != 0 {
			b.Errorf("left are %v, %v", all, err)
		}
	})
}

func TestQueue_Q5_WhatIsDoneIsNotDoneAgain(t *testing.T) {
	each(t, func(b *bed) {
		for i := range 120 {
			b.put("work", fmt.Sprint("k", i))
		}
		b.work()
		b.handled = nil
		b.put("work", "k118", "k120", "k119", "k121", "k120")
		b.work()
		b.did(121, 122)
	})
}

func TestQueue_Q6_PoisonHoldsUpNothing(t *testing.T) {
	each(t, func(b *bed) {
		b.put("unheard-of", "a")
		b.put("work", "b", "c")
		b.outcome = func(e queue.Event) error {
			if e.ID == 2 {
				return errors.New("invalid character '}'")
			}
			return nil
		}
		b.work()
		b.did(2, 3)
		if dead := b.dead(); !slices.Equal(dead, []uint64{1}) {
			b.Errorf("dead are %v", dead)
		}
	})
}

func TestQueue_Q7_EmptyQueueIsNoError(t *testing.T) {
	each(t, func(b *bed) {
		b.work()
		b.did()
		if f, err := queue.Findings(b.Context(), b.DB()); err != nil || f != nil {
			b.Errorf("findings %q, %v", f, err)
		}
	})
}

func TestQueue_Q8_SameKeyAndConcurrentWorkersHandleOnce(t *testing.T) {
	each(t, func(b *bed) {
		var wg sync.WaitGroup
		var fresh [8]bool
		for i := range fresh {
			wg.Go(func() {
				for {
					_, f, err := b.publish(queue.Event{Key: "same", Type: "work"})
					if err == nil {
						fresh[i] = f
						return
					}
					b.Error(err)
				}
			})
		}
		wg.Wait()
		if n := len(slices.DeleteFunc(slices.Clone(fresh[:]), func(f bool) bool { return !f })); n != 1 {
			b.Errorf("%d publishers were the first", n)
		}
		for i := range 30 {
			b.put("work", fmt.Sprint("k", i))
		}
		for range 4 {
			wg.Go(func() {
				if err := b.another().Work(b.Context()); err != nil {
					b.Error(err)
				}
			})
		}
		wg.Wait()
		b.work() // what they left to each other
		slices.Sort(b.handled)
		for i, id := range b.handled {
			if id != uint64(i+1) {
				b.Fatalf("handled %v", b.handled)
			}
		}
		if len(b.handled) != 31 {
			b.Errorf("handled %d of 31", len(b.handled))
		}
	})
}

func TestQueue_Q9_CounterThatWasSetBackIsNoticed(t *testing.T) {
	each(t, func(b *bed) {
		b.put("work", "a", "b")
		if _, err := b.DB().Exec(`UPDATE queue_count SET last = 1`); err != nil {
			b.Fatal(err)
		}
		err := b.Queue.Run(b.Context())
		if !errors.Is(err, queue.ErrSetBack) || !strings.Contains(err.Error(), "it is at 1, and there was event 2;") || !strings.HasSuffix(err.Error(), "queue_count.last to 2") {
			b.Errorf("Run: %v", err)
		}
		b.did()
	})
}

func TestQueue_Q10_ManyKeptEventsAreInNobodysWay(t *testing.T) {
	each(t, func(b *bed) {
		b.must(b.tx(func(tx *sql.Tx) error {
			_, err := tx.Exec(`WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10100)
				INSERT INTO queue SELECT i, 'old-' || i, 'work', '', 0, 'done', 1, 0, 1, '' FROM n`)
			if err == nil {
				_, err = tx.Exec(`UPDATE queue_count SET last = 10100`)
			}
			return err
		}))
		b.put("work", "new", "old-10100")
		b.work()
		b.did(10101)
		all, err := queue.List(b.Context(), b.DB(), true)
		b.must(err)
		if len(all) != 10_000 || all[0].ID != 102 {
			b.Errorf("kept are %d from %d on", len(all), all[0].ID)
		}
		// The ids of what was forgotten are not given again.
		if _, err := b.DB().Exec(`DELETE FROM queue`); err != nil {
			b.Fatal(err)
		}
		if _, err := b.DB().Exec(`UPDATE queue_count SET last = 50`); err != nil {
			b.Fatal(err)
		}
		if err := b.Queue.Run(b.Context()); !errors.Is(err, queue.ErrSetBack) {
			b.Errorf("Run: %v", err)
		}
	})
}

func TestQueue_Q11_WhatIsNoNameIsRefused(t *testing.T) {
	each(t, func(b *bed) {
		for _, e := range []queue.Event{
			{Key: "k", Type: "../../bin/id"}, {Key: "k", Type: ""}, {Key: "k", Type: "Work"}, {Key: "", Type: "work"}, {Key: "a b", Type: "work"},
			{Key: strings.Repeat("k", 201), Type: "work"}, {Key: "k", Type: "work", Payload: strings.Repeat("x", 1<<20)},
		} {
			if _, _, err := b.publish(e); err == nil {
				b.Errorf("published key %.10q, type %q, %d bytes", e.Key, e.Type, len(e.Payload))
			}
		}
		if all, err := queue.List(b.Context(), b.DB(), true); err != nil || len(all) != 0 {
			b.Errorf("kept are %v, %v", all, err)
		}
	})
}
