package store_test

import (
	"errors"
	"path/filepath"
	"testing"

	"glia"
	"glia/repairer"
	"glia/repairer/store"
)

func TestSQLite_KeepsTheNewestValueOfAKey(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "db")
	s, err := store.OpenSQLite(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), "breaker"); !errors.Is(err, glia.ErrNotFound) {
		t.Errorf("before it was set: %v", err)
	}
	for _, v := range []string{"one", "two"} {
		if err := s.Set(t.Context(), "breaker", v, repairer.Event{Text: "for people"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = store.OpenSQLite(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if v, err := s.Get(t.Context(), "breaker"); err != nil || v != "two" {
		t.Errorf("after a restart: %q, %v", v, err)
	}
	if _, err := s.DB().ExecContext(t.Context(), `UPDATE epoch SET epoch = epoch + 1`); err != nil {
		t.Fatal(err)
	}
	if err := s.Set(t.Context(), "breaker", "three", repairer.Event{}); !errors.Is(err, glia.ErrStaleEpoch) {
		t.Errorf("a deposed repairer: %v", err)
	}
}
