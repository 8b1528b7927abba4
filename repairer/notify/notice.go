// Package notify tells people of what happens, in chats, mails and pagers. It reads the log of events behind the engine,
// which knows nothing of it, so that no repair ever waits for it.
//
// It guarantees that each sink is told of each change of state that its route names once, in the order of the log, over restarts
// and changes of the leader: how far a sink has come is kept in the database after it has taken something. A repairer that dies between
// the two tells it again, and only then is a thing told twice. A new sink begins with what happens from then on. What must not
// wait passes by grouping, quiet hours, digest and rate.
//
// It fails by telling later: a sink that does not take what it is told is a metric and one line in the log, and is tried again
// with growing waits. Of what piles up meanwhile the oldest is left out, and its number told.
package notify

import (
	"fmt"
	"strings"
	"time"

	"glia/repairer"
)

// Severity says how much a notice asks of people.
type Severity int

// The severities.
const (
	Info     Severity = iota // nothing; a repair goes on
	Warning                  // somebody has something to do
	Critical                 // at once
)

var severities = []string{"info", "warning", "critical"}

// String is the name of the severity, as in the configuration.
func (s Severity) String() string { return severities[s] }

// ParseSeverity is the severity of that name.
func ParseSeverity(name string) (Severity, bool) {
	for i, s := range severities {
		if s == name {
			return Severity(i), true
		}
	}
	return 0, false
}

// The events that people are told of.
const (
	Opened   = "opened"   // a case
	Approval = "approval" // a plan waits for one
	Started  = "started"  // the repair
	Release  = "release"  // the disk may be pulled
	Rejected = "rejected" // the new disk
	Accepted = "accepted"
	Ended    = "ended"  // the case
	Parked   = "parked" // it needs a person
	Unparked = "unparked"
	Alarm    = "alarm" // the wrong disk was pulled; or that is over
	Breaker  = "breaker"
	Storm    = "storm"
	Pause    = "pause"
	Leader   = "leader" // nobody leads; or somebody does again
)

// Events are all of them.
var Events = []string{Opened, Approval, Started, Release, Rejected, Accepted, Ended, Parked, Unparked, Alarm, Breaker, Storm, Pause, Leader}

// Notice is one thing that people are told.
type Notice struct {
	Seq      uint64    // of the event; 0: it is not in the log
	At       time.Time // of the event
	Event    string
	Severity Severity
	Urgent   bool   // it waits for nothing
	Case     string // empty: of no case
	Title    string // of its case: what is repaired
	State    string // of its case, in a word or two
	Text     string // one or two sentences
	Over     bool   // nothing follows in its case
}

// Of is what people are told of an event, if anything. c is the case as it is now, the zero value for events of none. It is pure.
func Of(e repairer.Event, c repairer.Case) (Notice, bool) {
	n := Notice{Seq: e.Seq, At: e.At, Case: e.Case, State: string(c.Phase)}
	if e.Case != "" {
		n.Title = fmt.Sprintf("%s: disk %s in %s", e.Case, c.Serial(), c.Host())
	}
	say := func(event string, s Severity, format string, args ...any) (Notice, bool) {
		n.Event, n.Severity, n.Text = event, s, fmt.Sprintf(format, args...)
		return n, true
	}
	switch e.Kind {
	case repairer.KindOpened:
		if e.Data.Verdict != nil {
			return say(Opened, Info, "The disk is %s; a case is opened, in mode %s.", e.Data.Verdict.Summary(), e.Data.Mode)
		}
	case repairer.KindHeld:
		for _, r := range e.Data.Refusals {
			if r.Gate == repairer.GateApproval {
				return say(Approval, Warning, "The plan waits for an approval: glia plan %s.", c.Serial())
			}
		}
	case repairer.KindStarted:
		return say(Started, Info, "The repair starts. DO NOT PULL the disk yet.")
	case repairer.KindReleased:
		return say(Release, Warning, "The disk is out of use. The ticket says when it may be pulled, and where it is.")
	case repairer.KindRejected:
		if r := e.Data.Rejection; r != nil && len(r.Findings) > 0 && r.Serial != "" {
			return say(Rejected, Warning, "The new disk %s is not taken: %s.", r.Serial, strings.Join(r.Findings, "; "))
		}
	case repairer.KindAccepted:
		if e.Data.Disk != nil {
			return say(Accepted, Info, "The new disk %s is good.", e.Data.Disk.Serial())
		}
	case repairer.KindParked:
		return say(Parked, Warning, "A person is needed: %s.", strings.TrimSuffix(e.Text, "."))
	case repairer.KindUnparked:
		return say(Unparked, Info, "It goes on, says %s.", strings.TrimSuffix(e.Text, "."))
	case repairer.KindAlarm:
		if n.Urgent = e.Data.Serial != ""; n.Urgent {
			return say(Alarm, Critical, "ALARM: %s.", strings.TrimSuffix(e.Text, "."))
		}
		return say(Alarm, Info, "The alarm is over: %s.", strings.TrimSuffix(e.Text, "."))
	case repairer.KindEnded:
		n.Over, n.State = true, string(e.Data.Phase)
		return say(Ended, Info, "The case is %s. %s", e.Data.Phase, e.Text)
	case repairer.KindTripped:
		n.Urgent = true
		return say(Breaker, Critical, "The breaker has tripped, no new repair begins: %s. A person ends that with glia breaker reset.", strings.TrimSuffix(e.Text, "."))
	case repairer.KindReset:
		return say(Breaker, Info, "The breaker is reset: %s.", strings.TrimSuffix(e.Text, "."))
	case repairer.KindStorm:
		return say(Storm, Warning, "%s.", strings.TrimSuffix(e.Text, "."))
	case repairer.KindPaused:
		return say(Pause, Info, "New acts are paused: %s.", strings.TrimSuffix(e.Text, "."))
	case repairer.KindResumed:
		return say(Pause, Info, "A pause has ended: %s.", strings.TrimSuffix(e.Text, "."))
	}
	return Notice{}, false
}
