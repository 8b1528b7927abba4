package repairer

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"glia"
)

// Kind is the kind of an event.
type Kind string

// The kinds of events. Begun stands in the log before the act, Done or Failed after it.
const (
	KindOpened     Kind = "opened"
	KindConfirming Kind = "confirming"
	KindConfirmed  Kind = "confirmed"
	KindPlanned    Kind = "planned"
	KindHeld       Kind = "held" // the refusals changed; none means that it is held no more
	KindApproved   Kind = "approved"
	KindWithdrawn  Kind = "withdrawn" // an approval, by who gave it
	KindStarted    Kind = "started"
	KindBegun      Kind = "begun"
	KindDone       Kind = "done"
	KindFailed     Kind = "failed"
	KindWaits      Kind = "waits"    // the step goes on, and the text says for what it waits
	KindGoesOn     Kind = "goes on"  // the step waits no more
	KindLeftOut    Kind = "left out" // a step of the undoing that is not possible
	KindReleased   Kind = "released" // the disk is handed to the person; Present is the baseline
	KindRemoved    Kind = "removed"
	KindInspecting Kind = "inspecting"
	KindRejected   Kind = "rejected"
	KindAccepted   Kind = "accepted"
	KindRejoined   Kind = "rejoined"
	KindAlarm      Kind = "alarm" // an empty alarm ends it
	KindTold       Kind = "told"  // the ticket knows the oldest notice, or could not be told
	KindParked     Kind = "parked"
	KindUnparked   Kind = "unparked"
	KindCancel     Kind = "cancel"
	KindEnded      Kind = "ended"
	KindOutcome    Kind = "outcome" // what the workshop found; the only kind that may follow the end
)

// Event is one line of the append-only log. Text is for people; Data is what Apply reads.
type Event struct {
	Seq   uint64    `json:"seq"`  // set by the store
	Case  string    `json:"case"` // empty: of no case
	At    time.Time `json:"at"`
	Epoch uint64    `json:"epoch"` // set by the store
	After uint64    `json:"-"`     // newest event of the case that the writer knows; 0: the event holds whatever came before. Not kept
	Kind  Kind      `json:"kind"`
	Step  string    `json:"step,omitempty"`
	Text  string    `json:"text"`
	Data  Data      `json:"data"`
}

// Data is what an event adds to its case. Each kind uses the fields that it needs.
type Data struct {
	Store     string        `json:"store,omitempty"` // of an opening; set by the store
	Disk      *glia.Disk    `json:"disk,omitempty"`
	Verdict   *glia.Verdict `json:"verdict,omitempty"`
	Mode      Mode          `json:"mode,omitempty"`
	Driver    string        `json:"driver,omitempty"`
	Plan      *Plan         `json:"plan,omitempty"`
	Refusals  []Refusal     `json:"refusals,omitempty"`
	Approval  *Approval     `json:"approval,omitempty"`
	Ticket    string        `json:"ticket,omitempty"`
	Present   []string      `json:"present,omitempty"`
	Rejection *Rejection    `json:"rejection,omitempty"`
	Serial    string        `json:"serial,omitempty"`
	Tell      string        `json:"tell,omitempty"`   // what the ticket must be told of the event; of any kind
	Reopen    bool          `json:"reopen,omitempty"` // the ticket is given back to its person with that
	Commands  []string      `json:"commands,omitempty"`
	Output    string        `json:"output,omitempty"`
	Phase     Phase         `json:"phase,omitempty"` // of the end
	Outcome   Outcome       `json:"outcome,omitempty"`

	Shown      Stance `json:"shown,omitempty"`      // what the ticket says now
	Resolution string `json:"resolution,omitempty"` // that was heard

	Facts map[string]string `json:"facts,omitempty"` // what a driver must know later

	Person string `json:"person,omitempty"` // who did it; empty: the repairer itself
	Reason string `json:"reason,omitempty"`

	// Of what was asked for over the API: who did, as far as that is proven, and the name of the request. The store sets them.
	Caller  string `json:"caller,omitempty"`
	Request string `json:"request,omitempty"`

	// Of events that belong to no case.
	Key   string `json:"key,omitempty"` // of the value that was set; set by the store
	Value string `json:"value,omitempty"`
	Pause *Pause `json:"pause,omitempty"`
}

// Apply is the case after the event. It is pure, and the only way in which a case changes.
func Apply(c Case, e Event) (Case, error) {
	if e.Kind == KindOpened {
		if c.ID != "" {
			return c, fmt.Errorf("event %d opens case %s, which is open already", e.Seq, e.Case)
		}
		c = Case{ID: e.Case, Store: e.Data.Store, OpenedAt: e.At, Disk: *e.Data.Disk, Verdict: *e.Data.Verdict, Mode: e.Data.Mode, Driver: e.Data.Driver}
	}
	if c.ID != e.Case {
		return c, fmt.Errorf("event %d belongs to case %q, not to %q", e.Seq, e.Case, c.ID)
	}
	if c.Phase.Ended() && e.Kind != KindOutcome {
		return c, fmt.Errorf("event %d (%s) comes after case %s has ended", e.Seq, e.Kind, c.ID)
	}
	c.apply(e)
	if e.Data.Tell != "" {
		c.Untold = append(slices.Clone(c.Untold), Notice{Seq: e.Seq, At: e.At, Text: e.Data.Tell, Reopen: e.Data.Reopen})
	}
	// A clock that was set back makes no event younger: what the log knows of stays known over a restart.
	if c.Seq = e.Seq; e.At.After(c.At) {
		c.At = e.At
	}
	c.Phase = phaseOf(c)
	return c, nil
}

