package notify_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"glia/repairer/notify"
)

// words is a sink that keeps the texts.
type words struct {
	said []string
	deaf atomic.Bool
}

func (w *words) Tell(_ context.Context, n []notify.Notice, _ int, t notify.Threads) (notify.Threads, error) {
	if w.deaf.Load() {
		return t, errors.New("nobody is there")
	}
	w.said = append(w.said, n[0].Text)
	return t, nil
}

func TestVacancy_IsToldOnceAndSoIsItsEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var leads atomic.Bool
		leads.Store(true)
		team, other, deaf := &words{}, &words{}, &words{}
		deaf.deaf.Store(true)
		v := &notify.Vacancy{
			Who: "repair-2", Ask: func(context.Context) (bool, string) { return leads.Load(), "the database does not answer" }, Every: time.Second, After: 30 * time.Second,
			Sinks: map[string]notify.Sink{"team": team, "other": other, "deaf": deaf}, Log: slog.New(slog.DiscardHandler),
			Wants: map[string]notify.Policy{"team": {Quiet: notify.Span{From: 0, To: 23 * time.Hour}}, "other": {Events: []string{notify.Opened}}},
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); _ = v.Run(ctx) }()
		hear := func(after time.Duration, want ...string) {
			t.Helper()
			time.Sleep(after)
			synctest.Wait()
			if !slices.EqualFunc(team.said, want, strings.Contains) {
				t.Errorf("told %q, want %q", team.said, want)
			}
		}
		hear(time.Minute)
		leads.Store(false)
		hear(25 * time.Second) // another one takes over
		leads.Store(true)
		hear(time.Minute)
		leads.Store(false)
		vacant := "NOBODY LEADS since 2000-01-01T00:02:26Z, so that no repair begins or goes on, says repair-2: the database does not answer."
		hear(time.Hour, vacant)
		leads.Store(true)
		hear(time.Minute, vacant, "The vacancy is over: a repairer leads again.")
		leads.Store(false)
		time.Sleep(time.Minute)
		stop()
		<-ended
		team.deaf.Store(true) // for the moment in which this repairer takes over
		took := make(chan struct{})
		go func() { defer close(took); v.Took(t.Context()) }()
		hear(time.Hour, vacant, "The vacancy is over: a repairer leads again.", "NOBODY LEADS")
		team.deaf.Store(false)
		<-took
		hear(0, vacant, "The vacancy is over: a repairer leads again.", "NOBODY LEADS", "The vacancy is over: repair-2 leads now.")
		if len(other.said) > 0 {
			t.Errorf("told %q what it does not want", other.said)
		}
	})
}
