package queue_test

import (
	"database/sql"
	"errors"
	"slices"
	"testing"
	"time"

	"glia/repairer"
	"glia/repairer/queue"
	"glia/repairer/store"
)

func TestTimer_T1_DueBeforeTheLeaderStarted(t *testing.T) {
	each(t, func(b *bed) {
		b.set(queue.Timer{Key: "a", Due: b.now.Add(-time.Hour), Type: "work"})
		b.lead()
		b.work()
		b.did(1)
	})
}

func TestTimer_T2_TwoInOneSecond(t *testing.T) {
	each(t, func(b *bed) {
		b.set(queue.Timer{Key: "b", Due: b.now.Add(time.Second), Type: "work", Payload: "second"})
		b.set(queue.Timer{Key: "a", Due: b.now.Add(time.Second), Type: "work", Payload: "first"})
		b.work()
		b.did()
		b.pass(time.Second)
		b.work()
		b.did(1, 2)
		if !slices.Equal(b.texts, []string{"first", "second"}) {
			b.Errorf("handled %q", b.texts)
		}
	})
}

func TestTimer_T3_FiresOnceAfterAFailOver(t *testing.T) {
	each(t, func(b *bed) {
		b.set(queue.Timer{Key: "a", Due: b.now.Add(time.Minute), Type: "work"})
		b.work()
		b.lead()
		b.pass(time.Minute)
		b.work()
		b.did(1)
		b.lead()
		b.pass(time.Minute)
		b.work()
		b.did()
	})
}

// 2026-03-29 01:00 UTC is when clocks in Berlin go from 2 to 3.
func TestTimer_T4_ClocksAndZonesMakeNoDifference(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	each(t, func(b *bed) {
		b.set(queue.Timer{Key: "a", Due: b.now.Add(2 * time.Second).In(berlin), Type: "work"})
		b.now = b.now.In(time.FixedZone("west", -8*3600))
		b.pass(2*time.Second - 1)
		b.work()
		b.did() // not early
		b.now = b.now.In(berlin)
		b.pass(1)
		b.work()
		b.did(1) // nor late
		b.pass(-time.Hour)
		b.work()
		b.pass(2 * time.Hour)
		b.work()
		b.did() // nor twice
	})
}

func TestTimer_T4_RetryIsNotPutOffByAClockThatWasAhead(t *testing.T) {
	each(t, func(b *bed) {
		b.put("work", "a")
		b.outcome = func(queue.Event) error { return errors.New("no luck") }
		b.work()
		b.outcome = nil
		b.pass(-24 * time.Hour)
		b.work()
		b.did(1, 1)
	})
}

func TestTimer_T5_Cancel(t *testing.T) {
	each(t, func(b *bed) {
		b.set(queue.Timer{Key: "a", Due: b.now.Add(time.Second), Type: "work"})
		b.set(queue.Timer{Key: "b", Due: b.now.Add(time.Second), Type: "work"})
		b.set(queue.Timer{Key: "b", Due: b.now.Add(time.Minute), Type: "work"}) // anew
		for i, want := range []bool{true, false} {
			b.must(b.tx(func(tx *sql.Tx) error {
				had, err := queue.Cancel(b.Context(), tx, "a")
				if had != want {
					b.Errorf("cancel %d: %v", i, had)
				}
				return err
			}))
		}
		b.pass(time.Second)
		b.work()
		b.did()
		b.pass(time.Minute)
		b.work()
		b.did(1)
	})
}

func TestTimer_T6_AnyPayloadSurvives(t *testing.T) {
	each(t, func(b *bed) {
		text := "a,b:c;\n\"'%$1\\ ünïcode"
		b.set(queue.Timer{Key: "a", Due: b.now, Type: "work", Payload: text})
		b.work()
		if !slices.Equal(b.texts, []string{text}) {
			b.Errorf("handled %q", b.texts)
		}
	})
}

// The end of a pause by its time is in the log once; that of one that a person has ended is not.
func TestTimer_EndsPauses(t *testing.T) {
	each(t, func(b *bed) {
		until := b.now.Add(time.Minute)
		for _, scope := range []string{"host:a", "host:b", "fleet"} {
			p := repairer.Pause{Scope: scope, Owner: "ann", Reason: "moving", Since: b.now, Until: until}
			if scope == "fleet" {
				p.Until = time.Time{}
			}
			if _, err := b.AddPause(b.Context(), p); err != nil {
				b.Fatal(err)
			}
		}
		if timers, err := queue.Timers(b.Context(), b.DB()); err != nil || len(timers) != 2 || timers[0].Type != store.PauseOver || !timers[0].Due.Equal(until) {
			b.Fatalf("timers %v, %v", timers, err)
		}
		if _, err := b.EndPauses(b.Context(), "host:b", "bob", "moved", b.now); err != nil {
			b.Fatal(err)
		}
		timers, err := queue.Timers(b.Context(), b.DB())
		if err != nil || len(timers) != 1 {
			b.Fatalf("timers %v, %v", timers, err)
		}
		id := timers[0].Payload
		if err := b.EndPause(b.Context(), id, until.Add(-1)); err == nil {
			b.Error("ended before its time")
		}
		log := func() (ends int) {
			b.must(b.DB().QueryRow(`SELECT count(*) FROM events WHERE kind = 'resumed' AND text LIKE 'host:a is no longer paused%'`).Scan(&ends))
			return ends
		}
		for range 2 {
			b.must(b.EndPause(b.Context(), id, until))
			if n := log(); n != 1 {
				b.Errorf("the end is in the log %d times", n)
			}
		}
		if left, err := b.Pauses(b.Context(), until); err != nil || len(left) != 1 || left[0].Scope != "fleet" {
			b.Errorf("in force are %v, %v", left, err)
		}
		early := until.Add(-1) // the clock was ahead when it ended, and is set right
		if again, err := b.Pauses(b.Context(), early); err != nil || len(again) != 2 {
			b.Errorf("before its time in force are %v, %v", again, err)
		}
		if ended, err := b.EndPauses(b.Context(), "host:a", "bob", "moved", early); err != nil || len(ended) != 1 {
			b.Errorf("a person has ended %v, %v", ended, err)
		}
		if left, err := b.Pauses(b.Context(), early); err != nil || len(left) != 1 {
			b.Errorf("after a person has ended it in force are %v, %v", left, err)
		}
		if r, err := b.database.(repairer.Auditor).Verify(b.Context()); err != nil || r.Problem != "" {
			b.Errorf("verify: %+v, %v", r, err)
		}
	})
}
