package store_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"glia/repairer"
)

// version1 is what the first release made: its schema without hashes, and a log of three events.
func version1(t *testing.T, path string) {
	t.Helper()
	schema, err := os.ReadFile("migrations/sqlite/00001_cases.sql")
	if err != nil {
		t.Fatal(err)
	}
	up, _, _ := strings.Cut(string(schema), "-- +goose Down")
	opened := `{"store":"ab","disk":{"identity":{"serial":"S1"}},"verdict":{"state":"failed"},"mode":"auto"}`
	exec(t, path, up+`
		CREATE TABLE goose_db_version (id INTEGER PRIMARY KEY AUTOINCREMENT, version_id INTEGER NOT NULL, is_applied INTEGER NOT NULL, tstamp TIMESTAMP DEFAULT (datetime('now')));
		INSERT INTO goose_db_version (version_id, is_applied) VALUES (0, 1), (1, 1);
		INSERT INTO cases (serial, is_open, doc) VALUES ('S1', 1, '{"id":"c1","store":"ab","phase":"opened","mode":"auto","disk":{"identity":{"serial":"S1"}},"verdict":{"state":"failed"},`+
		`"opened_at":"1970-01-01T00:00:00.000000005Z","updated_at":"1970-01-01T00:00:00.000000007Z","seq":3,"steps":{"drain":{"error":"for data","at":"0001-01-01T00:00:00Z"}}}');
		INSERT INTO events (case_id, at, epoch, kind, step, text, data) VALUES (1, 5, 1, 'opened', '', 'it failed', '`+opened+`'),
			(1, 6, 1, 'waits', 'drain', 'for people', '{}'), (1, 7, 1, 'waits', 'drain', 'for data', '{}');`)
}

// Rows that an older version derived from the log, with less in them, are derived anew.
func TestSQLite_DerivesOldRowsAnew(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "db")
	version1(t, path)
	exec(t, path, `INSERT INTO events (case_id, at, epoch, kind, step, text, data) VALUES (1, 8, 1, 'approved', '', 'by ann', '{"approval":{"hash":"h","person":"ann","at":"1970-01-01T00:00:00Z"}}');
		UPDATE cases SET doc = replace(doc, '"seq":3', '"seq":4,"approval":{"hash":"h","person":"ann","at":"1970-01-01T00:00:00Z"}')`)
	s := open(t, path)
	if c, err := s.Case(t.Context(), "c1"); err != nil || len(c.Approvals) != 1 || c.Approvals[0].Person != "ann" {
		t.Errorf("approvals %+v, %v", c.Approvals, err)
	}
	if r, err := s.Verify(t.Context()); err != nil || r != (repairer.AuditReport{Events: 4}) {
		t.Errorf("verify: %+v, %v", r, err)
	}
}

func TestSQLite_ChainsALogOfVersion1(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "db")
	version1(t, path)
	s := open(t, path)
	if _, err := s.Append(t.Context(), repairer.Event{Case: "c1", Kind: repairer.KindWaits, Step: "drain", Text: "more"}); err != nil {
		t.Fatal(err)
	}
	if r, err := s.Verify(t.Context()); err != nil || r != (repairer.AuditReport{Events: 4}) {
		t.Errorf("verify: %+v, %v", r, err)
	}
	if err := execute(t, path, `UPDATE events SET text = 'x'`); err == nil || !strings.Contains(err.Error(), "append-only") {
		t.Errorf("the log is no longer append-only: %v", err)
	}
}
