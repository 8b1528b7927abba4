package store_test

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"glia"
	"glia/repairer"
	"glia/repairer/store"
)

var at = time.Date(2026, 3, 1, 12, 0, 0, 123, time.UTC)

func open(t *testing.T, path string) *store.SQLite {
	t.Helper()
	s, err := store.OpenSQLite(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func opened(serial string) repairer.Event {
	return repairer.Event{At: at, Kind: repairer.KindOpened, Text: "it failed", Data: repairer.Data{
		Disk: &glia.Disk{Identity: glia.Identity{Serial: serial}}, Verdict: &glia.Verdict{State: glia.StateFailed}, Mode: repairer.ModeAuto}}
}

func ended(id string) repairer.Event {
	return repairer.Event{Case: id, At: at, Kind: repairer.KindEnded, Data: repairer.Data{Phase: repairer.PhaseClosed}}
}

func TestSQLite_KeepsCasesAndTheirLog(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "sub dir", "glia?#.db")
	s := open(t, path)
	c, err := s.Open(t.Context(), opened("S1"))
	if err != nil {
		t.Fatal(err)
	}
	if c, err = s.Append(t.Context(), repairer.Event{Case: c.ID, At: at, Kind: repairer.KindConfirming, Text: "look again"}); err != nil || c.Phase != repairer.PhaseConfirming {
		t.Fatalf("phase %s, %v", c.Phase, err)
	}
	first := s.Epoch()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path)
	if s.Epoch() <= first {
		t.Errorf("epoch %d after %d", s.Epoch(), first)
	}
	again, err := s.Case(t.Context(), c.ID)
	if err != nil || again.Phase != repairer.PhaseConfirming || again.Serial() != "S1" {
		t.Errorf("case %+v, %v", again, err)
	}
	events, err := s.Events(t.Context(), c.ID, 0)
	if err != nil || len(events) != 2 || !events[0].At.Equal(at) || events[0].Epoch != first || events[1].Text != "look again" {
		t.Errorf("events %+v, %v", events, err)
	}
	if later, _ := s.Events(t.Context(), c.ID, events[0].Seq); len(later) != 1 {
		t.Errorf("%d events after the first", len(later))
	}
	// The row is what the log says, and nothing else.
	var folded repairer.Case
	for _, e := range events {
		if folded, err = repairer.Apply(folded, e); err != nil {
			t.Fatal(err)
		}
	}
	if fmt.Sprintf("%+v", folded) != fmt.Sprintf("%+v", again) {
		t.Errorf("folding the log gives\n%+v\nthe row says\n%+v", folded, again)
	}
}

func TestSQLite_OneOpenCaseForASerial(t *testing.T) {
	t.Parallel()
	s := open(t, filepath.Join(t.TempDir(), "db"))
	var wg sync.WaitGroup
	errs := make([]error, 20)
	for i := range errs {
		wg.Go(func() { _, errs[i] = s.Open(t.Context(), opened("S1")) })
	}
	wg.Wait()
	n := 0
	for _, err := range errs {
		switch {
		case err == nil:
			n++
		case !errors.Is(err, repairer.ErrAlreadyOpen):
			t.Error(err)
		}
	}
	if n != 1 {
		t.Fatalf("%d cases were opened", n)
	}
	c, err := s.LastCase(t.Context(), "S1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Append(t.Context(), ended(c.ID)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Append(t.Context(), ended(c.ID)); err == nil {
		t.Error("an event was added to a case that has ended")
	}
	if c, err = s.Open(t.Context(), opened("S1")); err != nil || c.ID != "c2" {
		t.Errorf("a closed case stands in the way of a new one: %v, %v", c.ID, err)
	}
	if retired, _ := s.Retired(t.Context()); !slices.Equal(retired, []string{"S1"}) {
		t.Errorf("retired %v", retired)
	}
}

func TestSQLite_TwoRepairersOnOneDatabase(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "db")
	open(t, path)
	_, err := store.OpenSQLite(t.Context(), path)
	want := fmt.Sprintf("another repairer has it open (process %d on ", os.Getpid())
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Fatalf("got %v, want %q", err, want)
	}
}

