package queue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"connectrpc.com/connect"

	"glia"
	"glia/api"
	gliav1 "glia/api/glia/v1"
	"glia/api/glia/v1/gliav1connect"
)

// Acts are what a person does to dead events. Each stands in the log together with who did it and why.
type Acts interface {
	ReplayEvent(ctx context.Context, id uint64, person, reason string) error
	DropEvent(ctx context.Context, id uint64, person, reason string) error
}

// Service is the API of the queue of one database. It is safe for concurrent use.
type Service struct {
	db   *sql.DB
	acts Acts
}

var _ gliav1connect.QueueServiceHandler = (*Service)(nil)

// NewService makes the API.
func NewService(db *sql.DB, acts Acts) *Service { return &Service{db, acts} }

// ListQueue lists events and timers.
func (s *Service) ListQueue(ctx context.Context, r *connect.Request[gliav1.ListQueueRequest]) (*connect.Response[gliav1.ListQueueResponse], error) {
	events, err := List(ctx, s.db, r.Msg.GetAll())
	if err != nil {
		return nil, err
	}
	timers, err := Timers(ctx, s.db)
	if err != nil {
		return nil, err
	}
	out := &gliav1.ListQueueResponse{}
	for _, e := range events {
		out.Events = append(out.Events, &gliav1.QueuedEvent{
			Id: e.ID, Key: e.Key, Type: e.Type, Payload: e.Payload, At: api.TimeToProto(e.At), State: string(e.State),
			Attempts: int32(e.Attempts), Next: api.TimeToProto(e.Next), Problem: e.Problem, //nolint:gosec // few
		})
	}
	for _, t := range timers {
		out.Timers = append(out.Timers, &gliav1.QueueTimer{Key: t.Key, Due: api.TimeToProto(t.Due), Type: t.Type, Payload: t.Payload})
	}
	return connect.NewResponse(out), nil
}

// ReplayEvent gives a dead event its attempts again.
func (s *Service) ReplayEvent(ctx context.Context, r *connect.Request[gliav1.ReplayEventRequest]) (*connect.Response[gliav1.ReplayEventResponse], error) {
	m := r.Msg
	return connect.NewResponse(&gliav1.ReplayEventResponse{}), act(ctx, s.acts.ReplayEvent, m.GetId(), m.GetPerson(), m.GetReason())
}

// DropEvent takes a dead event for done.
func (s *Service) DropEvent(ctx context.Context, r *connect.Request[gliav1.DropEventRequest]) (*connect.Response[gliav1.DropEventResponse], error) {
	m := r.Msg
	return connect.NewResponse(&gliav1.DropEventResponse{}), act(ctx, s.acts.DropEvent, m.GetId(), m.GetPerson(), m.GetReason())
}

func act(ctx context.Context, do func(context.Context, uint64, string, string) error, id uint64, person, reason string) error {
	if person == "" || reason == "" {
		return connect.NewError(connect.CodeInvalidArgument, errors.New("what is done to a dead event needs a person and a reason"))
	}
	switch err := do(ctx, id, person, reason); {
	case errors.Is(err, glia.ErrNotFound):
		return connect.NewError(connect.CodeNotFound, err)
	case errors.Is(err, glia.ErrStaleEpoch):
		return connect.NewError(connect.CodeAborted, err)
	default:
		return err
	}
}

// Findings are the dead events, for people; empty when there are none.
func Findings(ctx context.Context, db *sql.DB) ([]string, error) {
	var n int
	var first sql.NullInt64
	if err := db.QueryRowContext(ctx, `SELECT count(*), min(id) FROM queue WHERE state = 'dead'`).Scan(&n, &first); err != nil {
		return nil, fmt.Errorf("count the dead events: %w", err)
	}
	if n == 0 {
		return nil, nil
	}
	return []string{fmt.Sprintf("%d dead in the queue, the first is event %d: see glia queue list", n, first.Int64)}, nil
}
