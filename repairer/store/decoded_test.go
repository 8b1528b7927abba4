package store_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"glia/repairer/store/storetest"
)

// A row that somebody has changed behind the store's back is never answered from memory.
func TestSQLite_ReadsWhatTheRowSaysNow(t *testing.T) {
	t.Parallel()
	s := open(t, filepath.Join(t.TempDir(), "db"))
	c, err := s.Open(t.Context(), storetest.Opened("S1"))
	if err != nil {
		t.Fatal(err)
	}
	change := func(query string) {
		t.Helper()
		if _, err := s.DB().ExecContext(t.Context(), query); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if got, err := s.Case(t.Context(), c.ID); err != nil || got.Serial() != "S1" {
			t.Errorf("case of %s, %v", got.Serial(), err)
		}
		change(`UPDATE cases SET doc = replace(doc, '"S1"', '"S7"')`)
		if got, err := s.Case(t.Context(), c.ID); err != nil || got.Serial() != "S7" {
			t.Errorf("after the change: case of %s, %v", got.Serial(), err)
		}
		change(`UPDATE cases SET doc = '{' || doc`)
		if _, err := s.Case(t.Context(), c.ID); err == nil {
			t.Error("a row that can not be read gives a case")
		}
		change(`UPDATE cases SET doc = replace(substr(doc, 2), '"S7"', '"S1"')`)
	}
}

func TestSQLite_TellsMoreCasesApartThanItKeeps(t *testing.T) {
	t.Parallel()
	s := open(t, filepath.Join(t.TempDir(), "db"))
	for i := range 150 {
		if _, err := s.Open(t.Context(), storetest.Opened(fmt.Sprint("S", i+1))); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		for i := range 150 {
			id, serial := fmt.Sprint("c", i+1), fmt.Sprint("S", i+1)
			if c, err := s.Case(t.Context(), id); err != nil || c.ID != id || c.Serial() != serial {
				t.Fatalf("case %s of %s, want %s: %v", c.ID, c.Serial(), serial, err)
			}
		}
	}
}
