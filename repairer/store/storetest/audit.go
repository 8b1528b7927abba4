package storetest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"glia/repairer"
)

func wantWhole(t *testing.T, s Store, events uint64) {
	t.Helper()
	if r, err := s.Verify(t.Context()); err != nil || r != (repairer.AuditReport{Events: events}) {
		t.Errorf("verify: %+v, %v; want %d events", r, err, events)
	}
}

func tampering(t *testing.T, b Backend) {
	s := b.open(t)
	if r, err := s.Verify(t.Context()); err != nil || r.Problem != "" {
		t.Fatalf("an empty log: %+v, %v", r, err)
	}
	one := must[repairer.Case](t)(s.Open(t.Context(), Opened("S1")))
	two := must[repairer.Case](t)(s.Open(t.Context(), Opened("S2")))
	must[repairer.Case](t)(s.Append(t.Context(), Waits(one.ID, "for data"), Ended(one.ID)))
	must[repairer.Case](t)(s.Append(t.Context(), Waits(two.ID, "for data")))
	wantWhole(t, s, 5)
	for _, q := range b.Unlock {
		if err := b.Exec(q); err != nil {
			t.Fatal(err)
		}
	}
	// Each is undone before the next.
	for _, tc := range []struct {
		do, undo string
		at       uint64
		problem  string
	}{
		{`UPDATE events SET text = 'for nothing' WHERE seq = 3`, `UPDATE events SET text = 'for data' WHERE seq = 3`, 3, "event 3 was changed"},
		{`UPDATE events SET at = at + 1 WHERE seq = 3`, `UPDATE events SET at = at - 1 WHERE seq = 3`, 3, "event 3 was changed"},
		{`UPDATE events SET epoch = epoch + 1 WHERE seq = 5`, `UPDATE events SET epoch = epoch - 1 WHERE seq = 5`, 5, "event 5 was changed"},
		{`UPDATE events SET case_id = 1 WHERE seq = 5`, `UPDATE events SET case_id = 2 WHERE seq = 5`, 5, "event 5 was changed"},
		{`UPDATE events SET data = 'no json' WHERE seq = 3`, `UPDATE events SET data = '{}' WHERE seq = 3`, 3, "event 3"},
		{`UPDATE events SET prev = 'x' WHERE seq = 2`, `UPDATE events SET prev = (SELECT hash FROM events WHERE seq = 1) WHERE seq = 2`, 2, "event 2 was not written after"},
		{`UPDATE events SET seq = 9 WHERE seq = 5`, `UPDATE events SET seq = 5 WHERE seq = 9`, 9, "what was between them is missing"},
		{`UPDATE cases SET doc = replace(doc, '"S1"', '"S7"') WHERE id = 1`, `UPDATE cases SET doc = replace(doc, '"S7"', '"S1"') WHERE id = 1`, 4, "the row of case c1 is not what its events up to 4 say"},
		{`UPDATE cases SET doc = replace(doc, '"seq":5', '"seq":6') WHERE id = 2`, `UPDATE cases SET doc = replace(doc, '"seq":6', '"seq":5') WHERE id = 2`, 5, "the row of case c2 rests on event 6, and its last event in the log is 5"},
		{`UPDATE cases SET doc = '{' || doc WHERE id = 2`, `UPDATE cases SET doc = substr(doc, 2) WHERE id = 2`, 5, "the row of case c2 can not be read"},
		{`INSERT INTO cases (serial, is_open, doc) VALUES ('S9', 0, '{}')`, `DELETE FROM cases WHERE serial = 'S9'`, 0, "there are 3 cases, and the log opens 2"},
	} {
		if err := b.Exec(tc.do); err != nil {
			t.Fatal(err)
		}
		if r, err := s.Verify(t.Context()); err != nil || r.BrokenAt != tc.at || !strings.Contains(r.Problem, tc.problem) {
			t.Errorf("%s: %+v, %v; want %d, %q", tc.do, r, err, tc.at, tc.problem)
		}
		if err := b.Exec(tc.undo); err != nil {
			t.Fatal(err)
		}
		wantWhole(t, s, 5)
	}
	// The newest event is taken away: the row of its case knows better.
	if err := b.Exec(`DELETE FROM events WHERE seq = 5`); err != nil {
		t.Fatal(err)
	}
	if r, err := s.Verify(t.Context()); err != nil || !strings.Contains(r.Problem, "rests on event 5") {
		t.Errorf("the end was cut off: %+v, %v", r, err)
	}
}

// export checks the chain as somebody would who has nothing but the lines and the rule.
func export(t *testing.T, b Backend) {
	s := b.open(t)
	for i := range 3 {
		c := must[repairer.Case](t)(s.Open(t.Context(), Opened(fmt.Sprint("S", i))))
		var many []repairer.Event
		for range 300 { // more than is read at a time
			many = append(many, Waits(c.ID, `for <"data">`))
		}
		must[repairer.Case](t)(s.Append(t.Context(), many...))
	}
	prev, n := strings.Repeat("0", 64), 0
	err := s.Export(t.Context(), func(line []byte) error {
		n++
		var e struct {
			Seq        int
			Prev, Hash string
		}
		if err := json.Unmarshal(line, &e); err != nil || bytes.ContainsRune(line, '\n') {
			return fmt.Errorf("line %q: %w", line, err)
		}
		cut := bytes.LastIndex(line, []byte(`,"prev":`))
		sum := sha256.Sum256(append([]byte(prev), append(slices.Clone(line[:cut]), '}')...))
		if e.Seq != n || e.Prev != prev || e.Hash != hex.EncodeToString(sum[:]) {
			return fmt.Errorf("line %d: %s does not follow %s", n, line, prev)
		}
		prev = e.Hash
		return nil
	})
	if err != nil || n != 903 {
		t.Fatalf("%d lines, %v", n, err)
	}
	wantWhole(t, s, 903)
	enough := errors.New("enough")
	if err := s.Export(t.Context(), func([]byte) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("the reader went away: %v", err)
	}
}
