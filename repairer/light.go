package repairer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"connectrpc.com/connect"

	"glia"
	gliav1 "glia/api/glia/v1"
)

// KindLight is the event of a locate light that a person switches: what was asked for, and then what came
// of it. It belongs to no case.
const KindLight Kind = "light"

// againAfter is the time between two questions for an order that runs.
const againAfter = 200 * time.Millisecond

// notedWithin bounds the writing of what came of an order, for which nobody may wait any more.
const notedWithin = 5 * time.Second

// Locate switches the locate light of one disk's place for a person. That it was asked for stands in the log
// before it is done. A place without a light is a refusal.
func (s *Service) Locate(ctx context.Context, r *connect.Request[gliav1.LocateRequest]) (*connect.Response[gliav1.LocateResponse], error) {
	m, e := r.Msg, s.engine
	if m.GetPerson() == "" {
		return nil, invalid("switching a light needs the name of the person")
	}
	disks, err := e.Hosts.Disks(ctx, m.GetHost())
	if err != nil {
		return nil, connect.NewError(connect.CodeUnavailable, err)
	}
	d, why := Meant(disks, m.GetHost(), m.GetDisk())
	if why != "" {
		return nil, connect.NewError(connect.CodeNotFound, fmt.Errorf("%s", why))
	}
	place, serial := d.Disk.Location.Place(), d.Disk.Serial()
	if place == "" {
		return nil, refuse("the place of %s in %s is not known, so its light is not known either", serial, m.GetHost())
	}
	want := "off"
	if m.GetOn() {
		want = "on"
	}
	what := fmt.Sprintf("the locate light of %s of %s (disk %s)", place, m.GetHost(), serial)
	note := func(ctx context.Context, value, text string) error {
		return e.Store.Set(ctx, "light "+m.GetHost()+" "+place, value, Event{At: e.Now(), Kind: KindLight, Text: text, Data: Data{Person: m.GetPerson(), Serial: serial}})
	}
	if err := note(ctx, "asked "+want, fmt.Sprintf("%s wants %s %s", m.GetPerson(), what, want)); err != nil {
		return nil, fail(err)
	}
	answer, err := e.order(ctx, m.GetHost(), &gliav1.Order{
		Epoch: e.Store.Epoch(), CaseId: "locate", Key: fmt.Sprintf("locate/%d", e.Now().UnixNano()), Verb: gliav1.Verb_VERB_LOCATE, Serial: serial, Place: place, On: m.GetOn(),
	})
	switch {
	case err != nil:
	case answer.GetState() != gliav1.OrderState_ORDER_STATE_DONE:
		err = refuse("%s was not switched %s: %s", what, want, answer.GetReason())
	case len(answer.GetCommands()) == 0: // the hand had nothing to do it with, and says so
		err = refuse("%s", answer.GetOutput())
	}
	gone := ctx.Err() != nil
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), notedWithin)
	defer cancel()
	if err != nil {
		value, text := "not "+want, "is not "
		if gone || errors.Is(err, glia.ErrUnreachable) { // the answer is missing, and the hand may have done it
			value, text = "perhaps "+want, "may be "
		}
		if logged := note(ctx, value, fmt.Sprintf("%s %s%s: %s", what, text, want, brief(plain(err)))); logged != nil {
			return nil, fail(logged)
		}
		if connect.CodeOf(err) == connect.CodeFailedPrecondition {
			return nil, err
		}
		return nil, fail(err)
	}
	if err := note(ctx, want, what+" is "+want); err != nil {
		return nil, fail(err)
	}
	e.Log.Info("light switched", "host", m.GetHost(), "place", place, "serial", serial, "to", want, "by", m.GetPerson())
	return connect.NewResponse(&gliav1.LocateResponse{Host: m.GetHost(), Place: place, Serial: serial, On: m.GetOn()}), nil
}

// order sends an order until it has ended, or is told to wait.
func (e *Engine) order(ctx context.Context, host string, o *gliav1.Order) (*gliav1.ExecuteResponse, error) {
	for {
		r, err := e.Hosts.Execute(ctx, host, o)
		if err != nil || r.GetState() != gliav1.OrderState_ORDER_STATE_RUNNING || r.GetReason() != "" {
			return r, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("order %s to %s: still running: %w", o.GetKey(), host, ctx.Err())
		case <-time.After(againAfter):
		}
	}
}

// Meant finds the disk of a host that a person names by its serial, its slot or its place. Disks that went
// missing count: their lights may be on. When it is none, or more than one, it says why.
func Meant(disks []glia.DiskStatus, host, named string) (d glia.DiskStatus, why string) {
	var found []glia.DiskStatus
	var places []string
	for _, d := range disks {
		l := d.Disk.Location
		if d.Disk.Serial() == named || l.Slot == named || l.Place() == named {
			found = append(found, d)
			places = append(places, fmt.Sprintf("%s in %s", d.Disk.Serial(), l.Place()))
		}
	}
	switch {
	case named == "" || len(found) == 0:
		return d, fmt.Sprintf("%s has no disk with the serial, slot or place %q; see glia disks --host %s", host, named, host)
	case len(found) > 1:
		return d, fmt.Sprintf("%q is more than one disk of %s: %s; name it by its serial", named, host, strings.Join(places, ", "))
	}
	return found[0], ""
}
