package repairer_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"glia"
	"glia/repairer"
	"glia/repairer/store"
)

// surveyor is a driver that only makes surveys.
type surveyor struct {
	repairer.Driver
	made int
	says []string
}

func (s *surveyor) Survey(context.Context) []string { s.made++; return s.says }

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
