// Package storetest is the contract of repairer.Store as tests, run over every backend.
package storetest

import (
	"database/sql"
	"testing"
	"time"

	"glia"
	"glia/repairer"
	"glia/repairer/notify"
)

// Store is what every backend can do.
type Store interface {
	repairer.Store
	repairer.Auditor
	notify.Log
	DB() *sql.DB
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
		"TellsTheWholeLog":          wholeLog,
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
