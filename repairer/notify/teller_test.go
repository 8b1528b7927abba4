package notify_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"glia"
	"glia/repairer"
	"glia/repairer/notify"
)

// events is a log in memory, with a table of positions.
type events struct {
	mu        sync.Mutex
	list      []repairer.Event
	changed   chan struct{}
	positions map[string]string
	full      bool // takes no positions
}

func newEvents() *events {
	return &events{changed: make(chan struct{}), positions: map[string]string{}}
}

func (e *events) add(kind repairer.Kind, id string, d repairer.Data) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.list = append(e.list, repairer.Event{Seq: uint64(len(e.list) + 1), Case: id, At: time.Now(), Kind: kind, Text: fmt.Sprintf("text %d", len(e.list)+1), Data: d})
	close(e.changed)
	e.changed = make(chan struct{})
}

func (e *events) Log(_ context.Context, after uint64) ([]repairer.Event, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.list[after:min(len(e.list), int(after)+100)], nil //nolint:gosec // small
}

func (e *events) End(context.Context) (uint64, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return uint64(len(e.list)), nil
}

func (e *events) Case(_ context.Context, id string) (repairer.Case, error) {
	c := repairer.Case{ID: id, Phase: repairer.PhaseDraining}
	c.Disk.Identity.Serial, c.Disk.Location.Host = "S-"+id, "node-1"
	return c, nil
}

func (e *events) Changed() <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.changed
}

func (e *events) Position(_ context.Context, sink string) (p notify.Position, known bool, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	doc, known := e.positions[sink]
	if known {
		err = json.Unmarshal([]byte(doc), &p)
	}
	return p, known, err
}

func (e *events) Keep(ctx context.Context, sink string, p notify.Position) error {
	doc, err := json.Marshal(p)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.full {
		return errors.New("the disk is full")
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	e.positions[sink] = string(doc)
	return err
}

func (e *events) fill(full bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.full = full
}

// people is a sink that remembers what it was told, and when.
type people struct {
	mu    sync.Mutex
	deaf  bool
	hang  bool
	tries int
	said  []string
	since time.Time
}

func (p *people) Tell(ctx context.Context, notices []notify.Notice, skipped int, threads notify.Threads) (notify.Threads, error) {
	if p.hang { // in the middle of a message
		<-ctx.Done()
		return notify.Threads{"case-1": "begun"}, ctx.Err()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tries++
	if p.deaf {
		return threads, errors.New("nobody is there")
	}
	var what []string
	for _, n := range notices {
		what = append(what, fmt.Sprintf("%d", n.Seq))
	}
	line := fmt.Sprintf("%s: %s", time.Since(p.since), strings.Join(what, " "))
	if len(notices) > 10 {
		line = fmt.Sprintf("%d, %d left out", len(notices), skipped)
	}
	p.said = append(p.said, line)
	return threads, nil
}

func (p *people) heard() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.said, "; ")
}

// tell runs a teller until it is stopped.
func tell(t *testing.T, e *events, p *people, policy notify.Policy) (f *notify.Figures, log *strings.Builder, stop func()) {
	f, log = notify.NewFigures(), &strings.Builder{}
	teller := &notify.Teller{Name: "team", Sink: p, Policy: policy, Log: e, Positions: e, Now: time.Now, Logger: slog.New(slog.NewTextHandler(log, nil)), Figures: f}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); teller.Run(ctx) }()
	stop = sync.OnceFunc(func() { cancel(); <-ended })
	t.Cleanup(stop)
	synctest.Wait()
	return f, log, stop
}

var grouped = notify.Policy{Digest: -1, Group: 30 * time.Second}

func TestTeller_GroupsAndLetsAlarmsPass(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, p := newEvents(), &people{since: time.Now()}
		e.add(repairer.KindStarted, "case-1", repairer.Data{}) // before the sink was there
		tell(t, e, p, grouped)
		e.add(repairer.KindStarted, "case-2", repairer.Data{})
		time.Sleep(10 * time.Second)
		e.add(repairer.KindBegun, "case-2", repairer.Data{}) // nobody is told of that
		e.add(repairer.KindReleased, "case-2", repairer.Data{})
		time.Sleep(10 * time.Second)
		e.add(repairer.KindAlarm, "case-2", repairer.Data{Serial: "other"})
		time.Sleep(time.Minute)
		e.add(repairer.KindTripped, "", repairer.Data{})
		time.Sleep(time.Minute)
		if got, want := p.heard(), "20s: 5; 30s: 2 4; 1m20s: 6"; got != want {
			t.Errorf("told %q, want %q", got, want)
		}
	})
}

func TestTeller_TellsOnceOverRestarts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, p := newEvents(), &people{since: time.Now()}
		_, _, stop := tell(t, e, p, grouped)
		e.add(repairer.KindStarted, "case-1", repairer.Data{})
		e.add(repairer.KindTripped, "", repairer.Data{})
		time.Sleep(time.Second)
		stop() // the breaker was told, the case waits for company
		e.add(repairer.KindParked, "case-1", repairer.Data{})
		_, _, stop = tell(t, e, p, grouped)
		time.Sleep(time.Hour)
		stop()
		tell(t, e, p, grouped)
		time.Sleep(time.Hour)
		if got, want := p.heard(), "0s: 2; 30s: 1 3"; got != want {
			t.Errorf("told %q, want %q", got, want)
		}
	})
}

