package repairer

import (
	"context"
	"fmt"
)

// Cancellable says why a case can not be cancelled any more; empty when it can.
func Cancellable(c Case) string {
	switch {
	case c.Phase.Ended():
		return "it has ended: " + string(c.Phase)
	case c.Cancel != "":
		return "it is being cancelled already"
	case c.Replacement != nil:
		return "the new disk " + c.Replacement.Serial() + " was accepted already"
	case c.Removed:
		return c.Serial() + " was taken out already"
	}
	return ""
}

// undo puts the disk back into use as far as the case had taken it out, and ends the case.
func (e *Engine) undo(ctx context.Context, c Case) error {
	if c.Started && (anyBegun(c, StageDrain) || anyBegun(c, StageRelease)) {
		if s, ok := nextOf(c, StageRestore); ok {
			return e.act(ctx, c, s.Name, func(c Case) (Data, error) { return e.do(ctx, c, s) })
		}
	}
	if lit(c) {
		return e.locate(ctx, c, StepLocateOff)
	}
	// The ticket may have been filed by an attempt whose outcome is not in the log: filing finds it.
	for _, step := range []string{StepAnnounce, StepTicket} {
		if s := c.Step(step); s.Begun && !s.Done && (step == StepTicket || c.Ticket == "") {
			return e.act(ctx, c, step, func(c Case) (Data, error) { return e.file(ctx, c, StanceOf(c)) })
		}
	}
	if c.Ticket != "" && len(c.Untold) > 0 {
		return nil // the ticket is told in order, and closed last
	}
	if c.Ticket != "" && !c.Step(StepClose).Done {
		return e.act(ctx, c, StepClose, func(c Case) (Data, error) {
			return Data{}, e.track(ctx, c, func(ctx context.Context) error {
				return e.Tracker.Close(ctx, c.Key(StepClose), c.Ticket, cancelText(c))
			})
		})
	}
	text := "cancelled by " + c.Cancel
	if c.NotRestored != "" {
		text += "; the disk is still out of use: " + c.NotRestored
	}
	_, err := e.record(ctx, c, KindEnded, "", text, Data{Phase: PhaseCancelled})
	return err
}

func cancelText(c Case) string {
	if c.NotRestored != "" {
		return fmt.Sprintf("Do not replace %s for now: the repair was cancelled by %s. The disk is still out of use: %s", c.Serial(), c.Cancel, c.NotRestored)
	}
	return fmt.Sprintf("Do not pull %s: the repair was cancelled by %s, and the disk is in use again.", c.Serial(), c.Cancel)
}

func anyBegun(c Case, stage Stage) bool {
	for _, s := range c.Plan.stage(stage) {
		if c.Step(s.Name).Begun {
			return true
		}
	}
	return false
}
