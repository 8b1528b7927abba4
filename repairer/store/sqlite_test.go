package store_test

import (
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"glia/repairer/store"
	"glia/repairer/store/storetest"
)

func open(t *testing.T, path string) *store.SQLite {
	t.Helper()
	s, err := store.OpenSQLite(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestSQLite_Contract(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) storetest.Backend {
		path := filepath.Join(t.TempDir(), "sub dir", "glia?#.db")
		uri := "file:" + (&url.URL{Path: path}).EscapedPath()
		return storetest.Backend{
			Open:     func() (storetest.Store, error) { return store.OpenSQLite(t.Context(), path) },
			Exec:     func(query string) error { return execute(t, uri, query) },
			Unlock:   []string{`DROP TRIGGER events_stay`, `DROP TRIGGER events_are_kept`},
			Deposing: `UPDATE epoch SET epoch = epoch + 1`,
			Ending:   `SELECT 1`,
		}
	})
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

func TestSQLite_RefusesWhatItCanNotRead(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		spoil func(t *testing.T, path string)
		want  string
	}{
		"a newer version": {func(t *testing.T, path string) {
			exec(t, path, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, 1)`)
		}, "it is of version 999 and this repairer knows versions up to 8; use the newer repairer"},
		"no database": {func(t *testing.T, path string) {
			write(t, path, []byte("dear diary, this is no database at all, but long enough"))
		}, "restore it from a backup"},
		"half of it": {func(t *testing.T, path string) {
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(path, info.Size()/2); err != nil {
				t.Fatal(err)
			}
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

// exec changes the database behind the store's back.
func exec(t *testing.T, path, query string) {
	t.Helper()
	if err := execute(t, path, query); err != nil {
		t.Fatal(err)
	}
}

func execute(t *testing.T, uri, query string) error {
	db, err := sql.Open("sqlite", uri)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	_, err = db.ExecContext(t.Context(), query)
	return err
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}
