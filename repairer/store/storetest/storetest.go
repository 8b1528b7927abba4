// Package storetest is the contract of repairer.Store as tests, run over every backend.
package storetest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"glia"
	"glia/repairer"
)

// Store is what every backend can do.
type Store interface {
	repairer.Store
	repairer.Auditor
	Close() error
}

// Backend is one empty database, for one test.
type Backend struct {
	Open     func() (Store, error)
	Exec     func(query string) error // changes the database behind the store's back
	Unlock   []string                 // lets the log be tampered with
	Deposing string                   // what another repairer that takes over does
	Ending   string                   // and what it does when it ends
}

// At is the time of the events of the tests.
var At = time.Date(2026, 3, 1, 12, 0, 0, 123, time.UTC)

// Opened opens a case for a disk.
func Opened(serial string) repairer.Event {
	return repairer.Event{At: At, Kind: repairer.KindOpened, Text: "it failed", Data: repairer.Data{
		Disk: &glia.Disk{Identity: glia.Identity{Serial: serial}}, Verdict: &glia.Verdict{State: glia.StateFailed}, Mode: repairer.ModeAuto}}
}

// Ended closes a case.
func Ended(id string) repairer.Event {
	return repairer.Event{Case: id, At: At, Kind: repairer.KindEnded, Data: repairer.Data{Phase: repairer.PhaseClosed}}
}

// Waits is an event that changes little, for a case in any phase.
func Waits(id, text string) repairer.Event {
	return repairer.Event{Case: id, At: At, Kind: repairer.KindWaits, Step: "drain", Text: text}
}

// Run runs the contract. Each test gets a database of its own.
func Run(t *testing.T, fresh func(*testing.T) Backend) {
	for name, test := range map[string]func(*testing.T, Backend){
		"KeepsCasesAndTheirLog":     keepsCases,
		"OneOpenCaseForASerial":     oneOpenCase,
		"DeposedWriterIsRefused":    deposedIsRefused,
		"MovedCaseIsRefused":        movedIsRefused,
		"CasesSinceAnEvent":         casesSince,
		"NewDatabaseIsAhead":        newIsAhead,
		"LogIsAppendOnly":           appendOnly,
		"Pauses":                    pauses,
		"Values":                    values,
		"ValuesOfManyAtOnce":        valuesAtOnce,
		"ChangedTellsOfEveryWrite":  changedTells,
		"AppendIsAllOrNothing":      allOrNothing,
		"TakesAnyText":              anyText,
		"SequenceHasNoGaps":         noGaps,
		"AuditFindsWhatWasTampered": tampering,
		"ExportCanBeCheckedAlone":   export,
		"ActsOfNoCaseAreInTheLog":   actsOfNoCase,
		"ForgivesUntilItFailsAgain": forgives,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, fresh(t))
		})
	}
}

