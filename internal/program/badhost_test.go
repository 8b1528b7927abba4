package program_test

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"

	"connectrpc.com/connect"

	"glia"
	"glia/api"
	gliav1 "glia/api/glia/v1"
	"glia/api/glia/v1/gliav1connect"
	"glia/internal/daemon"
)

// badHost is a storage host with one failed disk, whose hand says done to everything, and the synapse that shows it. It is for
// tests of what a repairer tells while a case is open.
type badHost struct {
	gliav1connect.UnimplementedHostServiceHandler
	gliav1connect.UnimplementedFleetServiceHandler
	addr string
}

func newBadHost(t *testing.T) *badHost {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &badHost{addr: ln.Addr().String()}
	mux := http.NewServeMux()
	mux.Handle(gliav1connect.NewHostServiceHandler(h))
	mux.Handle(gliav1connect.NewFleetServiceHandler(h))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = daemon.Server{Handler: mux, Log: slog.New(slog.DiscardHandler), Grace: 100 * time.Millisecond}.Serve(ctx, ln)
	}()
	t.Cleanup(func() { cancel(); <-ended })
	return h
}

func (h *badHost) disk() glia.DiskStatus {
	now := time.Now()
	s := glia.DiskStatus{
		Disk: glia.Disk{
			Identity: glia.Identity{Serial: "S2", Model: "MODEL", Size: 1 << 40, Class: glia.ClassHDD},
			Location: glia.Location{Host: "node-1", Slot: "2", Device: "sdb"},
			Mounts:   []glia.Mount{{Source: "sdb", Target: "/data/2", FSType: "ext4", Options: "rw", UUID: "u"}},
		},
		Verdict: glia.Verdict{State: glia.StateFailed, ObservedAt: now, ExpiresAt: now.Add(time.Hour)},
	}
	for _, class := range []glia.EvidenceClass{glia.Media, glia.Filesystem} {
		s.Verdict.Reasons = append(s.Verdict.Reasons, glia.Reason{Rule: string(class), Class: class, State: glia.StateFailed, Words: "it fails", Since: now.Add(-time.Hour)})
	}
	return s
}

func (h *badHost) ListDisks(context.Context, *connect.Request[gliav1.ListDisksRequest]) (*connect.Response[gliav1.ListDisksResponse], error) {
	return connect.NewResponse(&gliav1.ListDisksResponse{Host: "node-1", Generation: 1, Disks: api.DiskStatusesToProto([]glia.DiskStatus{h.disk()})}), nil
}

func (h *badHost) ProbeDisk(context.Context, *connect.Request[gliav1.ProbeDiskRequest]) (*connect.Response[gliav1.ProbeDiskResponse], error) {
	return connect.NewResponse(&gliav1.ProbeDiskResponse{Disk: api.DiskStatusToProto(h.disk())}), nil
}

func (h *badHost) Fence(context.Context, *connect.Request[gliav1.FenceRequest]) (*connect.Response[gliav1.FenceResponse], error) {
	return connect.NewResponse(&gliav1.FenceResponse{}), nil
}

func (h *badHost) Execute(context.Context, *connect.Request[gliav1.ExecuteRequest]) (*connect.Response[gliav1.ExecuteResponse], error) {
	return connect.NewResponse(&gliav1.ExecuteResponse{State: gliav1.OrderState_ORDER_STATE_DONE}), nil
}

func (h *badHost) WatchFleet(ctx context.Context, _ *connect.Request[gliav1.WatchFleetRequest], stream *connect.ServerStream[gliav1.WatchFleetResponse]) error {
	t := time.NewTicker(100 * time.Millisecond)
	defer t.Stop()
	for {
		disks := []glia.DiskStatus{h.disk()}
		v := glia.FleetView{At: time.Now(), Hosts: []glia.HostView{{
			Member: glia.Member{Announcement: glia.NewAnnouncement("node-1", h.addr, disks), Status: glia.MemberAlive}, Disks: disks, FetchedAt: time.Now(),
		}}}
		if err := stream.Send(&gliav1.WatchFleetResponse{View: api.FleetViewToProto(v)}); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
		}
	}
}