// The database may take nothing for a while, in which people hear what happens all the same.
func TestTeller_TellsOnceAlthoughThePositionCouldNotBeKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, p := newEvents(), &people{since: time.Now()}
		_, _, stop := tell(t, e, p, notify.Policy{Digest: -1})
		e.fill(true)
		e.add(repairer.KindStarted, "case-1", repairer.Data{})
		time.Sleep(time.Hour)
		e.add(repairer.KindTripped, "", repairer.Data{})
		time.Sleep(time.Hour)
		e.fill(false)
		time.Sleep(time.Hour)
		stop()
		told := p.heard()
		if !strings.Contains(told, ": 1; ") || !strings.HasSuffix(told, ": 2") {
			t.Errorf("told %q", told)
		}
		tell(t, e, p, notify.Policy{Digest: -1})
		time.Sleep(time.Hour)
		if again := p.heard(); again != told {
			t.Errorf("told %q, and after a restart %q", told, again)
		}
	})
}

func TestTeller_KeepsWhatASinkHasBegunWhenItIsStopped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, p := newEvents(), &people{since: time.Now(), hang: true}
		_, _, stop := tell(t, e, p, notify.Policy{Digest: -1})
		e.add(repairer.KindStarted, "case-1", repairer.Data{})
		synctest.Wait()
		stop()
		if at, _, err := e.Position(t.Context(), "team"); err != nil || at.Threads["case-1"] != "begun" || at.Cursor != 0 {
			t.Errorf("kept is %+v, %v", at, err)
		}
	})
}

func TestTeller_ADeadSinkIsAMetricAndOneLine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, p := newEvents(), &people{since: time.Now(), deaf: true}
		f, log, stop := tell(t, e, p, notify.Policy{Digest: -1})
		for range 600 {
			e.add(repairer.KindStarted, "case-1", repairer.Data{})
		}
		time.Sleep(24 * time.Hour)
		p.mu.Lock()
		p.deaf = false
		tries := p.tries
		p.mu.Unlock()
		time.Sleep(time.Hour)
		stop()
		if tries < 20 || tries > 800 {
			t.Errorf("%d attempts in a day", tries)
		}
		if got, want := p.heard(), "500, 100 left out"; got != want {
			t.Errorf("told %q, want %q", got, want)
		}
		if n := strings.Count(log.String(), "\n"); n != 2 || !strings.Contains(log.String(), "people are told again") {
			t.Errorf("%d lines: %s", n, log)
		}
		if err := testutil.CollectAndCompare(f, strings.NewReader("# HELP glia_notices_total Notices that a sink has taken.\n# TYPE glia_notices_total counter\nglia_notices_total{sink=\"team\"} 500\n"), "glia_notices_total"); err != nil {
			t.Error(err)
		}
		if n := testutil.CollectAndCount(f, "glia_notices_failed_total"); n != 1 {
			t.Error("no failure is counted")
		}
	})
}

func TestTeller_TellsTransitionsOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, p := newEvents(), &people{since: time.Now()}
		tell(t, e, p, notify.Policy{Digest: -1, Severity: notify.Warning, Events: []string{notify.Approval, notify.Parked, notify.Opened}})
		held := repairer.Data{Refusals: []repairer.Refusal{{Gate: repairer.GateApproval}}}
		e.add(repairer.KindOpened, "case-1", repairer.Data{Verdict: &glia.Verdict{}}) // an info
		e.add(repairer.KindHeld, "case-1", held)
		e.add(repairer.KindHeld, "case-1", held) // another gate came or went
		e.add(repairer.KindHeld, "case-2", held)
		e.add(repairer.KindStarted, "case-1", repairer.Data{})
		e.add(repairer.KindReleased, "case-1", repairer.Data{}) // not in the route
		time.Sleep(time.Second)
		if got, want := p.heard(), "0s: 2 4"; got != want {
			t.Errorf("told %q, want %q", got, want)
		}
	})
}

// TestOf_SurvivesEveryEvent makes notices of events with nothing in them.
func TestOf_SurvivesEveryEvent(t *testing.T) {
	t.Parallel()
	told := 0
	for _, k := range []repairer.Kind{
		repairer.KindOpened, repairer.KindHeld, repairer.KindStarted, repairer.KindDone, repairer.KindReleased, repairer.KindRejected, repairer.KindAccepted, repairer.KindParked,
		repairer.KindUnparked, repairer.KindAlarm, repairer.KindEnded, repairer.KindTripped, repairer.KindReset, repairer.KindStorm, repairer.KindPaused, repairer.KindResumed, repairer.KindTold,
	} {
		n, ok := notify.Of(repairer.Event{Seq: 1, Case: "case-1", Kind: k}, repairer.Case{})
		if ok {
			told++
		}
		if ok && (n.Event == "" || n.Text == "" || strings.Contains(n.Text, "%!")) {
			t.Errorf("%s: %+v", k, n)
		}
	}
	if told < 10 {
		t.Errorf("only %d kinds are told", told)
	}
}
