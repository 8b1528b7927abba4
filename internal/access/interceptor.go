package access

import (
	"context"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"
)

// interceptor is the guard at the inner side of the protocols, where requests and outcomes are understood.
type interceptor struct{ g *Guard }

var _ connect.Interceptor = interceptor{}

// past is the error of services that were mounted without the guard's Handler.
func past() error {
	return connect.NewError(connect.CodeInternal, errors.New("the call came past the guard of this API and is not made; this is a mistake in the program"))
}

// WrapUnary bounds a call, and keeps account of it when it changes something.
func (i interceptor) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, r connect.AnyRequest) (connect.AnyResponse, error) {
		c := from(ctx)
		if c == nil || c.procedure != r.Spec().Procedure {
			return nil, past()
		}
		c.reached = true
		ctx, cancel := context.WithTimeoutCause(ctx, c.verb.within, fmt.Errorf("not answered within %s", c.verb.within))
		defer cancel()
		begun := time.Now()
		answer, err := next(ctx, r)
		i.g.account(c, r, answer, err, time.Since(begun))
		return answer, err
	}
}

// WrapStreamingClient leaves clients as they are.
func (i interceptor) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

// WrapStreamingHandler ends a stream whose client does not take what it has asked for.
func (i interceptor) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		c := from(ctx)
		if c == nil || c.procedure != conn.Spec().Procedure {
			return past()
		}
		return next(ctx, &stream{StreamingHandlerConn: conn, call: c, within: i.g.Send})
	}
}

// stream is one answer in several messages.
type stream struct {
	connect.StreamingHandlerConn
	call   *call
	within time.Duration
}

// Receive notes that the request was understood: the one message of it is read here.
func (s *stream) Receive(m any) error {
	err := s.StreamingHandlerConn.Receive(m)
	if err == nil {
		s.call.reached = true
	}
	return err
}

// Send sends within the time that the client has for taking it.
func (s *stream) Send(m any) error {
	_ = s.call.control.SetWriteDeadline(time.Now().Add(s.within))
	defer func() { _ = s.call.control.SetWriteDeadline(time.Time{}) }()
	return s.StreamingHandlerConn.Send(m)
}