func TestSQLite_DeposedWriterIsRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "db")
	s := open(t, path)
	c, err := s.Open(t.Context(), opened("S1"))
	if err != nil {
		t.Fatal(err)
	}
	exec(t, path, `UPDATE epoch SET epoch = epoch + 1`)
	if _, err = s.Append(t.Context(), ended(c.ID)); !errors.Is(err, glia.ErrStaleEpoch) {
		t.Errorf("append: %v", err)
	}
	if _, err = s.AddPause(t.Context(), repairer.Pause{Scope: "fleet"}); !errors.Is(err, glia.ErrStaleEpoch) {
		t.Errorf("pause: %v", err)
	}
	if c, _ = s.Case(t.Context(), c.ID); c.Phase.Ended() {
		t.Error("the refused event was written")
	}
}

func TestSQLite_RefusesWhatItCanNotRead(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		spoil func(t *testing.T, path string)
		want  string
	}{
		"a newer version": {func(t *testing.T, path string) {
			exec(t, path, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, 1)`)
		}, "it is of version 999 and this repairer knows versions up to 1; use the newer repairer"},
		"no database": {func(t *testing.T, path string) {
			write(t, path, []byte("dear diary, this is no database at all, but long enough"))
		}, "restore it from a backup"},
		"a torn page": {func(t *testing.T, path string) {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for i := 8192; i < 16384; i++ {
				b[i] = 0xff
			}
			write(t, path, b)
		}, "damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "db")
			s := open(t, path)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			tc.spoil(t, path)
			before, _ := os.ReadFile(path)
			_, err := store.OpenSQLite(t.Context(), path)
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
			if after, _ := os.ReadFile(path); string(after) != string(before) {
				t.Error("the file was changed")
			}
		})
	}
}

func TestSQLite_LogIsAppendOnly(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "db")
	s := open(t, path)
	if _, err := s.Open(t.Context(), opened("S1")); err != nil {
		t.Fatal(err)
	}
	for _, q := range []string{`DELETE FROM events`, `UPDATE events SET text = 'nothing happened'`} {
		if _, err := s.DB().ExecContext(t.Context(), q); err == nil {
			t.Errorf("%s was allowed", q)
		}
	}
}

func TestSQLite_Pauses(t *testing.T) {
	t.Parallel()
	s := open(t, filepath.Join(t.TempDir(), "db"))
	add := func(scope string, until time.Time) {
		if _, err := s.AddPause(t.Context(), repairer.Pause{Scope: scope, Owner: "ops", Reason: "r", Since: at, Until: until}); err != nil {
			t.Fatal(err)
		}
	}
	add("fleet", time.Time{})
	add("fleet", at.Add(time.Hour))
	add("host:a", time.Time{})
	in := func(now time.Time) int {
		p, err := s.Pauses(t.Context(), now)
		if err != nil {
			t.Fatal(err)
		}
		return len(p)
	}
	if in(at) != 3 || in(at.Add(time.Hour)) != 2 {
		t.Errorf("%d now, %d in an hour", in(at), in(at.Add(time.Hour)))
	}
	ended, err := s.EndPauses(t.Context(), "fleet", "ops", at)
	if err != nil || len(ended) != 2 || in(at) != 1 {
		t.Errorf("ended %v, %v; %d left", ended, err, in(at))
	}
}

func TestSQLite_ChangedTellsOfEveryWrite(t *testing.T) {
	t.Parallel()
	s := open(t, filepath.Join(t.TempDir(), "db"))
	changed := s.Changed()
	select {
	case <-changed:
		t.Fatal("nothing was written")
	default:
	}
	if _, err := s.Open(t.Context(), opened("S1")); err != nil {
		t.Fatal(err)
	}
	<-changed
}

// exec changes the database behind the store's back.
func exec(t *testing.T, path, query string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if _, err := db.ExecContext(t.Context(), query); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}
