package repairer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"connectrpc.com/connect"

	"glia"
	gliav1 "glia/api/glia/v1"
)

// KindResolved is the event of a ticket that a person resolves with glia. It belongs to no case, whose own log says what the
// resolution led to.
const KindResolved Kind = "resolved"

var errNoDesk = errors.New("the tickets of this repairer are not kept by glia; work on them in your tracker")

// ListTickets lists tickets of the built-in tracker.
func (s *Service) ListTickets(ctx context.Context, r *connect.Request[gliav1.ListTicketsRequest]) (*connect.Response[gliav1.ListTicketsResponse], error) {
	if s.desk == nil {
		return nil, connect.NewError(connect.CodeUnimplemented, errNoDesk)
	}
	list, err := s.desk.Tickets(ctx, r.Msg.GetAll())
	if err != nil {
		return nil, fail(err)
	}
	out := &gliav1.ListTicketsResponse{}
	for _, t := range list {
		out.Tickets = append(out.Tickets, ticketToProto(t))
	}
	return connect.NewResponse(out), nil
}

// GetTicket reads one ticket.
func (s *Service) GetTicket(ctx context.Context, r *connect.Request[gliav1.GetTicketRequest]) (*connect.Response[gliav1.GetTicketResponse], error) {
	t, err := s.engine.Tracker.Ticket(ctx, r.Msg.GetId())
	if err != nil {
		return nil, fail(err)
	}
	return connect.NewResponse(&gliav1.GetTicketResponse{Ticket: ticketToProto(t)}), nil
}

// ResolveTicket is what the technician does after the swap. Who does stands in the log before it is done.
func (s *Service) ResolveTicket(ctx context.Context, r *connect.Request[gliav1.ResolveTicketRequest]) (*connect.Response[gliav1.ResolveTicketResponse], error) {
	m := r.Msg
	switch {
	case s.desk == nil:
		return nil, connect.NewError(connect.CodeUnimplemented, errNoDesk)
	case m.GetPerson() == "":
		return nil, invalid("resolving a ticket needs the name of the person")
	case !slices.Contains(Resolutions, m.GetResolution()):
		return nil, invalid("resolution %q is not one of %s", m.GetResolution(), strings.Join(Resolutions, ", "))
	}
	if _, err := s.engine.Tracker.Ticket(ctx, m.GetId()); err != nil {
		return nil, fail(err)
	}
	if err := s.engine.Store.Set(ctx, "ticket "+m.GetId(), m.GetResolution(), Event{
		At: s.engine.Now(), Kind: KindResolved, Text: fmt.Sprintf("%s resolves ticket %s: %s", m.GetPerson(), m.GetId(), m.GetResolution()),
		Data: Data{Person: m.GetPerson(), Reason: m.GetComment(), Ticket: m.GetId(), Resolution: m.GetResolution()},
	}); err != nil {
		return nil, fail(err)
	}
	t, err := s.desk.Resolve(ctx, m.GetId(), m.GetResolution(), m.GetPerson(), m.GetComment())
	if err != nil {
		if errors.Is(err, glia.ErrNotFound) {
			return nil, fail(err)
		}
		return nil, refuse("%v", err)
	}
	s.engine.Wake()
	return connect.NewResponse(&gliav1.ResolveTicketResponse{Ticket: ticketToProto(t)}), nil
}
