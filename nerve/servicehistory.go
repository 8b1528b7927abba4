package nerve

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	"connectrpc.com/connect"

	"glia"
	"glia/api"
	gliav1 "glia/api/glia/v1"
	"glia/nerve/judge"
)

// GetHistory tells how the values that a disk is judged by have changed. A disk that was never here has none.
func (s *Service) GetHistory(_ context.Context, r *connect.Request[gliav1.GetHistoryRequest]) (*connect.Response[gliav1.GetHistoryResponse], error) {
	serial := r.Msg.GetSerial()
	out := &gliav1.GetHistoryResponse{}
	for _, a := range s.n.Accepted(serial) {
		out.Accepted = append(out.Accepted, acceptedToProto(a))
	}
	if s.n.History == nil {
		return connect.NewResponse(out), nil
	}
	series, err := s.n.History.Read(serial, api.TimeFromProto(r.Msg.GetSince()))
	if err != nil {
		return nil, connect.NewError(connect.CodeInternal, err)
	}
	for _, x := range series {
		m := &gliav1.Series{What: x.What, Class: string(x.Class)}
		for _, p := range x.Points {
			m.Points = append(m.Points, &gliav1.Point{At: api.TimeToProto(p.At), Value: p.Value, Unknown: p.Unknown})
		}
		out.Series = append(out.Series, m)
	}
	return connect.NewResponse(out), nil
}

// AcceptValue accepts a value of a disk for a person.
func (s *Service) AcceptValue(_ context.Context, r *connect.Request[gliav1.AcceptValueRequest]) (*connect.Response[gliav1.AcceptValueResponse], error) {
	m := r.Msg
	a := judge.Accepted{Rule: m.GetRule(), Value: -1, Reason: m.GetReason(), Person: m.GetPerson(), Until: api.TimeFromProto(m.GetUntil())}
	if m.Value != nil {
		if a.Value = m.GetValue(); a.Value < 0 {
			return nil, connect.NewError(connect.CodeInvalidArgument, errors.New("no value is below zero"))
		}
	}
	switch a, err := s.n.Accept(m.GetSerial(), a); {
	case errors.Is(err, glia.ErrNotFound):
		return nil, connect.NewError(connect.CodeNotFound, err)
	case errors.Is(err, errRefused):
		return nil, connect.NewError(connect.CodeInvalidArgument, err)
	case err != nil:
		return nil, connect.NewError(connect.CodeInternal, err)
	default:
		return connect.NewResponse(&gliav1.AcceptValueResponse{Accepted: acceptedToProto(a)}), nil
	}
}

// ListAccepted tells what is accepted now of all disks.
func (s *Service) ListAccepted(context.Context, *connect.Request[gliav1.ListAcceptedRequest]) (*connect.Response[gliav1.ListAcceptedResponse], error) {
	out := &gliav1.ListAcceptedResponse{Host: s.n.Host}
	for _, d := range s.n.Disks() {
		for _, a := range s.n.Accepted(d.Disk.Serial()) {
			out.Accepted = append(out.Accepted, &gliav1.AcceptedOfDisk{Serial: d.Disk.Serial(), Accepted: acceptedToProto(a)})
		}
	}
	slices.SortFunc(out.Accepted, func(a, b *gliav1.AcceptedOfDisk) int {
		return cmp.Or(strings.Compare(a.GetSerial(), b.GetSerial()), strings.Compare(a.GetAccepted().GetRule(), b.GetAccepted().GetRule()))
	})
	return connect.NewResponse(out), nil
}

func acceptedToProto(a judge.Accepted) *gliav1.AcceptedValue {
	return &gliav1.AcceptedValue{Rule: a.Rule, Value: a.Value, Reason: a.Reason, Person: a.Person, At: api.TimeToProto(a.At), Until: api.TimeToProto(a.Until)}
}

func findingsToProto(found []judge.Finding) []*gliav1.Finding {
	var out []*gliav1.Finding
	for _, f := range found {
		out = append(out, &gliav1.Finding{Kind: f.Kind, Scope: f.Scope, Words: f.Words, Advice: f.Advice, Since: api.TimeToProto(f.Since), Serials: f.Serials})
	}
	return out
}
