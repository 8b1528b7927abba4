package nerve

import (
	"context"
	"errors"

	"connectrpc.com/connect"

	"glia"
	"glia/api"
	gliav1 "glia/api/glia/v1"
	"glia/api/glia/v1/gliav1connect"
)

// Service is the host API.
type Service struct{ n *Nerve }

var _ gliav1connect.HostServiceHandler = (*Service)(nil)

// NewService makes the host API of a nerve.
func NewService(n *Nerve) *Service { return &Service{n: n} }

// ListDisks tells all disks of the host, by an inventory of this moment.
func (s *Service) ListDisks(ctx context.Context, _ *connect.Request[gliav1.ListDisksRequest]) (*connect.Response[gliav1.ListDisksResponse], error) {
	s.n.look(ctx)
	if p := s.n.Problem(); p != "" {
		return nil, connect.NewError(connect.CodeUnavailable, errors.New("inventory of "+s.n.Host+" can not be read: "+p))
	}
	s.n.mu.Lock()
	generation := s.n.generation
	s.n.mu.Unlock()
	disks, found := s.n.view()
	return connect.NewResponse(&gliav1.ListDisksResponse{Host: s.n.Host, Generation: generation, Disks: api.DiskStatusesToProto(disks), Findings: findingsToProto(found)}), nil
}

// ProbeDisk probes one disk now.
func (s *Service) ProbeDisk(ctx context.Context, r *connect.Request[gliav1.ProbeDiskRequest]) (*connect.Response[gliav1.ProbeDiskResponse], error) {
	d, err := s.n.Probe(ctx, r.Msg.GetSerial())
	switch {
	case errors.Is(err, glia.ErrNotFound):
		return nil, connect.NewError(connect.CodeNotFound, err)
	case err != nil:
		return nil, connect.NewError(connect.CodeDeadlineExceeded, err)
	}
	return connect.NewResponse(&gliav1.ProbeDiskResponse{Disk: api.DiskStatusToProto(d)}), nil
}

// Fence makes the hand refuse orders of older epochs.
func (s *Service) Fence(_ context.Context, r *connect.Request[gliav1.FenceRequest]) (*connect.Response[gliav1.FenceResponse], error) {
	switch err := s.n.Fence(r.Msg.GetEpoch()); {
	case errors.Is(err, glia.ErrStaleEpoch):
		return nil, connect.NewError(connect.CodeAborted, err)
	case err != nil:
		return nil, connect.NewError(connect.CodeInternal, err)
	}
	return connect.NewResponse(&gliav1.FenceResponse{}), nil
}

// Execute hands one order to the hand. While the nerve stops it is not available, which is no answer to the order: an act
// that was begun may still run.
func (s *Service) Execute(ctx context.Context, r *connect.Request[gliav1.ExecuteRequest]) (*connect.Response[gliav1.ExecuteResponse], error) {
	out, err := s.n.Execute(ctx, r.Msg.GetOrder())
	switch {
	case errors.Is(err, glia.ErrStaleEpoch):
		return nil, connect.NewError(connect.CodeAborted, err)
	case errors.Is(err, glia.ErrUnreachable):
		return nil, connect.NewError(connect.CodeUnavailable, err)
	case err != nil:
		return nil, connect.NewError(connect.CodeInternal, err)
	}
	return connect.NewResponse(out), nil
}
