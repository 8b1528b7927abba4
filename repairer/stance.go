package repairer

import (
	"context"
	"errors"
	"fmt"

	"glia"
)

// Stance is what the person with the screwdriver may do now.
type Stance string

// The stances. They are in tickets, so a ticket is changed when its case goes from one to another.
const (
	StanceWait Stance = "wait" // do not pull yet
	StancePull Stance = "pull" // safe to pull
	StanceStop Stance = "stop" // another disk was pulled
	StanceKeep Stance = "keep" // the repair was cancelled
	StanceTest Stance = "test" // a new disk is there and is being put into use
	StanceDone Stance = "done" // it is in use
)

// StepAnnounce is the ticket that is filed while the disk may not be pulled yet, where the site wants that.
const StepAnnounce = "announce"

// KindShown is the event of a ticket that says what the stance is now.
const KindShown Kind = "shown"

// StanceOf is the stance of a case.
func StanceOf(c Case) Stance {
	switch {
	case c.Alarm != "":
		return StanceStop
	case c.Cancel != "":
		return StanceKeep
	case !c.RejoinedAt.IsZero():
		return StanceDone
	case c.Replacement != nil:
		return StanceTest
	case c.Present != nil:
		return StancePull
	}
	return StanceWait
}

// stanceWords are the stance for people: what to do, and why.
func stanceWords(c Case, s Stance) (head, why string) {
	switch s {
	case StancePull:
		return "SAFE TO PULL", "the disk is out of use"
	case StanceStop:
		return "STOP", c.Alarm
	case StanceKeep:
		return "DO NOT PULL", "the repair was cancelled by " + c.Cancel
	case StanceTest:
		return "DO NOT PULL", c.Replacement.Serial() + " is in the place and is being put into use"
	case StanceDone:
		return "NOTHING TO DO", c.Replacement.Serial() + " is in place of " + c.Serial() + ", and is watched before this ticket is closed"
	}
	return "DO NOT PULL YET", "the disk is still in use; this ticket changes when it may be pulled"
}

// stale says whether the ticket says something else than the stance.
func stale(c Case) bool {
	return c.Ticket != "" && c.Shown != "" && c.Shown != StanceOf(c) && !c.Step(StepClose).Begun
}

// show gives the ticket the text of the present stance. A tracker that does not take it keeps nothing waiting.
func (e *Engine) show(ctx context.Context, c Case) error {
	s := StanceOf(c)
	t := e.ticketText(c, s)
	err := e.call(ctx, c, func(ctx context.Context) error { return e.Tracker.Update(ctx, c.Ticket, t.Title, t.Body) })
	head, _ := stanceWords(c, s)
	text := "the ticket says: " + head
	switch {
	case errors.Is(err, glia.ErrStaleEpoch), ctx.Err() != nil:
		return err
	case errors.Is(err, glia.ErrNotFound): // nothing would change that
		e.outbox.note(c.ID, nil, e.Now())
		text = "the ticket could not be changed: " + brief(err)
	case err != nil:
		return nil
	}
	_, err = e.record(ctx, c, KindShown, "", text, Data{Shown: s})
	return err
}

// announcing says whether a ticket is to be filed now, although the disk may not be pulled yet.
func (e *Engine) announcing(c Case) bool {
	return e.Announce && c.Ticket == "" && !c.Step(StepAnnounce).Done && !c.Step(StepTicket).Begun && e.due(c)
}

// announce files the ticket early. Nothing waits for it: a tracker that does not answer is asked again while the
// disk is drained.
func (e *Engine) announce(ctx context.Context, c Case) error {
	if !c.Step(StepAnnounce).Begun {
		var err error
		if c, err = e.record(ctx, c, KindBegun, StepAnnounce, StepAnnounce+": begun", Data{}); err != nil {
			return err
		}
	}
	d, err := e.file(ctx, c, StanceWait)
	var running runningError
	switch {
	case errors.As(err, &running):
		return nil
	case err != nil:
		return err
	}
	_, err = e.record(ctx, c, KindDone, StepAnnounce, fmt.Sprintf("%s: done: %s, do not pull yet", StepAnnounce, d.Output), d)
	return err
}
