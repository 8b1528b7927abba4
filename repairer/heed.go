package repairer

import (
	"context"
	"fmt"
	"slices"

	"glia"
)

// KindAnswered is the event of a resolution that was heard and changes what is waited for.
const KindAnswered Kind = "answered"

// heed does what a resolution other than done asks for, and says whether that is all for this look:
//
//	wont-do           the case is parked: the disk is out of use, and a person must say what becomes of it
//	duplicate         the swap is expected under another ticket; the place is watched as before
//	cannot-reproduce  the disk is looked at again. If it is still bad, the ticket says so and is given back,
//	                  once; else, and the second time, the case is parked. Whoever has taken it out meanwhile is
//	                  waited for
//	anything else     the case is parked, because nobody knows what it means
func (e *Engine) heed(ctx context.Context, c Case, t Ticket) (bool, error) {
	again := fmt.Sprintf("put it back into use with glia cancel %s, or have it replaced with glia unpark %s", c.ID, c.ID)
	switch {
	case t.Resolution == ResolutionDuplicate && c.Answered == ResolutionDuplicate:
		return false, nil
	case t.Resolution == ResolutionDuplicate:
		text := fmt.Sprintf("ticket %s was resolved as a duplicate: the swap is expected under another ticket, and the place is watched as before", c.Ticket)
		_, err := e.record(ctx, c, KindAnswered, "", text, Data{Resolution: t.Resolution})
		return true, err
	case t.Resolution == ResolutionCannotReproduce && c.Removed:
		return false, nil
	case t.Resolution == ResolutionCannotReproduce && c.Answered != ResolutionCannotReproduce:
		return e.lookAgain(ctx, c, again)
	case t.Resolution == ResolutionCannotReproduce:
		return e.parkFor(ctx, c, fmt.Sprintf("ticket %s was resolved as %q once more, although glia finds it bad; %s", c.Ticket, t.Resolution, again))
	case t.Resolution == ResolutionWontDo:
		return e.parkFor(ctx, c, fmt.Sprintf("ticket %s was resolved as %q: the disk is out of use and was not replaced; %s", c.Ticket, t.Resolution, again))
	}
	return e.parkFor(ctx, c, fmt.Sprintf("ticket %s was resolved as %q, which glia does not know: the disk is out of use and was not replaced; %s", c.Ticket, t.Resolution, again))
}

func (e *Engine) parkFor(ctx context.Context, c Case, text string) (bool, error) {
	_, err := e.record(ctx, c, KindParked, "", text, Data{})
	return true, err
}

// lookAgain asks the nerve whether the person may be right.
func (e *Engine) lookAgain(ctx context.Context, c Case, again string) (bool, error) {
	said := fmt.Sprintf("ticket %s was resolved as %q", c.Ticket, ResolutionCannotReproduce)
	d, err := e.Hosts.Probe(ctx, c.Host(), c.Serial())
	v := d.Verdict.At(e.Now())
	switch {
	case err != nil, v.State == glia.StateMissing: // the next look sees that it is gone, or the host answers again
		e.Log.Debug("disk can not be looked at again", "case", c.ID, "error", err)
		return true, nil
	case !slices.Contains(e.States, v.State):
		return e.parkFor(ctx, c, fmt.Sprintf("%s, and now the disk is %s; %s, and say what it was with glia case outcome %s", said, steady(v), again, c.ID))
	}
	text := fmt.Sprintf("%s was looked at again just now and is still %s. Please replace it all the same; what speaks against it is above.", c.Serial(), v.Summary())
	_, err = e.record(ctx, c, KindAnswered, "", said+": "+text, Data{Resolution: ResolutionCannotReproduce, Tell: text, Reopen: true})
	return true, err
}
