package repairer

import (
	"context"
	"errors"
	"fmt"

	"glia"
	gliav1 "glia/api/glia/v1"
)

// The steps that switch the locate light of the place: on when it is safe to pull, before the person is
// told; off when the new disk has rejoined, or the case was undone. A light is a help and no condition:
// when it can not be switched, the case goes on and the step says why.
const (
	StepLocateOn  = "locate-on"
	StepLocateOff = "locate-off"
)

// lit says whether the light may be on and must still be switched off.
func lit(c Case) bool { return c.Step(StepLocateOn).Begun && !c.Step(StepLocateOff).Done }

// locate switches the light. Switching on is tried once, because the ticket waits for it; switching off
// as often as any step, and then it is left to people. The place is enough for both: the disk may be
// gone by then.
func (e *Engine) locate(ctx context.Context, c Case, step string) error {
	return e.act(ctx, c, step, func(c Case) (Data, error) {
		on := step == StepLocateOn
		output, err := e.light(ctx, c, step, on)
		last := on || c.Step(step).Attempts+1 >= e.Attempts
		var running runningError
		switch {
		case err == nil:
			return Data{Output: output}, nil
		case errors.As(err, &running), errors.Is(err, glia.ErrStaleEpoch), ctx.Err() != nil, !last:
			return Data{}, err
		case on:
			return Data{Output: "not switched on: " + brief(err)}, nil
		}
		return Data{Output: "may still be on: " + brief(err)}, nil
	})
}

func (e *Engine) light(ctx context.Context, c Case, step string, on bool) (string, error) {
	r, err := e.Hosts.Execute(ctx, c.Host(), &gliav1.Order{
		Epoch: e.Store.Epoch(), CaseId: c.ID, Key: c.Key(step), Verb: gliav1.Verb_VERB_LOCATE, Serial: c.Serial(), Place: c.Disk.Location.Place(), On: on,
	})
	switch {
	case err != nil:
		return "", err
	case r.GetState() == gliav1.OrderState_ORDER_STATE_RUNNING && r.GetReason() == "":
		return "", runningError{}
	case r.GetState() != gliav1.OrderState_ORDER_STATE_DONE:
		return "", fmt.Errorf("locate light of %s: %s", c.Disk.Location.Place(), r.GetReason())
	}
	return r.GetOutput(), nil
}
