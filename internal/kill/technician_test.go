package kill_test

import (
	"context"
	"errors"
	"slices"
	"strings"

	"connectrpc.com/connect"

	gliav1 "glia/api/glia/v1"
	"glia/api/glia/v1/gliav1connect"
)

// seen is what a person sees of the case through the repairer's API.
type seen struct {
	c      *gliav1.Case
	events []*gliav1.Event
	ticket *gliav1.Ticket // nil before it was filed
}

func see(ctx context.Context, client gliav1connect.RepairServiceClient) (seen, error) {
	c, err := client.GetCase(ctx, connect.NewRequest(&gliav1.GetCaseRequest{Id: "c1"}))
	if err != nil {
		return seen{}, err
	}
	s := seen{c: c.Msg.GetCase(), events: c.Msg.GetEvents()}
	if id := s.c.GetTicket(); id != "" {
		t, err := client.GetTicket(ctx, connect.NewRequest(&gliav1.GetTicketRequest{Id: id}))
		if err != nil {
			return seen{}, err
		}
		s.ticket = t.Msg.GetTicket()
	}
	return s, nil
}

// happened says whether the log has an event of that kind.
func (s seen) happened(kind string) bool {
	return slices.ContainsFunc(s.events, func(e *gliav1.Event) bool { return e.GetKind() == kind })
}

// told says whether the ticket has a comment with that text.
func (s seen) told(text string) bool {
	return slices.ContainsFunc(s.ticket.GetComments(), func(c *gliav1.TicketComment) bool { return strings.Contains(c.GetText(), text) })
}

// technician swaps the disk, with two mistakes on the way: first the neighbour is pulled, then a used
// disk is put in and the ticket resolved. Each move waits until the ticket or the log tells that the
// repairer has taken in the one before, so that every repair is the same one.
type technician struct {
	h     *host
	moves int // done
	story story
}

// story is what happens around a repair.
type story string

const (
	swapped   story = ""
	cancelled story = "cancelled" // by a person, when the ticket is filed; and the light can not be switched
	worn      story = "burn-in"   // the first new disk does not pass its burn-in
)

// tell makes the host and the technician those of a story.
func (w *world) tell(s story) {
	w.tech.story, w.host.dark = s, s == cancelled
	if s == worn {
		w.host.bad = "BAD1"
	}
}

// cancel cancels the case, once.
func (p *technician) cancel(ctx context.Context, s seen, client gliav1connect.RepairServiceClient) error {
	if s.c.GetPhase() != "awaiting replacement" || s.happened("cancel") {
		return nil
	}
	_, err := client.Cancel(ctx, connect.NewRequest(&gliav1.CancelRequest{CaseId: s.c.GetId(), Person: "tech", Reason: "no spare"}))
	if code := connect.CodeOf(err); code == connect.CodeUnavailable || code == connect.CodeDeadlineExceeded || code == connect.CodeCanceled {
		return nil // the repairer is down
	}
	return err
}

// replace swaps the disk, and once more after the first new one was not taken.
func (p *technician) replace(s seen) error {
	p.h.mu.Lock()
	defer p.h.mu.Unlock()
	switch {
	case p.moves == 0 && s.ticket != nil:
		p.moves++
		return p.h.pull(badSlot, badDisk)
	case p.moves == 1 && s.happened("removed"):
		p.moves++
		return p.insert(p.h.bad, "")
	case p.moves == 2 && s.told("not taken"):
		p.moves++
		return errors.Join(p.h.pull(badSlot, p.h.bad), p.insert(newDisk, ""))
	}
	return nil
}

// work makes the next move, if it is time for it.
func (p *technician) work(ctx context.Context, s seen, client gliav1connect.RepairServiceClient) error {
	switch p.story {
	case cancelled:
		return p.cancel(ctx, s, client)
	case worn:
		return p.replace(s)
	}
	due := false
	var move func() error
	switch p.moves {
	case 0:
		due, move = s.ticket != nil, func() error { return p.h.pull("3", "S3") }
	case 1:
		due, move = s.told("WRONG DISK"), func() error { return p.h.put("3", "S3") }
	case 2:
		due, move = s.told("is back"), func() error {
			if p.h.get(badSlot, badDisk, "mounted") != "" {
				return errors.New("the ticket lets the technician pull a disk that is mounted")
			}
			return p.h.pull(badSlot, badDisk)
		}
	case 3:
		due, move = s.happened("removed"), func() error { return p.insert("USED1", "other") }
	case 4:
		due, move = s.told("not taken"), func() error {
			if s.told("resolved: done") {
				return nil // by a call whose answer was lost with the repairer
			}
			_, err := client.ResolveTicket(ctx, connect.NewRequest(&gliav1.ResolveTicketRequest{Id: s.ticket.GetId(), Resolution: "done", Person: "tech", Comment: "swapped"}))
			if connect.CodeOf(err) == connect.CodeUnavailable || connect.CodeOf(err) == connect.CodeDeadlineExceeded || connect.CodeOf(err) == connect.CodeCanceled {
				p.moves-- // the repairer is down
				return nil
			}
			return err
		}
	case 5:
		due, move = s.ticket.GetStatus() == "open", func() error {
			// Not in the middle of an inspection, which would rightly be told as one more refusal.
			p.h.swap = func() error { return errors.Join(p.h.pull(badSlot, "USED1"), p.insert(newDisk, "")) }
			return nil
		}
	}
	if !due {
		return nil
	}
	p.moves++
	p.h.mu.Lock()
	defer p.h.mu.Unlock()
	return move()
}

// insert plugs in a disk that was never here.
func (p *technician) insert(serial, fs string) error {
	return errors.Join(p.h.put(badSlot, serial), p.h.set(badSlot, serial, "fs", fs))
}
