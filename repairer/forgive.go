package repairer

import (
	"context"
	"errors"
	"fmt"

	"connectrpc.com/connect"

	"glia"
	"glia/api"
	gliav1 "glia/api/glia/v1"
)

// ListGraveyard lists the serials that were taken out and are refused wherever they turn up again.
func (s *Service) ListGraveyard(ctx context.Context, _ *connect.Request[gliav1.ListGraveyardRequest]) (*connect.Response[gliav1.ListGraveyardResponse], error) {
	serials, err := s.engine.Store.Retired(ctx)
	if err != nil {
		return nil, fail(err)
	}
	out := &gliav1.ListGraveyardResponse{}
	for _, serial := range serials {
		c, err := s.engine.Store.LastCase(ctx, serial)
		if err != nil && !errors.Is(err, glia.ErrNotFound) {
			return nil, fail(fmt.Errorf("look for the case of %s: %w", serial, err))
		}
		g := &gliav1.Grave{Serial: serial, CaseId: c.ID, Host: c.Host(), Place: c.Disk.Location.Place(), At: api.TimeToProto(c.ClosedAt), Outcome: string(c.Outcome)}
		if c.ClosedAt.IsZero() {
			g.At = api.TimeToProto(c.At)
		}
		out.Graves = append(out.Graves, g)
	}
	return connect.NewResponse(out), nil
}

// ForgiveDisk takes a serial out of the graveyard. Should the disk fail again, it comes back.
func (s *Service) ForgiveDisk(ctx context.Context, r *connect.Request[gliav1.ForgiveDiskRequest]) (*connect.Response[gliav1.ForgiveDiskResponse], error) {
	m, e := r.Msg, s.engine
	if m.GetPerson() == "" || m.GetReason() == "" {
		return nil, invalid("forgiving a disk needs a person and a reason")
	}
	last, err := e.Store.LastCase(ctx, m.GetSerial())
	if err != nil && !errors.Is(err, glia.ErrNotFound) {
		return nil, fail(fmt.Errorf("look for the case of %s: %w", m.GetSerial(), err))
	}
	if last.ID != "" && !last.Phase.Ended() {
		return nil, refuse("%s is under repair in case %s, which is %s: wait until that has ended", m.GetSerial(), last.ID, last.Phase)
	}
	err = e.Store.Forgive(ctx, m.GetSerial(), Event{At: e.Now(), Kind: KindForgiven, Text: fmt.Sprintf("%s is forgiven by %s: %s", m.GetSerial(), m.GetPerson(), m.GetReason()),
		Data: Data{Person: m.GetPerson(), Reason: m.GetReason()}})
	switch {
	case errors.Is(err, glia.ErrNotFound):
		return nil, connect.NewError(connect.CodeNotFound, fmt.Errorf("%s is not in the graveyard; see glia graveyard list", m.GetSerial()))
	case err != nil:
		return nil, fail(err)
	}
	e.Log.Warn("disk forgiven", "serial", m.GetSerial(), "by", m.GetPerson(), "reason", m.GetReason())
	e.Wake()
	return connect.NewResponse(&gliav1.ForgiveDiskResponse{}), nil
}