// apply changes one fact for each kind. Maps are copied, because older values of the case may be
// in use by readers.
func (c *Case) apply(e Event) {
	d := e.Data
	switch e.Kind {
	case KindConfirming:
		c.Steps = withStep(c.Steps, StepConfirm, func(s *StepState) { s.Begun, s.At = true, e.At })
	case KindConfirmed:
		c.Confirmed, c.Disk, c.Verdict = true, *d.Disk, *d.Verdict
	case KindPlanned:
		c.planned(d.Plan)
	case KindHeld:
		c.Refusals = d.Refusals
	case KindApproved:
		c.consent(*d.Approval)
	case KindWithdrawn:
		c.withdraw(*d.Approval)
	case KindStarted:
		c.Started, c.StartedAt, c.Refusals = true, e.At, nil
	case KindBegun:
		c.Steps = withStep(c.Steps, e.Step, func(s *StepState) { s.Begun, s.At = true, e.At })
	case KindDone:
		c.Steps = withStep(c.Steps, e.Step, func(s *StepState) { s.Done, s.Waits, s.Error, s.At = true, false, "", e.At })
		if len(d.Facts) > 0 {
			facts := maps.Clone(c.Facts)
			if facts == nil {
				facts = map[string]string{}
			}
			maps.Copy(facts, d.Facts)
			c.Facts = facts
		}
		if d.Ticket != "" {
			c.Ticket, c.Shown = d.Ticket, d.Shown
		}
		if e.Step == StepLocateOn {
			c.Light = d.Output
		}
	case KindFailed:
		c.Steps = withStep(c.Steps, e.Step, func(s *StepState) { s.Attempts++; s.Waits, s.Error, s.At = false, e.Text, e.At })
	case KindWaits:
		c.Steps = withStep(c.Steps, e.Step, func(s *StepState) { s.Waits, s.Error = true, e.Text })
	case KindGoesOn:
		c.Steps = withStep(c.Steps, e.Step, func(s *StepState) { s.Waits, s.Error = false, "" })
	case KindLeftOut:
		c.Steps = withStep(c.Steps, e.Step, func(s *StepState) { s.Done, s.Error, s.At = true, e.Text, e.At })
		c.NotRestored = e.Text
	case KindReleased:
		c.Present = d.Present
	case KindRemoved:
		c.Removed = true
	case KindInspecting:
		c.Candidate, c.Inspections = d.Serial, c.Inspections+1
	case KindRejected:
		c.Candidate, c.Rejected = "", d.Rejection
		if d.Rejection.Unfit {
			c.drop(*d.Rejection)
		}
	case KindAccepted:
		c.Candidate, c.Rejected, c.Replacement, c.Removed = "", nil, d.Disk, true
	case KindRejoined:
		c.RejoinedAt = e.At
	case KindAlarm:
		c.Alarm = ""
		if d.Serial != "" {
			c.Alarm = e.Text
		}
	case KindShown:
		c.Shown = d.Shown
	case KindAnswered:
		c.Answered = d.Resolution
	case KindTold:
		c.Untold = c.Untold[min(1, len(c.Untold)):]
	case KindParked:
		c.Parked = e.Text
	case KindUnparked:
		c.Parked, c.Alarm, c.Answered = "", "", ""
		steps := map[string]StepState{}
		for name, s := range c.Steps {
			s.Attempts, s.Waits, s.Error = 0, false, ""
			steps[name] = s
		}
		c.Steps = steps
		if len(d.Present) > 0 {
			c.Present = d.Present
		}
	case KindCancel:
		c.Cancel, c.Parked, c.Alarm = e.Text, "", ""
	case KindOutcome:
		if c.Outcome != d.Outcome {
			c.Outcome, c.OutcomeAt = d.Outcome, e.At
		}
	case KindEnded:
		c.ClosedAt, c.Phase, c.Refusals, c.Parked, c.Alarm = e.At, d.Phase, nil, "", ""
	}
}

func withStep(steps map[string]StepState, name string, change func(*StepState)) map[string]StepState {
	out := make(map[string]StepState, len(steps)+1)
	for k, v := range steps {
		out[k] = v
	}
	s := out[name]
	change(&s)
	out[name] = s
	return out
}

// phaseOf derives the phase from the facts, latest fact first.
func phaseOf(c Case) Phase {
	done := func(step string) bool { return c.Steps[step].Done }
	switch {
	case !c.ClosedAt.IsZero():
		return c.Phase
	case c.Parked != "":
		return PhaseParked
	case !c.RejoinedAt.IsZero():
		return PhaseSettling
	case c.Replacement != nil:
		return PhaseRejoining
	case c.Candidate != "":
		return PhaseInspecting
	case done(StepTicket):
		return PhaseAwaitingReplacement
	case c.Started && stageDone(c, StageRelease):
		return PhaseReleased
	case c.Started && stageDone(c, StageDrain):
		return PhaseDrained
	case c.Started:
		return PhaseDraining
	case c.Confirmed && c.Plan != nil && slices.ContainsFunc(c.Refusals, func(r Refusal) bool { return r.Gate == GateApproval }):
		return PhaseAwaitingApproval
	case c.Confirmed:
		return PhaseWaiting
	case c.Steps[StepConfirm].Begun:
		return PhaseConfirming
	}
	return PhaseOpened
}

func stageDone(c Case, stage Stage) bool {
	for _, s := range c.Plan.Steps {
		if s.Stage == stage && !c.Steps[s.Name].Done {
			return false
		}
	}
	return true
}
