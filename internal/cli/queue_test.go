package cli_test

import (
	"context"
	"time"

	"connectrpc.com/connect"

	gliav1 "glia/api/glia/v1"
	"glia/api/glia/v1/gliav1connect"
)

type queueService struct {
	gliav1connect.UnimplementedQueueServiceHandler
	*world
}

func (s queueService) ListQueue(context.Context, *connect.Request[gliav1.ListQueueRequest]) (*connect.Response[gliav1.ListQueueResponse], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return answer(s.queue), nil
}

// see finds the dead event and takes it away.
func (s queueService) see(id uint64) error {
	for i, e := range s.queue.Events {
		if e.Id == id && e.State == "dead" {
			s.queue.Events = append(s.queue.Events[:i:i], s.queue.Events[i+1:]...)
			return nil
		}
	}
	return notFound("dead event %d: not found", id)
}

func (s queueService) ReplayEvent(_ context.Context, r *connect.Request[gliav1.ReplayEventRequest]) (*connect.Response[gliav1.ReplayEventResponse], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ask("replay %d by %s: %s", r.Msg.GetId(), r.Msg.GetPerson(), r.Msg.GetReason())
	return connect.NewResponse(&gliav1.ReplayEventResponse{}), s.see(r.Msg.GetId())
}

func (s queueService) DropEvent(_ context.Context, r *connect.Request[gliav1.DropEventRequest]) (*connect.Response[gliav1.DropEventResponse], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ask("drop %d by %s: %s", r.Msg.GetId(), r.Msg.GetPerson(), r.Msg.GetReason())
	return connect.NewResponse(&gliav1.DropEventResponse{}), s.see(r.Msg.GetId())
}

// newQueue has one dead event, one that waits, and a timer.
func newQueue() *gliav1.ListQueueResponse {
	return &gliav1.ListQueueResponse{
		Events: []*gliav1.QueuedEvent{
			{Id: 9, Key: "timer/pause/p3/1", Type: "pause-over", Payload: "p3", At: at(-3 * time.Hour), State: "dead", Attempts: 5, Problem: "the disk is full"},
			{Id: 10, Key: "timer/pause/p4/1", Type: "pause-over", Payload: "p4", At: at(-2 * time.Minute), State: "waiting", Attempts: 1, Next: at(time.Minute), Problem: "the disk is full"},
		},
		Timers: []*gliav1.QueueTimer{{Key: "pause/p5", Due: at(time.Hour), Type: "pause-over", Payload: "p5"}},
	}
}
