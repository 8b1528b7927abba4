package repairer_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	"glia"
	gliav1 "glia/api/glia/v1"
	"glia/internal/sim"
	"glia/repairer"
	"glia/repairer/store"
)

// surveyor is a driver that only makes surveys.
type surveyor struct {
	repairer.Driver
	made int
	says []string
}

func (s *surveyor) Survey(context.Context) repairer.Survey {
	s.made++
	return repairer.Survey{Findings: s.says}
}

func TestEngine_ShowsWhatSurveysFind(t *testing.T) {
	t.Parallel()
	s, err := store.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "glia.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	now := time.Unix(1e9, 0)
	one := &surveyor{says: []string{"osd.7 is on no disk", "a disk is of no OSD"}}
	e := repairer.New(repairer.Options{
		Store: s, Feed: empty{&now}, Drivers: map[string]repairer.Driver{"": one, "ceph": one}, MaxViewAge: time.Minute,
		Now: func() time.Time { return now }, Log: slog.New(slog.DiscardHandler),
	})
	for _, tt := range []struct {
		after time.Duration
		made  int
		want  []string
	}{
		{0, 1, []string{"a disk is of no OSD", "osd.7 is on no disk"}},
		{59 * time.Minute, 1, []string{"a disk is of no OSD", "osd.7 is on no disk"}},
		{time.Minute, 2, nil},
	} {
		now = now.Add(tt.after)
		if err := e.TickOnce(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := e.Findings(); one.made != tt.made || !slices.Equal(got, tt.want) {
			t.Errorf("after %s: %d surveys, findings %q", tt.after, one.made, got)
		}
		one.says = nil
	}
}

// empty is a fleet without hosts.
type empty struct{ now *time.Time }

func (f empty) View() (glia.FleetView, error) { return glia.FleetView{At: *f.now}, nil }

func TestSeconded_StoragesConfirmAndNeverCondemn(t *testing.T) {
	t.Parallel()
	reason := func(class glia.EvidenceClass, state glia.State) glia.Reason {
		return glia.Reason{Class: class, State: state}
	}
	verdict := func(state glia.State, reasons ...glia.Reason) glia.Verdict {
		return glia.Verdict{State: state, Reasons: reasons}
	}
	strong, weak := reason(glia.Storage, glia.StateFailing), reason(glia.Storage, glia.StateSuspect)
	for _, tt := range []struct {
		name      string
		v         glia.Verdict
		said      []glia.Reason
		witnesses int
		reasons   int
	}{
		{"nothing is said", verdict(glia.StateFailing, reason(glia.Media, glia.StateFailing)), nil, 1, 1},
		{"a failing disk", verdict(glia.StateFailing, reason(glia.Media, glia.StateFailing)), []glia.Reason{strong}, 2, 2},
		{"what is weak is shown and counts for nothing", verdict(glia.StateFailing, reason(glia.Media, glia.StateFailing)), []glia.Reason{weak}, 1, 2},
		{"many voices of the storage are one witness", verdict(glia.StateFailing, reason(glia.Media, glia.StateFailing)), []glia.Reason{strong, strong, weak}, 2, 4},
		{"the nerve has it from the storage, too", verdict(glia.StateFailing, reason(glia.Storage, glia.StateFailing)), []glia.Reason{strong}, 1, 2},
		{"a healthy disk", verdict(glia.StateHealthy), []glia.Reason{strong}, 0, 0},
		{"a suspect", verdict(glia.StateSuspect, reason(glia.Media, glia.StateSuspect)), []glia.Reason{strong}, 0, 1},
		{"a bad cable", verdict(glia.StateSuspect, reason(glia.Interface, glia.StateFailing)), []glia.Reason{strong}, 0, 1},
		{"an unknown one", verdict(glia.StateUnknown), []glia.Reason{strong}, 0, 0},
	} {
		got := repairer.Seconded(tt.v, tt.said)
		if got.State != tt.v.State || len(got.Witnesses()) != tt.witnesses || len(got.Reasons) != tt.reasons {
			t.Errorf("%s: %+v", tt.name, got)
		}
	}
}

// opinionated is a driver whose storage has something against a disk.
type opinionated struct {
	repairer.Driver
	against map[string][]glia.Reason
}

func (o *opinionated) Survey(context.Context) repairer.Survey {
	return repairer.Survey{Reasons: o.against}
}

func TestEngine_TakesTheStorageForTheSecondWitness(t *testing.T) {
	t.Parallel()
	says := func(state glia.State) []glia.Reason {
		return []glia.Reason{{Rule: "ceph.scrub_errors", Class: glia.Storage, State: state, Evidence: glia.Evidence{Detail: "osd.3 has mended 7 copies"}}}
	}
	for _, tt := range []struct {
		name    string
		says    glia.State
		starts  bool
		explain string
	}{
		{"strong", glia.StateFailing, true, "Its storage says (storage; seconds the verdict) at "},
		{"weak", glia.StateSuspect, false, "Its storage says (storage; shown, and no witness) at "},
	} {
		w := newWorld(t, func(o *repairer.Options) {
			o.Drivers[""] = &opinionated{o.Drivers[""], map[string][]glia.Reason{"N1S2": says(tt.says), "N1S1": says(glia.StateFailing)}}
		})
		w.ticks(2) // the storage is asked before anything fails, and condemns no disk
		if cases, _ := w.store.Cases(t.Context(), true); len(cases) != 0 {
			t.Fatalf("cases %v", cases)
		}
		w.fleet.Do("node-1", func(h *sim.Host) {
			h.Slots["2"].Fail()
			h.Slots["2"].Witnesses = []glia.EvidenceClass{glia.Media}
		})
		c := w.until("N1S2", "started or held", func(c repairer.Case) bool { return c.Started || len(c.Refusals) > 0 })
		if c.Started != tt.starts {
			t.Errorf("%s: started %t, refusals %v", tt.name, c.Started, c.Refusals)
		}
		r, err := repairer.NewService(w.engine, nil).Explain(t.Context(), connect.NewRequest(&gliav1.ExplainRequest{Serial: "N1S2"}))
		if err != nil || !strings.Contains(strings.Join(r.Msg.GetLines(), "\n"), tt.explain) {
			t.Errorf("%s: %q, %v", tt.name, r.Msg.GetLines(), err)
		}
	}
}

// stuck is one whose storage does not answer from the second survey on.
type stuck struct {
	*opinionated
	made           int
	entered, leave chan struct{}
}

func (s *stuck) Survey(ctx context.Context) repairer.Survey {
	if s.made++; s.made == 2 {
		close(s.entered)
		<-s.leave
	}
	return s.opinionated.Survey(ctx)
}

func TestEngine_ForgetsWhatTheStorageSaidBeforeItHung(t *testing.T) {
	t.Parallel()
	says := []glia.Reason{{Rule: "ceph.scrub_errors", Class: glia.Storage, State: glia.StateFailing, Evidence: glia.Evidence{Detail: "osd.3 has mended 7 copies"}}}
	s := &stuck{entered: make(chan struct{}), leave: make(chan struct{})}
	w := newWorld(t, func(o *repairer.Options) {
		s.opinionated = &opinionated{o.Drivers[""], map[string][]glia.Reason{"N1S2": says}}
		o.Drivers[""] = s
	})
	told := func() bool {
		t.Helper()
		r, err := repairer.NewService(w.engine, nil).Explain(t.Context(), connect.NewRequest(&gliav1.ExplainRequest{Serial: "N1S2"}))
		if err != nil {
			t.Fatal(err)
		}
		return strings.Contains(strings.Join(r.Msg.GetLines(), "\n"), "Its storage says")
	}
	w.ticks(2)
	if !told() {
		t.Fatal("what the storage says is not told")
	}
	w.now = w.now.Add(time.Hour)
	hung := make(chan error, 1)
	go func() { hung <- w.engine.TickOnce(t.Context()) }()
	<-s.entered
	for range 3 {
		w.now = w.now.Add(time.Hour)
		w.tick()
	}
	if told() {
		t.Error("what the storage said four hours ago still speaks against the disk")
	}
	close(s.leave)
	if err := <-hung; err != nil {
		t.Error(err)
	}
}
