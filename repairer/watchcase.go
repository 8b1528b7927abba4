package repairer

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"connectrpc.com/connect"

	gliav1 "glia/api/glia/v1"
)

// readWithin bounds one reading of a case for those who watch it.
const readWithin = time.Minute

// WatchCase sends the case now and after each new event, until it has ended.
func (s *Service) WatchCase(ctx context.Context, r *connect.Request[gliav1.WatchCaseRequest], stream *connect.ServerStream[gliav1.WatchCaseResponse]) error {
	var after uint64
	for first := true; ; first = false {
		changed := s.engine.Store.Changed()
		m, err := s.watched(ctx, r.Msg.GetId(), after, changed)
		if err != nil {
			return fail(err)
		}
		events := m.GetEvents()
		if len(events) > 0 || first {
			if err := stream.Send(m); err != nil {
				return err
			}
		}
		if len(events) > 0 {
			after = events[len(events)-1].GetSeq()
		}
		if Phase(m.GetCase().GetPhase()).Ended() {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
	}
}

// watched is the case with its events after that one. All who watch it and have seen as much of it share one reading
// for each change, and its outcome, which nobody changes. One that was begun before a change is shared only with
// those who will be told of that change: they wait for the same channel.
func (s *Service) watched(ctx context.Context, id string, after uint64, changed <-chan struct{}) (*gliav1.WatchCaseResponse, error) {
	read := s.reads.DoChan(fmt.Sprintf("%s %d %p", id, after, changed), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readWithin) // it is not for one of them alone
		defer cancel()
		defer runtime.KeepAlive(changed) // so that no other channel gets its place in the key
		c, events, err := s.caseAndEvents(ctx, id, after)
		if err != nil {
			return nil, err
		}
		return &gliav1.WatchCaseResponse{Case: s.show(c), Events: eventsToProto(events)}, nil
	})
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case r := <-read:
		if r.Err != nil {
			return nil, r.Err
		}
		return r.Val.(*gliav1.WatchCaseResponse), nil
	}
}
