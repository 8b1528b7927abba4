package synapse

import (
	"context"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/sync/errgroup"

	"glia"
	"glia/api"
	gliav1 "glia/api/glia/v1"
	"glia/api/glia/v1/gliav1connect"
)

// listers is how many hosts one ListFleetDisks asks at one time.
const listers = 64

// Service serves a Fleet over Connect. It is safe for concurrent use.
type Service struct{ fleet *Fleet }

var _ gliav1connect.FleetServiceHandler = (*Service)(nil)

// NewService returns the service of f; mount it with gliav1connect.NewFleetServiceHandler.
func NewService(f *Fleet) *Service { return &Service{fleet: f} }

var errStopping = connect.NewError(connect.CodeUnavailable, errors.New("the synapse is stopping; connect again"))

// firstView is how long a client waits for the first view without being told why there is none.
const firstView = 2 * time.Second

// WatchFleet sends the newest view at once, after each change, and every Resync. Changes that follow
// each other within 100 ms are sent as one. When there is none after 2 s it fails with the reason. When the
// registry stops answering it sends the old view with its old time, so that the client sees its age.
func (s *Service) WatchFleet(ctx context.Context, _ *connect.Request[gliav1.WatchFleetRequest], stream *connect.ServerStream[gliav1.WatchFleetResponse]) error {
	changes := s.fleet.Changes(ctx)
	heartbeat := time.NewTicker(s.fleet.o.Resync)
	defer heartbeat.Stop()
	rest := time.NewTimer(0)
	defer rest.Stop()
	first := time.NewTimer(firstView)
	defer first.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.fleet.stopped:
			return errStopping
		case <-changes:
		case <-heartbeat.C:
		case <-first.C:
			if s.fleet.newest().at.IsZero() {
				return connect.NewError(connect.CodeUnavailable, s.fleet.Ready())
			}
			continue
		}
		v := s.fleet.View()
		if v.At.IsZero() {
			continue
		}
		if err := stream.Send(&gliav1.WatchFleetResponse{View: api.FleetViewToProto(v)}); err != nil {
			return err
		}
		rest.Reset(pace)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-rest.C:
		}
	}
}

// ListFleetDisks asks all hosts, or the named one, for all their disks now, a page of them at a time if that is
// asked for. A host that does not answer is listed without disks and with the problem.
func (s *Service) ListFleetDisks(ctx context.Context, req *connect.Request[gliav1.ListFleetDisksRequest]) (*connect.Response[gliav1.ListFleetDisksResponse], error) {
	view := s.fleet.View()
	if view.At.IsZero() {
		return nil, connect.NewError(connect.CodeUnavailable, s.fleet.Ready())
	}
	var hosts []glia.HostView
	for _, h := range view.Hosts {
		if name := req.Msg.GetHost(); name == "" || name == h.Member.Announcement.Host {
			hosts = append(hosts, glia.HostView{Member: h.Member})
		}
	}
	if name := req.Msg.GetHost(); name != "" && len(hosts) == 0 {
		return nil, connect.NewError(connect.CodeNotFound, fmt.Errorf("host %s: %w", name, glia.ErrNotFound))
	}
	if req.Msg.GetPageSize() < 0 {
		return nil, connect.NewError(connect.CodeInvalidArgument, fmt.Errorf("page_size %d is not possible: want 0 or more", req.Msg.GetPageSize()))
	}
	hosts, next := page(hosts, int(req.Msg.GetPageSize()), req.Msg.GetPageToken())
	var group errgroup.Group
	group.SetLimit(listers)
	for i := range hosts {
		group.Go(func() error {
			s.fleet.list(ctx, &hosts[i])
			return nil
		})
	}
	_ = group.Wait() // the problem of a host stands beside it
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	out := &gliav1.ListFleetDisksResponse{Hosts: make([]*gliav1.HostView, len(hosts)), NextPageToken: next}
	for i, h := range hosts {
		out.Hosts[i] = api.HostViewToProto(h)
	}
	return connect.NewResponse(out), nil
}

// list fills in the disks of a host, or why they are not known.
func (f *Fleet) list(ctx context.Context, h *glia.HostView) {
	if h.Member.Status != glia.MemberAlive {
		h.Problem = fmt.Sprintf("not asked: the host is %s", h.Member.Status)
		return
	}
	if h.Member.Announcement.API == "" {
		h.Problem = "not asked: no API address is known"
		return
	}
	disks, _, err := f.ask(ctx, h.Member.Announcement)
	if err != nil {
		h.Problem = err.Error()
		return
	}
	h.Disks, h.FetchedAt = disks, f.o.Now()
}
