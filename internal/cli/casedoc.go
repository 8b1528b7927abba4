package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"glia"
	"glia/api"
	gliav1 "glia/api/glia/v1"
)

// repairCase is one repair of one disk.
type repairCase struct {
	ID          string     `json:"id"`
	Phase       string     `json:"phase"`
	Mode        string     `json:"mode"`
	Serial      string     `json:"serial"`
	Host        string     `json:"host"`
	Place       string     `json:"place"`
	WaitingFor  string     `json:"waiting_for,omitempty"` // what holds it back; absent while it moves
	Alarm       string     `json:"alarm,omitempty"`       // what a person must look at now
	Ticket      string     `json:"ticket,omitempty"`
	Replacement string     `json:"replacement,omitempty"` // serial of the new disk
	OpenedAt    time.Time  `json:"opened_at,omitzero"`
	UpdatedAt   time.Time  `json:"updated_at,omitzero"`
	ClosedAt    time.Time  `json:"closed_at,omitzero"`
	PlanHash    string     `json:"plan_hash,omitempty"`
	Verdict     *verdict   `json:"verdict,omitempty"` // what the case rests on, as it was then
	Plan        *plan      `json:"plan,omitempty"`    // only where one case is shown
	Refusals    []refusal  `json:"refusals"`
	Approvals   []approval `json:"approvals,omitempty"`         // of the plan as it stands now
	Missing     int        `json:"approvals_missing,omitempty"` // more persons that must approve it
	Progress    string     `json:"progress,omitempty"`          // how far the present step has come, with figures
	Outcome     string     `json:"outcome,omitempty"`           // bad, false-alarm or wrong-disk, as somebody told
}

// ended says that nothing more will happen in the case.
func (c repairCase) ended() bool {
	return c.Phase == "closed" || c.Phase == "cancelled" || c.Phase == "superseded"
}

// plan is what a case will do, step by step. The hash changes with anything in it.
type plan struct {
	Hash      string     `json:"hash"`
	Driver    string     `json:"driver"`
	Mode      string     `json:"mode"`
	ModeWhy   string     `json:"mode_why,omitempty"`  // what the mode comes from
	Approvals int        `json:"approvals,omitempty"` // persons whom an approval takes
	Disk      glia.Disk  `json:"disk"`
	Steps     []planStep `json:"steps"`
	Warnings  []string   `json:"warnings,omitempty"`
	Obstacle  string     `json:"obstacle,omitempty"` // why no repair is possible
}

// approval is a person's consent to a plan.
type approval struct {
	Person   string    `json:"person"`
	Identity string    `json:"identity,omitempty"` // what proves it: a certificate, or the user of the system
	At       time.Time `json:"at,omitzero"`
}

type planStep struct {
	Name       string   `json:"name"`
	Owner      string   `json:"owner"` // hand, tracker, person or repairer
	Text       string   `json:"text"`
	Commands   []string `json:"commands,omitempty"`
	Reversible bool     `json:"reversible"`
}

// event is one entry of a case's history.
type event struct {
	Seq   uint64    `json:"seq"`
	At    time.Time `json:"at"`
	Epoch uint64    `json:"epoch"`
	Kind  string    `json:"kind"`
	Step  string    `json:"step,omitempty"`
	Text  string    `json:"text"`
}

func eventFrom(e *gliav1.Event) event {
	return event{Seq: e.GetSeq(), At: api.TimeFromProto(e.GetAt()), Epoch: e.GetEpoch(), Kind: e.GetKind(), Step: e.GetStep(), Text: e.GetText()}
}

// line is the event as one line. Widths are fixed, because a watch prints lines one by one.
func (e event) line() string {
	return fmt.Sprintf("%s  %-10s  %-12s  %s", stamp(e.At), clean(e.Kind), dash(clean(e.Step)), clean(e.Text))
}

