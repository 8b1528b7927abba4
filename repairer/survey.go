package repairer

import (
	"context"
	"slices"
	"time"

	"glia"
)

// Surveyor is a driver that compares its storage with the disks of the fleet.
type Surveyor interface {
	// Survey asks the storage and the nerves of its hosts, which may take a minute. It changes nothing.
	Survey(ctx context.Context) Survey
}

// Survey is what a storage says beyond the cases.
type Survey struct {
	// Findings say where the storage and the disks do not agree, and what can not be asked, one sentence each.
	Findings []string
	// Reasons are what the storage itself has against disks, by serial. They are of class storage, and of the
	// state failing where they may stand beside another witness.
	Reasons map[string][]glia.Reason
}

// surveyTask is what a survey is claimed by; no case has such an id.
const surveyTask = "survey"

// surveyEvery is the time from one survey to the next. Each reads all disks of the hosts.
const surveyEvery = time.Hour

// surveyed is what the last survey found. Engine.mu protects it.
type surveyed struct {
	due      time.Time // when the next one is to be begun; zero: at once
	at       time.Time // when the one that is kept was begun, which the one that runs now is not; zero: there is none
	findings []string
	reasons  map[string][]glia.Reason // by serial
}

// surveyDue says whether a survey is to be made, and keeps that one is.
func (e *Engine) surveyDue() bool {
	if len(e.surveyors()) == 0 {
		return false
	}
	now := e.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	if now.Before(e.surveyed.due) {
		return false
	}
	e.surveyed.due = now.Add(surveyEvery)
	return true
}

// surveyors are the drivers in use that make surveys, each once.
func (e *Engine) surveyors() []Surveyor {
	var out []Surveyor
	for _, d := range e.Drivers {
		if s, ok := d.(Surveyor); ok && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// survey has all drivers compare, and keeps what they find for people.
func (e *Engine) survey(ctx context.Context) {
	begun := e.Now()
	var found []string
	reasons := map[string][]glia.Reason{}
	for _, s := range e.surveyors() {
		made := s.Survey(ctx)
		found = append(found, made.Findings...)
		for serial, r := range made.Reasons {
			reasons[serial] = append(reasons[serial], r...)
		}
	}
	if ctx.Err() != nil {
		return
	}
	slices.Sort(found)
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(found) > 0 && !slices.Equal(found, e.surveyed.findings) {
		e.Log.Warn("storage and disks do not agree", "findings", len(found), "example", found[0])
	}
	e.surveyed.at, e.surveyed.findings, e.surveyed.reasons = begun, found, reasons
}

// saidByStorage is what the storage has against a disk, by the last survey if that is not too old.
func (e *Engine) saidByStorage(serial string) []glia.Reason {
	now := e.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	if now.Sub(e.surveyed.at) > 2*surveyEvery {
		return nil
	}
	return e.surveyed.reasons[serial]
}

// Seconded is a verdict together with what the storage has against the disk. The storage can second what the
// nerve says, and never says it alone: a verdict without a witness stays as it is, and so does the state of any.
func Seconded(v glia.Verdict, said []glia.Reason) glia.Verdict {
	if len(said) > 0 && len(v.Witnesses()) > 0 {
		v.Reasons = slices.Concat(v.Reasons, said)
	}
	return v
}
