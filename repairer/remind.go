package repairer

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Reminder is one comment that is due on a ticket which waits for a person.
type Reminder struct {
	Step      string        // names it in the log and in its idempotency key
	After     time.Duration // the age of the ticket at which it is due
	Escalates bool          // it is also a finding in the status, until the disk is swapped
}

// Waiting is how long the person has been asked for; zero when nobody is.
func Waiting(c Case, now time.Time) time.Duration {
	if !c.Step(StepTicket).Done || c.Replacement != nil || c.Phase.Ended() || c.Cancel != "" {
		return 0
	}
	return max(now.Sub(c.Step(StepTicket).At), 0)
}

// Due are the reminders of a case that are due and not written yet. After a long stop only the latest
// reminder is due, not one for each stage that was missed. It is pure.
func Due(c Case, after []time.Duration, escalate time.Duration, now time.Time) []Reminder {
	age := Waiting(c, now)
	var out []Reminder
	var latest time.Duration
	for _, a := range after {
		if a > 0 && a <= age {
			latest = max(latest, a)
		}
	}
	if latest > 0 {
		out = append(out, Reminder{Step: "remind-" + latest.String(), After: latest})
	}
	if escalate > 0 && escalate <= age {
		out = append(out, Reminder{Step: "escalate", After: escalate, Escalates: true})
	}
	var due []Reminder
	for _, r := range out {
		if !c.Step(r.Step).Done {
			due = append(due, r)
		}
	}
	return due
}

// remind puts what is due into the outbox, each stage once, also over a restart. It tells whether it has
// written to the log.
func (e *Engine) remind(ctx context.Context, c Case) (bool, error) {
	due := Due(c, e.RemindAfter, e.EscalateAfter, e.Now())
	if len(due) == 0 {
		return false, nil
	}
	r := due[0] // the next one comes at the next tick
	s := c.Step(r.Step)
	t, err := e.answer(ctx, c)
	if errors.Is(err, ErrNotAsked) || err == nil && t.Status != TicketOpen {
		return false, nil // the person has answered; what was found in the place is told elsewhere
	}
	if !s.Begun {
		if c, err = e.record(ctx, c, KindBegun, r.Step, r.Step+": begun", Data{}); err != nil {
			return false, err
		}
	}
	text := reminderText(c, r)
	_, err = e.record(ctx, c, KindDone, r.Step, text, Data{Tell: text})
	return true, err
}

func reminderText(c Case, r Reminder) string {
	text := fmt.Sprintf("Still waiting for a person: %s in %s of %s was to be swapped %s ago, and its data has one copy less since then.", c.Serial(), c.Disk.Location.Place(), c.Host(), days(r.After))
	if c.Rejected != nil && len(c.Rejected.Findings) > 0 {
		text += " What is there now can not be used: " + c.Rejected.Findings[0] + "."
	}
	if r.Escalates {
		return "ESCALATION. " + text
	}
	return text
}

// days writes whole days as such.
func days(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d == day:
		return "1 day"
	case d >= day && d%day == 0:
		return fmt.Sprintf("%d days", d/day)
	}
	return d.String()
}

// escalated is the finding about a ticket that has waited for too long; empty when it has not.
func (e *Engine) escalated(c Case) string {
	age := Waiting(c, e.Now())
	if e.EscalateAfter <= 0 || age < e.EscalateAfter {
		return ""
	}
	return fmt.Sprintf("%s waits for a person since %s: ticket %s, %s in %s of %s", c.ID, c.Step(StepTicket).At.UTC().Format(time.RFC3339), c.Ticket, c.Serial(), c.Disk.Location.Place(), c.Host())
}
