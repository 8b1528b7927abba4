package kill_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"glia/config"
	"glia/internal/program/repairerd"
)

// The environment of the process that is killed.
const (
	envConfig  = "GLIA_KILL_CONFIG"
	envJournal = "GLIA_KILL_JOURNAL"
	envPoint   = "GLIA_KILL_POINT"
)

// The environment of the tests: which points are tried.
const (
	envAll = "KILL_ALL" // not empty: all of them, instead of a sample
	envAt  = "KILL_AT"  // only this one, such as 17:after, or several in a row: 17:after,3:before
)

// TestMain is also the main of the repairer that is killed.
func TestMain(m *testing.M) {
	if os.Getenv(envConfig) == "" {
		os.Exit(m.Run())
	}
	if err := repair(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// repair runs the repairer as cmd/repairer does, with a counter around its parts.
func repair() error {
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // ends when the test does
		os.Exit(1)
	}()
	c, err := config.LoadRepairer(os.Getenv(envConfig), config.Known{})
	if err != nil {
		return err
	}
	at, err := parsePoint(os.Getenv(envPoint))
	if err != nil {
		return err
	}
	journal, err := os.OpenFile(os.Getenv(envJournal), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	calls := &counter{at: at, journal: journal}
	return repairerd.RunWith(context.Background(), c, calls.parts(), nil, slog.New(slog.NewTextHandler(os.Stderr, nil)).With("process", os.Getpid()))
}

// sideBySide is how many worlds there are at a time; most of their time goes into waiting.
var sideBySide = 3 * runtime.GOMAXPROCS(0)

// trial is one repair and the lives through which it must go.
type trial struct {
	name   string
	lives  []life
	replay string // how to repeat it
}

// trialAt kills one process after the other at the given points. A later process may come to the end
// before its point.
func trialAt(calls []string, points ...point) trial {
	var lives []life
	var names []string
	for _, p := range points {
		lives, names = append(lives, life{at: p}), append(names, p.String())
	}
	first := "a call that this repair does not have"
	if n := points[0].call; n >= 1 && n <= len(calls) {
		first = calls[n-1]
	}
	at := strings.Join(names, ",")
	return trial{fmt.Sprintf("killed at %s (%s)", at, first), lives, "KILL_AT=" + at + " make test-kill"}
}

// try carries out the trials, several at a time, and compares each with the repair that met no kill.
func try(t *testing.T, of story, want result, trials []trial) {
	t.Helper()
	dir := t.TempDir()
	var g errgroup.Group
	g.SetLimit(sideBySide)
	for i, tr := range trials {
		g.Go(func() error {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			w, err := newWorld(ctx, filepath.Join(dir, fmt.Sprint(i)))
			if err != nil {
				t.Error(err)
				return nil
			}
			w.tell(of)
			got, err := w.carry(ctx, tr.lives...)
			switch {
			case err != nil:
				t.Errorf("%s: %v\nrepeat it by: %s\nlog of the repairer:\n%s", tr.name, err, tr.replay, w.log())
			case got != want:
				t.Errorf("%s: the end differs\ngot\n%s\nwant\n%s\nrepeat it by: %s\nlog of the repairer:\n%s", tr.name, got, want, tr.replay, w.log())
			case w.starts == 1 && len(tr.lives) > 0:
				t.Errorf("%s: it was never killed; its repair had %d calls", tr.name, len(w.calls(1)))
			}
			return nil
		})
	}
	_ = g.Wait() // no trial returns an error
}

// undisturbed is the repair without a kill, and its calls.
func undisturbed(t *testing.T, of story) (result, []string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w, err := newWorld(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w.tell(of)
	r, err := w.carry(ctx)
	if err != nil {
		t.Fatalf("the repair without a kill: %v\n%s", err, w.log())
	}
	return r, w.calls(1)
}

func TestRepairer_KilledAnywhereComesToTheSameEnd(t *testing.T) {
	want, calls := undisturbed(t, swapped)
	t.Logf("a repair has %d calls that change something; it leads to\n%s", len(calls), want)

	if at := os.Getenv(envAt); at != "" {
		var points []point
		for s := range strings.SplitSeq(at, ",") {
			p, err := parsePoint(s)
			if err != nil {
				t.Fatal(err)
			}
			points = append(points, p)
		}
		try(t, swapped, want, []trial{trialAt(calls, points...)})
		return
	}
	var trials []trial
	for call := range calls {
		trials = append(trials, trialAt(calls, point{call + 1, false}), trialAt(calls, point{call + 1, true}))
	}
	twice, outside := 20, 24
	if os.Getenv(envAll) == "" {
		rand.New(rand.NewPCG(1, 1)).Shuffle(len(trials), func(i, j int) { trials[i], trials[j] = trials[j], trials[i] })
		trials, twice, outside = trials[:8], 2, 2
	}
	r := rand.New(rand.NewPCG(2, 2))
	for range twice {
		// The second process goes on where the first one was killed, so what is left decides how far it gets.
		first := point{1 + r.IntN(len(calls)), r.IntN(2) == 1}
		second := point{1 + r.IntN(max(1, len(calls)-first.call)), r.IntN(2) == 1}
		trials = append(trials, trialAt(calls, first, second))
	}
	for range outside {
		var lives []life
		for range 5 {
			lives = append(lives, life{after: time.Duration(20+r.IntN(600)) * time.Millisecond})
		}
		trials = append(trials, trial{fmt.Sprintf("killed from outside after %v", lives), lives, "make test-kill"})
	}
	try(t, swapped, want, trials)
}

// The ways that are not straight: each is killed at all its points, or at a sample.
func TestRepairer_KilledOnASideway(t *testing.T) {
	for _, of := range []story{cancelled, worn} {
		t.Run(string(of), func(t *testing.T) {
			want, calls := undisturbed(t, of)
			t.Logf("it has %d calls that change something; it leads to\n%s", len(calls), want)
			var trials []trial
			for call := range calls {
				trials = append(trials, trialAt(calls, point{call + 1, false}), trialAt(calls, point{call + 1, true}))
			}
			for i := range trials {
				trials[i].replay = "make test-kill"
			}
			if os.Getenv(envAll) == "" {
				rand.New(rand.NewPCG(3, 3)).Shuffle(len(trials), func(i, j int) { trials[i], trials[j] = trials[j], trials[i] })
				trials = trials[:6]
			}
			try(t, of, want, trials)
		})
	}
}
