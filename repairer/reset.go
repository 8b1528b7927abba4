package repairer

import (
	"context"

	"connectrpc.com/connect"

	"glia/api"
	gliav1 "glia/api/glia/v1"
)

// ResetBreaker closes the tripped breaker on the word of a person.
func (s *Service) ResetBreaker(ctx context.Context, r *connect.Request[gliav1.ResetBreakerRequest]) (*connect.Response[gliav1.ResetBreakerResponse], error) {
	m := r.Msg
	if m.GetPerson() == "" || m.GetReason() == "" {
		return nil, invalid("resetting the breaker needs a person and a reason")
	}
	was, err := s.engine.ResetBreaker(ctx, m.GetPerson(), m.GetReason())
	switch {
	case err != nil:
		return nil, fail(err)
	case !was.Tripped:
		return nil, refuse("the breaker has not tripped; there is nothing to reset")
	}
	return connect.NewResponse(&gliav1.ResetBreakerResponse{Breaker: breakerToProto(Breaker{})}), nil
}

func breakerToProto(b Breaker) *gliav1.Breaker {
	return &gliav1.Breaker{Tripped: b.Tripped, Why: b.Why, Since: api.TimeToProto(b.Since)}
}

func budgetsToProto(in []Budget) []*gliav1.Budget {
	var out []*gliav1.Budget
	for _, b := range in {
		out = append(out, &gliav1.Budget{Scope: b.Scope, Used: int32(b.Used), Limit: int32(b.Limit)}) //nolint:gosec // limits are at most MaxInt32
	}
	return out
}
