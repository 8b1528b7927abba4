package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"
	"github.com/cenkalti/backoff/v5"

	gliav1 "glia/api/glia/v1"
	"glia/api/glia/v1/gliav1connect"
)

// How a watch comes back to a repairer that was lost. A repairer that restarts or is replaced by
// another one is back well within reconnectFor; a watch that hangs for longer only hides an outage.
const (
	reconnectFirst = 200 * time.Millisecond
	reconnectMost  = 5 * time.Second
	reconnectFor   = 10 * time.Minute
)

// watch is one command that follows a case over any number of connections.
type watch struct {
	*app
	client gliav1connect.RepairServiceClient
	server server
	id     string

	seen    uint64     // highest sequence number that was printed
	last    repairCase // newest state that was told
	started bool       // an answer came; from then on a loss is waited out
	lost    bool       // the person was told that the connection is lost
}

func (c *caseCommand) follow(ctx context.Context, id string) error {
	rc, s, err := c.repairClient()
	if err != nil {
		return err
	}
	w := &watch{app: c.app, client: rc, server: s, id: id}
	return w.run(ctx)
}

func (w *watch) run(ctx context.Context) error {
	retry := &backoff.ExponentialBackOff{
		InitialInterval: reconnectFirst, MaxInterval: reconnectMost,
		Multiplier: 2, RandomizationFactor: backoff.DefaultRandomizationFactor,
	}
	retry.Reset()
	var lostAt time.Time
	for {
		answered, err := w.stream(ctx)
		switch {
		case interrupted(ctx):
			return fmt.Errorf("interrupted; case %s goes on without being watched", w.id)
		case w.last.ended():
			return nil
		case err != nil && (!w.started || permanent(err)):
			return w.server.explain(err)
		}
		if answered {
			retry.Reset()
			lostAt = time.Time{}
		}
		if lostAt.IsZero() {
			lostAt = w.now()
		}
		if w.now().Sub(lostAt) > reconnectFor {
			return fmt.Errorf("case %s was not followed to its end, because the repairer has been lost for %s: %w", w.id, span(reconnectFor), w.server.explain(err))
		}
		if !w.lost {
			w.lost = true
			w.note("lost the repairer at %s; trying again", w.server.url)
		}
		select {
		case <-ctx.Done():
		case <-time.After(retry.NextBackOff()):
		}
	}
}

// permanent says that asking again cannot help. Only what the server itself said can be permanent: a
// server in the middle of a restart may break a stream in any way.
func permanent(err error) bool {
	if !connect.IsWireError(err) {
		return false
	}
	switch connect.CodeOf(err) {
	case connect.CodeNotFound, connect.CodeInvalidArgument, connect.CodePermissionDenied,
		connect.CodeUnauthenticated, connect.CodeUnimplemented, connect.CodeFailedPrecondition:
		return true
	}
	return false
}

// stream follows the case over one connection, until that ends. It tells whether anything came.
func (w *watch) stream(ctx context.Context) (answered bool, err error) {
	// Until the first answer the deadline of a question holds; a case that is quiet has none.
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silent := time.AfterFunc(w.server.wait, func() { cancel(errSilent) })
	defer silent.Stop()
	s, err := w.client.WatchCase(ctx, connect.NewRequest(&gliav1.WatchCaseRequest{Id: w.id}))
	if err != nil {
		return false, silence(ctx, err)
	}
	defer s.Close()
	for s.Receive() {
		silent.Stop()
		answered = true
		if err := w.take(s.Msg()); err != nil {
			return answered, err
		}
	}
	return answered, silence(ctx, s.Err())
}

var errSilent = errors.New("no answer in time")

func silence(ctx context.Context, err error) error {
	if errors.Is(context.Cause(ctx), errSilent) {
		return connect.NewError(connect.CodeDeadlineExceeded, errSilent)
	}
	return err
}

// take prints what is new in one message.
func (w *watch) take(m *gliav1.WatchCaseResponse) error {
	c := caseListed(m.GetCase())
	if w.lost {
		w.lost = false
		w.note("the repairer is back")
	}
	if !w.started {
		w.started = true
		w.note("watching case %s: %s, %s", clean(c.ID), clean(caseDisk(c)), clean(c.Phase))
	}
	for _, e := range m.GetEvents() {
		if e.GetSeq() <= w.seen {
			continue
		}
		if err := w.emit(eventFrom(e)); err != nil {
			return err
		}
		w.seen = e.GetSeq()
	}
	switch {
	case c.ended():
		w.note("case %s is %s after %s", clean(c.ID), clean(c.Phase), c.age(w.now()))
	case c.Alarm != "" && c.Alarm != w.last.Alarm:
		w.note("ALARM: %s", clean(c.Alarm))
	case c.WaitingFor != "" && c.WaitingFor != w.last.WaitingFor:
		w.note("waiting for: %s", clean(c.WaitingFor))
	}
	w.last = c
	return nil
}

func (w *watch) emit(e event) error {
	line := e.line()
	if w.format == formatJSON {
		b, err := json.Marshal(e)
		if err != nil {
			return fmt.Errorf("write event %d as JSON: %w", e.Seq, err)
		}
		line = string(b)
	}
	if _, err := fmt.Fprintln(w.out, line); err != nil {
		return fmt.Errorf("write event %d: %w", e.Seq, err)
	}
	return nil
}
