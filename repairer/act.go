package repairer

import (
	"fmt"
	"time"
)

// The kinds of events that belong to no case. Whatever a person, or the repairer itself, changes for the
// whole fleet stands in the log together with the change.
const (
	KindPaused   Kind = "paused"
	KindResumed  Kind = "resumed"
	KindTripped  Kind = "breaker tripped"
	KindReset    Kind = "breaker reset"
	KindStorm    Kind = "storm" // it came, or went
	KindForgiven Kind = "forgiven"
	KindReplayed Kind = "event replayed" // of the queue
	KindDropped  Kind = "event dropped"
)

// Paused is the event of a new pause.
func Paused(p Pause) Event {
	until := "it is resumed"
	if !p.Until.IsZero() {
		until = p.Until.UTC().Format(time.RFC3339)
	}
	return Event{At: p.Since, Kind: KindPaused, Text: fmt.Sprintf("%s is paused by %s until %s: %s", p.Scope, p.Owner, until, p.Reason),
		Data: Data{Pause: &p, Person: p.Owner, Reason: p.Reason}}
}

// Resumed is the event of a pause that a person ends.
func Resumed(p Pause, person, reason string, now time.Time) Event {
	return Event{At: now, Kind: KindResumed, Text: fmt.Sprintf("%s is resumed by %s: %s; it was paused by %s: %s", p.Scope, person, reason, p.Owner, p.Reason),
		Data: Data{Pause: &p, Person: person, Reason: reason}}
}

// Lapsed is the event of a pause whose time is over.
func Lapsed(p Pause, now time.Time) Event {
	return Event{At: now, Kind: KindResumed, Text: fmt.Sprintf("%s is no longer paused, as %s has said until %s: %s", p.Scope, p.Owner, p.Until.UTC().Format(time.RFC3339), p.Reason),
		Data: Data{Pause: &p}}
}