func (b Backend) open(t *testing.T) Store {
	t.Helper()
	s, err := b.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func keepsCases(t *testing.T, b Backend) {
	s := b.open(t)
	c := must[repairer.Case](t)(s.Open(t.Context(), Opened("S1")))
	c, err := s.Append(t.Context(), repairer.Event{Case: c.ID, At: At, Kind: repairer.KindConfirming, Text: "look again"})
	if err != nil || c.Phase != repairer.PhaseConfirming {
		t.Fatalf("phase %s, %v", c.Phase, err)
	}
	first := s.Epoch()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = b.open(t)
	if s.Epoch() <= first {
		t.Errorf("epoch %d after %d", s.Epoch(), first)
	}
	again, err := s.Case(t.Context(), c.ID)
	if err != nil || fmt.Sprintf("%+v", again) != fmt.Sprintf("%+v", c) {
		t.Errorf("case\n%+v, %v; it was\n%+v", again, err, c)
	}
	events, err := s.Events(t.Context(), c.ID, 0)
	if err != nil || len(events) != 2 || !events[0].At.Equal(At) || events[0].Epoch != first || events[1].Text != "look again" {
		t.Errorf("events %+v, %v", events, err)
	}
	if later, _ := s.Events(t.Context(), c.ID, events[0].Seq); len(later) != 1 {
		t.Errorf("%d events after the first", len(later))
	}
	if _, err := s.Case(t.Context(), "c99"); !errors.Is(err, glia.ErrNotFound) {
		t.Errorf("no such case: %v", err)
	}
	if _, err := s.LastCase(t.Context(), "S9"); !errors.Is(err, glia.ErrNotFound) {
		t.Errorf("no case of such a serial: %v", err)
	}
}

func oneOpenCase(t *testing.T, b Backend) {
	s := b.open(t)
	var wg sync.WaitGroup
	errs := make([]error, 20)
	for i := range errs {
		wg.Go(func() { _, errs[i] = s.Open(t.Context(), Opened("S1")) })
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
	c := must[repairer.Case](t)(s.LastCase(t.Context(), "S1"))
	must[repairer.Case](t)(s.Append(t.Context(), Ended(c.ID)))
	if _, err := s.Append(t.Context(), Ended(c.ID)); err == nil {
		t.Error("an event was added to a case that has ended")
	}
	if c, err := s.Open(t.Context(), Opened("S1")); err != nil || c.ID != "c2" {
		t.Errorf("a closed case stands in the way of a new one: %v, %v", c.ID, err)
	}
	if retired, _ := s.Retired(t.Context()); !slices.Equal(retired, []string{"S1"}) {
		t.Errorf("retired %v", retired)
	}
	open, all := must[[]repairer.Case](t)(s.Cases(t.Context(), false)), must[[]repairer.Case](t)(s.Cases(t.Context(), true))
	if len(open) != 1 || len(all) != 2 || all[1].ID != "c2" {
		t.Errorf("%d open, %d in all", len(open), len(all))
	}
}

func deposedIsRefused(t *testing.T, b Backend) {
	s := b.open(t)
	c := must[repairer.Case](t)(s.Open(t.Context(), Opened("S1")))
	if err := b.Exec(b.Deposing); err != nil {
		t.Fatal(err)
	}
	for what, write := range map[string]func() error{
		"open":       func() error { _, err := s.Open(t.Context(), Opened("S2")); return err },
		"append":     func() error { _, err := s.Append(t.Context(), Ended(c.ID)); return err },
		"pause":      func() error { _, err := s.AddPause(t.Context(), repairer.Pause{Scope: "fleet"}); return err },
		"end pauses": func() error { _, err := s.EndPauses(t.Context(), "fleet", "ops", "r", At); return err },
		"set":        func() error { return s.Set(t.Context(), "k", "v", repairer.Event{}) },
		"forgive":    func() error { return s.Forgive(t.Context(), "S1", repairer.Event{}) },
		"current":    func() error { return s.Current(t.Context(), c.ID, c.Seq) },
	} {
		if err := write(); !errors.Is(err, glia.ErrStaleEpoch) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if all, err := s.Cases(t.Context(), true); err != nil || len(all) != 1 || all[0].Phase.Ended() {
		t.Errorf("the refused events were written: %+v, %v", all, err)
	}
}

// movedIsRefused makes a decision on a case that has moved on since it was read.
func movedIsRefused(t *testing.T, b Backend) {
	s := b.open(t)
	c := must[repairer.Case](t)(s.Open(t.Context(), Opened("S1")))
	must[repairer.Case](t)(s.Open(t.Context(), Opened("S2"))) // another case moves nothing
	decided := Waits(c.ID, "decided on the newest event")
	decided.After = c.Seq
	if err := s.Current(t.Context(), c.ID, c.Seq); err != nil {
		t.Errorf("the newest event: %v", err)
	}
	after, err := s.Append(t.Context(), decided, Waits(c.ID, "and more"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Append(t.Context(), decided); !errors.Is(err, repairer.ErrMoved) {
		t.Errorf("decided on event %d, when %d was the newest: %v", c.Seq, after.Seq, err)
	}
	for id, seq := range map[string]uint64{c.ID: c.Seq, "c99": 1} {
		if err := s.Current(t.Context(), id, seq); !errors.Is(err, repairer.ErrMoved) {
			t.Errorf("event %d of %s: %v", seq, id, err)
		}
	}
	if _, err := s.Append(t.Context(), Waits(c.ID, "holds whatever came before")); err != nil {
		t.Error(err)
	}
	wantWhole(t, s, 5)
}

// casesSince follows the log as a memory of the cases does.
func casesSince(t *testing.T, b Backend) {
	s := b.open(t)
	since := func(seq uint64) (out string) {
		for _, c := range must[[]repairer.Case](t)(s.CasesSince(t.Context(), seq)) {
			out += fmt.Sprintf("%s at %d, ", c.ID, c.Seq)
		}
		return out
	}
	if got := since(0); got != "" {
		t.Errorf("of an empty log: %s", got)
	}
	one, two := must[repairer.Case](t)(s.Open(t.Context(), Opened("S1"))), must[repairer.Case](t)(s.Open(t.Context(), Opened("S2")))
	must[repairer.Case](t)(s.Append(t.Context(), Waits(two.ID, "x")))
	must[repairer.Case](t)(s.Append(t.Context(), Waits(one.ID, "y"), Ended(one.ID)))
	for seq, want := range map[uint64]string{0: "c1 at 5, c2 at 3, ", 3: "c1 at 5, c2 at 3, ", 4: "c1 at 5, ", 5: "c1 at 5, ", 6: ""} {
		if got := since(seq); got != want {
			t.Errorf("since %d: %q, want %q", seq, got, want)
		}
	}
	for i := range 300 { // more than are decoded at a time
		must[repairer.Case](t)(s.Open(t.Context(), Opened(fmt.Sprint("N", i))))
	}
	var each []repairer.Case
	if err := s.EachCase(t.Context(), func(c repairer.Case) { each = append(each, c) }); err != nil {
		t.Fatal(err)
	}
	if all := must[[]repairer.Case](t)(s.Cases(t.Context(), true)); len(all) != 302 || !reflect.DeepEqual(each, all) {
		t.Errorf("%d cases one by one, %d at once", len(each), len(all))
	}
	for i, c := range each {
		if c.ID != fmt.Sprint("c", i+1) {
			t.Fatalf("case %s is at place %d", c.ID, i)
		}
	}
}

// newIsAhead: the hands have heard the epochs of the database whose place a new one takes.
func newIsAhead(t *testing.T, b Backend) {
	s := b.open(t)
	first := s.Epoch()
	if before := uint64(time.Now().Add(-time.Minute).Unix()); first < before {
		t.Errorf("a new database begins with epoch %d; one that was made a minute ago with %d", first, before)
	}
	newest := func(want uint64) {
		t.Helper()
		if n, err := s.Newest(t.Context()); err != nil || n != want || s.Held() != nil {
			t.Errorf("the newest epoch is %d, %v; want %d; held: %v", n, err, want, s.Held())
		}
	}
	newest(first)
	if err := b.Exec(b.Deposing); err != nil {
		t.Fatal(err)
	}
	newest(first + 1)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := b.Exec(b.Ending); err != nil {
		t.Fatal(err)
	}
	if s = b.open(t); s.Epoch() != first+2 {
		t.Errorf("an old database goes on with epoch %d after %d", s.Epoch(), first+1)
	}
}

func appendOnly(t *testing.T, b Backend) {
	s := b.open(t)
	must[repairer.Case](t)(s.Open(t.Context(), Opened("S1")))
	for _, q := range []string{`DELETE FROM events`, `UPDATE events SET text = 'nothing happened'`} {
		if err := b.Exec(q); err == nil || !strings.Contains(err.Error(), "the log is append-only") {
			t.Errorf("%s: %v", q, err)
		}
	}
}

func pauses(t *testing.T, b Backend) {
	s := b.open(t)
	add := func(scope string, until time.Time) {
		must[repairer.Pause](t)(s.AddPause(t.Context(), repairer.Pause{Scope: scope, Owner: "ops", Reason: "r", Since: At, Until: until}))
	}
	add("fleet", time.Time{})
	add("fleet", At.Add(time.Hour))
	add("host:a", time.Time{})
	in := func(now time.Time) int { return len(must[[]repairer.Pause](t)(s.Pauses(t.Context(), now))) }
	if in(At) != 3 || in(At.Add(time.Hour)) != 2 {
		t.Errorf("%d now, %d in an hour", in(At), in(At.Add(time.Hour)))
	}
	ended, err := s.EndPauses(t.Context(), "fleet", "ops", "r", At)
	if err != nil || len(ended) != 2 || in(At) != 1 {
		t.Errorf("ended %v, %v; %d left", ended, err, in(At))
	}
}

func values(t *testing.T, b Backend) {
	s := b.open(t)
	if _, err := s.Get(t.Context(), "breaker"); !errors.Is(err, glia.ErrNotFound) {
		t.Errorf("before it was set: %v", err)
	}
	for _, want := range []string{"open", "shut"} {
		if err := s.Set(t.Context(), "breaker", want, repairer.Event{At: At, Text: "why"}); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Get(t.Context(), "breaker"); err != nil || got != want {
			t.Errorf("got %q, %v", got, err)
		}
	}
}

// valuesAtOnce: each writer knows the newest value of its own key, and all fight for one key more.
func valuesAtOnce(t *testing.T, b Backend) {
	s := b.open(t)
	last := map[string]string{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i, key := range []string{"breaker", "storm", "flap/N1S2", "it's \"%\" \\ ключ"} {
		wg.Go(func() {
			for n := range 10 {
				value := fmt.Sprintf(`{"n":%d,"key":%q}`, n, key)
				if err := s.Set(t.Context(), key, value, repairer.Event{At: At, Text: "why"}); err != nil {
					t.Error(err)
				}
				if got, err := s.Get(t.Context(), key); err != nil || got != value {
					t.Errorf("%s: %q, %v; want %q", key, got, err, value)
				}
				if err := s.Set(t.Context(), "shared", strings.Repeat(fmt.Sprint(i), 10_000), repairer.Event{At: At}); err != nil {
					t.Error(err)
				}
				mu.Lock()
				last[key] = value
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if got := must[string](t)(s.Get(t.Context(), "shared")); len(got) != 10_000 || strings.Trim(got, got[:1]) != "" {
		t.Errorf("%d bytes, of several writers", len(got))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = b.open(t)
	if err := b.Exec(b.Deposing); err != nil {
		t.Fatal(err)
	}
	for key, want := range last {
		if err := s.Set(t.Context(), key, "of a deposed one", repairer.Event{At: At}); !errors.Is(err, glia.ErrStaleEpoch) {
			t.Errorf("a deposed repairer sets %s: %v", key, err)
		}
		if got, err := s.Get(t.Context(), key); err != nil || got != want {
			t.Errorf("%s after a restart: %q, %v; want %q", key, got, err, want)
		}
	}
}

func changedTells(t *testing.T, b Backend) {
	s := b.open(t)
	changed := s.Changed()
	select {
	case <-changed:
		t.Fatal("nothing was written")
	default:
	}
	must[repairer.Case](t)(s.Open(t.Context(), Opened("S1")))
	<-changed
}

func allOrNothing(t *testing.T, b Backend) {
	s := b.open(t)
	c := must[repairer.Case](t)(s.Open(t.Context(), Opened("S1")))
	if _, err := s.Append(t.Context(), Waits(c.ID, "fits"), Waits("c99", "does not")); err == nil {
		t.Fatal("events of two cases were appended to one")
	}
	if events := must[[]repairer.Event](t)(s.Events(t.Context(), c.ID, 0)); len(events) != 1 {
		t.Errorf("%d events", len(events))
	}
	wantWhole(t, s, 1)
}

func anyText(t *testing.T, b Backend) {
	s := b.open(t)
	c := must[repairer.Case](t)(s.Open(t.Context(), Opened("S1\x00")))
	if last, err := s.LastCase(t.Context(), "S1\x00"); err != nil || last.ID != c.ID {
		t.Errorf("by a serial with a NUL: %s, %v", last.ID, err)
	}
	e := Waits(c.ID, "bad \x00\xff\xfe <&> \u2028 \"quoted\"")
	e.Data.Output, e.At = "binary \x00\xff", At.In(time.FixedZone("x", 3600))
	c = must[repairer.Case](t)(s.Append(t.Context(), e))
	if c.Steps["drain"].Error != "bad \uFFFD\uFFFD <&> \u2028 \"quoted\"" {
		t.Errorf("text %q", c.Steps["drain"].Error)
	}
	wantWhole(t, s, 2)
}

func noGaps(t *testing.T, b Backend) {
	s := b.open(t)
	c := must[repairer.Case](t)(s.Open(t.Context(), Opened("S1")))
	var wg sync.WaitGroup
	for i := range 10 {
		wg.Go(func() {
			if _, err := s.Append(t.Context(), Waits(c.ID, fmt.Sprint("a", i)), Waits(c.ID, fmt.Sprint("b", i))); err != nil {
				t.Error(err)
			}
			if _, err := s.Append(t.Context(), Waits(c.ID, "no"), Waits("c99", "no")); err == nil {
				t.Error("accepted")
			}
		})
	}
	wg.Wait()
	for i, e := range must[[]repairer.Event](t)(s.Events(t.Context(), c.ID, 0)) {
		if e.Seq != uint64(i+1) {
			t.Errorf("event %d has the number %d", i+1, e.Seq)
		}
	}
	wantWhole(t, s, 21)
}

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
