package repairer

import (
	"context"
	"slices"
	"time"
)

// Surveyor is a driver that compares its storage with the disks of the fleet.
type Surveyor interface {
	// Survey asks the storage and the nerves of its hosts, which may take a minute, and says where they do
	// not agree, one sentence each. It changes nothing. What can not be asked is said as well.
	Survey(ctx context.Context) []string
}

// surveyTask is what a survey is claimed by; no case has such an id.
const surveyTask = "survey"

// surveyEvery is the time from one survey to the next. Each reads all disks of the hosts.
const surveyEvery = time.Hour

// surveyed is what the last survey found. Engine.mu protects it.
type surveyed struct {
	at       time.Time // zero: there was none
	findings []string
}

// surveyDue says whether a survey is to be made, and keeps that one is.
func (e *Engine) surveyDue() bool {
	if len(e.surveyors()) == 0 {
		return false
	}
	now := e.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.surveyed.at.IsZero() && now.Sub(e.surveyed.at) < surveyEvery {
		return false
	}
	e.surveyed.at = now
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
	var found []string
	for _, s := range e.surveyors() {
		found = append(found, s.Survey(ctx)...)
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
	e.surveyed.findings = found
}
