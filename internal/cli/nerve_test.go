package cli_test

import (
	"context"
	"errors"
	"time"

	"connectrpc.com/connect"

	gliav1 "glia/api/glia/v1"
	"glia/api/glia/v1/gliav1connect"
)

// hostService is the nerve of every host. The disk WD-F00D had growing pending sectors ten days ago.
type hostService struct {
	gliav1connect.UnimplementedHostServiceHandler
	*world
}

func (s hostService) GetHistory(_ context.Context, r *connect.Request[gliav1.GetHistoryRequest]) (*connect.Response[gliav1.GetHistoryResponse], error) {
	if r.Msg.GetSerial() != "WD-F00D" {
		return connect.NewResponse(&gliav1.GetHistoryResponse{}), nil
	}
	day := func(n int, v float64) *gliav1.Point {
		return &gliav1.Point{At: at(-time.Duration(n) * 24 * time.Hour), Value: v}
	}
	return connect.NewResponse(&gliav1.GetHistoryResponse{
		Series: []*gliav1.Series{
			{What: "ata.pending", Class: "media", Points: []*gliav1.Point{day(20, 0), day(10, 2), day(5, 8)}},
			{What: "ata.temperature", Class: "thermal", Points: []*gliav1.Point{day(20, 31)}},
			{What: "verdict", Points: []*gliav1.Point{day(20, 1), day(10, 2)}},
		},
		Accepted: []*gliav1.AcceptedValue{{Rule: "ata-crc", Value: 12, Reason: "cable replaced", Person: "ann", At: at(-time.Hour), Until: at(24 * time.Hour)}},
	}), nil
}

func (s hostService) ListAccepted(context.Context, *connect.Request[gliav1.ListAcceptedRequest]) (*connect.Response[gliav1.ListAcceptedResponse], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.accepted {
		return connect.NewResponse(&gliav1.ListAcceptedResponse{}), nil
	}
	a := &gliav1.AcceptedValue{Rule: "ata-crc", Value: 12, Reason: "cable replaced", Person: "ann", At: at(-time.Hour), Until: at(24 * time.Hour)}
	return connect.NewResponse(&gliav1.ListAcceptedResponse{Host: "node-2", Accepted: []*gliav1.AcceptedOfDisk{{Serial: "WD-F00D", Accepted: a}}}), nil
}

func (s hostService) AcceptValue(_ context.Context, r *connect.Request[gliav1.AcceptValueRequest]) (*connect.Response[gliav1.AcceptValueResponse], error) {
	m := r.Msg
	if m.GetRule() == "nonsense" {
		return nil, connect.NewError(connect.CodeInvalidArgument, errors.New(`accept a value of WD-F00D: not accepted: no rule with the name "nonsense" judges this disk`))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	value := 8.0
	if m.Value != nil {
		value = m.GetValue()
	}
	s.ask("accept %s %s %v by %s: %s", m.GetSerial(), m.GetRule(), m.Value != nil, m.GetPerson(), m.GetReason())
	return connect.NewResponse(&gliav1.AcceptValueResponse{Accepted: &gliav1.AcceptedValue{Rule: m.GetRule(), Value: value, Reason: m.GetReason(), Person: m.GetPerson(), At: at(0), Until: m.GetUntil()}}), nil
}