func caseFrom(c *gliav1.Case) repairCase {
	out := repairCase{
		ID: c.GetId(), Phase: c.GetPhase(), Mode: c.GetMode(), Serial: c.GetSerial(), Host: c.GetHost(),
		Place: c.GetPlace(), WaitingFor: c.GetWaitingFor(), Alarm: c.GetAlarm(), Ticket: c.GetTicket(),
		Replacement: c.GetReplacement(), OpenedAt: api.TimeFromProto(c.GetOpenedAt()), UpdatedAt: api.TimeFromProto(c.GetUpdatedAt()),
		ClosedAt: api.TimeFromProto(c.GetClosedAt()), Refusals: refusalsFrom(c.GetRefusals()), Outcome: c.GetOutcome(), Progress: c.GetProgress(),
	}
	for _, a := range c.GetApprovals() {
		out.Approvals = append(out.Approvals, approval{Person: a.GetPerson(), Identity: a.GetIdentity(), At: api.TimeFromProto(a.GetAt())})
	}
	out.Missing = int(c.GetApprovalsMissing())
	if c.GetVerdict() != nil {
		v := verdict(api.VerdictFromProto(c.GetVerdict()))
		out.Verdict = &v
	}
	if c.GetPlan() != nil {
		p := planFrom(c.GetPlan())
		out.Plan, out.PlanHash = &p, p.Hash
	}
	return out
}

// caseListed is a case without its plan, which makes a list too long to read.
func caseListed(c *gliav1.Case) repairCase {
	out := caseFrom(c)
	out.Plan = nil
	return out
}

func planFrom(p *gliav1.Plan) plan {
	return plan{
		Hash: p.GetHash(), Driver: p.GetDriver(), Mode: p.GetMode(), ModeWhy: p.GetModeWhy(), Approvals: int(p.GetApprovals()), Disk: api.DiskFromProto(p.GetDisk()),
		Steps: each(p.GetSteps(), func(s *gliav1.PlanStep) planStep {
			return planStep{Name: s.GetName(), Owner: s.GetOwner(), Text: s.GetText(), Commands: s.GetCommands(), Reversible: s.GetReversible()}
		}),
		Warnings: p.GetWarnings(), Obstacle: p.GetObstacle(),
	}
}

// age of an ended case is how long it took; of an open one, how long it has been open.
func (c repairCase) age(now time.Time) string {
	if !c.ClosedAt.IsZero() {
		return span(c.ClosedAt.Sub(c.OpenedAt))
	}
	return age(now, c.OpenedAt)
}

// header is the case at a glance.
func (c repairCase) header(w io.Writer, now time.Time) {
	opened := stamp(c.OpenedAt) + ", " + ago(now, c.OpenedAt)
	if !c.ClosedAt.IsZero() {
		opened = stamp(c.OpenedAt) + ", ended " + stamp(c.ClosedAt) + " after " + c.age(now)
	}
	facts(w,
		[2]string{"case", c.ID},
		[2]string{"phase", c.Phase},
		[2]string{"waiting for", c.WaitingFor},
		[2]string{"progress", c.Progress},
		[2]string{"alarm", c.Alarm},
		[2]string{"disk", caseDisk(c)},
		[2]string{"replacement", c.Replacement},
		[2]string{"ticket", c.Ticket},
		[2]string{"outcome", c.Outcome},
		[2]string{"mode", c.modeWords()},
		[2]string{"opened", opened},
	)
	if c.Verdict != nil {
		facts(w, [2]string{"verdict", c.Verdict.summary()})
	}
	facts(w, [2]string{"plan", c.PlanHash}, [2]string{"approved", c.approvalWords()})
}

// approvalWords says who has approved the plan, and how many are missing; empty when nobody has.
func (c repairCase) approvalWords() string {
	var names []string
	for _, a := range c.Approvals {
		names = append(names, a.Person)
	}
	words := "by " + strings.Join(names, ", ")
	switch {
	case len(names) == 0:
		return ""
	case c.Missing > 0:
		return words + "; " + plural(c.Missing, "more person") + " must"
	}
	return words
}

// modeWords is the mode with what it comes from, where the plan is known.
func (c repairCase) modeWords() string {
	if c.Plan != nil && c.Plan.Mode == c.Mode {
		return modeWords(*c.Plan)
	}
	return c.Mode
}

func caseDisk(c repairCase) string {
	s := c.Serial
	if c.Place != "" {
		s += " in " + c.Place
	}
	if c.Host != "" {
		s += " of " + c.Host
	}
	return s
}

// writeCases is the table of cases of several commands.
func writeCases(w io.Writer, cases []repairCase, now time.Time) {
	var rows [][]string
	for _, c := range cases {
		waiting := c.WaitingFor
		if waiting == "" {
			waiting = c.Progress
		}
		if c.Alarm != "" {
			waiting = "ALARM: " + c.Alarm
		}
		rows = append(rows, []string{c.ID, c.Serial, c.Host, c.Place, c.Phase, c.age(now), waiting})
	}
	table(w, "CASE SERIAL HOST PLACE PHASE AGE WAITING-FOR", rows)
}
