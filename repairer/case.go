package repairer

import (
	"maps"
	"slices"
	"time"

	"glia"
)

// Phase is how far a case has come. It is derived from the case's events and never set by itself.
type Phase string

// The phases, in the order of a repair that meets no trouble.
const (
	PhaseOpened              Phase = "opened"
	PhaseConfirming          Phase = "confirming"
	PhaseWaiting             Phase = "waiting"
	PhaseAwaitingApproval    Phase = "awaiting approval"
	PhaseDraining            Phase = "draining"
	PhaseDrained             Phase = "drained"
	PhaseReleased            Phase = "released"
	PhaseAwaitingReplacement Phase = "awaiting replacement"
	PhaseInspecting          Phase = "inspecting"
	PhaseRejoining           Phase = "rejoining"
	PhaseSettling            Phase = "settling"
	PhaseClosed              Phase = "closed"
	PhaseParked              Phase = "parked"
	PhaseCancelled           Phase = "cancelled"
	PhaseSuperseded          Phase = "superseded"
)

// Ended says whether nothing more will happen in the case.
func (p Phase) Ended() bool {
	return p == PhaseClosed || p == PhaseCancelled || p == PhaseSuperseded
}

// Mode says how far glia may go without a person.
type Mode string

// The modes. Observe records what it would do; propose waits for an approval bound to the plan's hash.
const (
	ModeObserve Mode = "observe"
	ModePropose Mode = "propose"
	ModeAuto    Mode = "auto"
)

// StepState is what the log says about one step.
type StepState struct {
	Begun    bool      `json:"begun,omitempty"`
	Done     bool      `json:"done,omitempty"`
	Attempts int       `json:"attempts,omitempty"` // failed ones since the last unpark
	Error    string    `json:"error,omitempty"`    // of the last failed attempt, or for what it waits
	Waits    bool      `json:"waits,omitempty"`    // Error is what it waits for; no attempt has failed since
	At       time.Time `json:"at"`                 // of the last event of the step
}

// Rejection is a disk that was found in the place and not taken.
type Rejection struct {
	Serial   string   `json:"serial"` // empty: the place is empty
	Findings []string `json:"findings"`
	Unfit    bool     `json:"unfit,omitempty"` // it was accepted before, and is let go
	Final    bool     `json:"final,omitempty"` // it will not be tried again in this case
	Away     bool     `json:"away,omitempty"`  // it is let go only because another one took its place
}

// Notice is what the log has said and the ticket must be told. Its number keeps it from being told twice.
type Notice struct {
	Seq    uint64    `json:"seq"` // of the event that said it
	Text   string    `json:"text"`
	At     time.Time `json:"at,omitzero"`
	Reopen bool      `json:"reopen,omitempty"` // the ticket is given back to its person with that
}

// Case is one repair of one disk. It is the fold of its events by Apply and holds nothing else, so
// that it can always be derived again.
type Case struct {
	ID       string       `json:"id"`
	Store    string       `json:"store"` // the database that the case is in; no two have the same
	Phase    Phase        `json:"phase"`
	Mode     Mode         `json:"mode"`
	Driver   string       `json:"driver"`
	Disk     glia.Disk    `json:"disk"` // as it was when the case was opened, refreshed until it starts
	Verdict  glia.Verdict `json:"verdict"`
	OpenedAt time.Time    `json:"opened_at"`
	At       time.Time    `json:"updated_at"` // newest time of its events
	ClosedAt time.Time    `json:"closed_at"`
	Seq      uint64       `json:"seq"` // of the newest event

	Confirmed bool       `json:"confirmed,omitempty"`
	Plan      *Plan      `json:"plan,omitempty"`
	Refusals  []Refusal  `json:"refusals,omitempty"`  // what holds it back now
	Approvals []Approval `json:"approvals,omitempty"` // of the plan; see approvals
	Started   bool       `json:"started,omitempty"`   // the gates let it pass; it counts against the budgets
	StartedAt time.Time  `json:"started_at,omitzero"`

	Steps       map[string]StepState `json:"steps,omitempty"`
	Ticket      string               `json:"ticket,omitempty"`
	Present     []string             `json:"present,omitempty"` // serials on the host when the disk was released to the person
	Removed     bool                 `json:"removed,omitempty"` // the ordered serial was seen to be gone
	Rejected    *Rejection           `json:"rejected,omitempty"`
	Inspections int                  `json:"inspections,omitempty"`
	Candidate   string               `json:"candidate,omitempty"` // serial being inspected
	Replacement *glia.Disk           `json:"replacement,omitempty"`
	RejoinedAt  time.Time            `json:"rejoined_at"`

	Facts map[string]string `json:"facts,omitempty"` // what the driver has noted for its later steps

	Shown    Stance `json:"shown,omitempty"`    // what the ticket says
	Answered string `json:"answered,omitempty"` // the last resolution, other than done, that was heard and does not park the case

	Untold []Notice `json:"untold,omitempty"` // what the ticket must be told still, oldest first

	Alarm  string `json:"alarm,omitempty"`  // a person must look now; no act while it is set
	Parked string `json:"parked,omitempty"` // why a person is needed
	Cancel string `json:"cancel,omitempty"` // who asked to cancel, and why; the undoing goes on

	Unfit   []Rejection `json:"unfit,omitempty"`   // disks that were accepted and dropped again
	Light   string      `json:"light,omitempty"`   // what became of switching the locate light on
	Outcome Outcome     `json:"outcome,omitempty"` // what was found out about the old disk; empty: not told

	OutcomeAt time.Time `json:"outcome_at,omitzero"` // when that became known

	NotRestored string `json:"not_restored,omitempty"` // why a cancelled case could not put the disk back into use
}

// Serial is the key of the disk under repair.
func (c Case) Serial() string { return c.Disk.Serial() }

// Host is the host of the disk under repair.
func (c Case) Host() string { return c.Disk.Location.Host }

// Step is what the log says about the named step; the zero value if it was never begun.
func (c Case) Step(name string) StepState { return c.Steps[name] }

// Key is the idempotency key of a step of this case. Outside effects carry it, so it differs from the
// keys of every other case, those of other databases included.
func (c Case) Key(step string) string { return c.Store + "/" + c.ID + "/" + step }

// WaitingFor says in words what holds the case back; empty while it moves.
func (c Case) WaitingFor() string {
	switch {
	case c.Phase.Ended():
		return ""
	case c.Alarm != "":
		return c.Alarm
	case c.Parked != "":
		return "a person: " + c.Parked
	case c.Cancel != "":
		return "the undoing; it was cancelled by " + c.Cancel
	case len(c.Refusals) > 0:
		return c.Refusals[0].String()
	case c.Rejected != nil && c.Phase == PhaseAwaitingReplacement:
		return "another disk: " + c.Rejected.Findings[0]
	case c.Phase == PhaseAwaitingReplacement:
		return "a person to swap the disk (ticket " + c.Ticket + ")"
	}
	for _, name := range slices.Sorted(maps.Keys(c.Steps)) {
		if s := c.Steps[name]; s.Error != "" && !s.Done {
			return name + ": " + s.Error
		}
	}
	return ""
}
