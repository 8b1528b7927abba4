package repairer_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"connectrpc.com/connect"

	"glia"
	"glia/api"
	gliav1 "glia/api/glia/v1"
	"glia/api/glia/v1/gliav1connect"
	"glia/repairer"
)

// views is a synapse that sends what it is given.
type views struct {
	gliav1connect.UnimplementedFleetServiceHandler
	next chan glia.FleetView
}

func (v views) WatchFleet(ctx context.Context, _ *connect.Request[gliav1.WatchFleetRequest], stream *connect.ServerStream[gliav1.WatchFleetResponse]) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case view := <-v.next:
			if err := stream.Send(&gliav1.WatchFleetResponse{View: api.FleetViewToProto(view)}); err != nil {
				return err
			}
		}
	}
}

// The feed takes the detail of a host that was read anew, and keeps that of the others; what is announced is
// always new.
func TestSynapseFeed_TakesWhatIsNew(t *testing.T) {
	t.Parallel()
	v := views{next: make(chan glia.FleetView)}
	mux := http.NewServeMux()
	mux.Handle(gliav1connect.NewFleetServiceHandler(v))
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	ctx, stop := context.WithCancel(t.Context())
	t.Cleanup(stop)
	woken := make(chan struct{})
	feed := repairer.NewSynapseFeed(srv.Client(), srv.URL, func() { woken <- struct{}{} }, slog.New(slog.DiscardHandler))
	go feed.Run(ctx)
	host := func(generation uint64, fetched int, serials ...string) glia.HostView {
		h := glia.HostView{Member: glia.Member{Status: glia.MemberAlive, Announcement: glia.Announcement{Host: "a", Generation: generation}}}
		if fetched > 0 {
			h.FetchedAt = wnow.Add(time.Duration(fetched))
		}
		for _, s := range serials {
			h.Disks = append(h.Disks, glia.DiskStatus{Disk: glia.Disk{Identity: glia.Identity{Serial: s, Model: "M"}},
				Verdict: glia.Verdict{State: glia.StateFailed, Reasons: []glia.Reason{{Words: "w", Evidence: glia.Evidence{Detail: "EIO"}}}}})
		}
		return h
	}
	for _, tc := range []struct {
		name string
		view []glia.HostView
		want string
	}{
		{"the first view", []glia.HostView{host(1, 1, "S1")}, "1: S1 M w EIO,"},
		{"a new generation, not read yet", []glia.HostView{host(2, 1, "S1")}, "2: S1 M w EIO,"},
		{"read anew", []glia.HostView{host(2, 2, "S2")}, "2: S2 M w EIO,"},
		{"as many disks were read at the same time", []glia.HostView{host(3, 2, "S3")}, "3: S2 M w EIO,"},
		{"another number of disks", []glia.HostView{host(3, 2, "S3", "S4")}, "3: S3 M w EIO, S4 M w EIO,"},
		{"no detail any more", []glia.HostView{host(4, 2)}, "4:"},
		{"at no known time", []glia.HostView{host(4, 0, "S5")}, "4: S5 M w EIO,"},
		{"at no known time again", []glia.HostView{host(4, 0, "S6")}, "4: S6 M w EIO,"},
		{"gone", nil, ""},
	} {
		v.next <- glia.FleetView{At: wnow, Hosts: tc.view}
		<-woken
		got := ""
		view, err := feed.View()
		for _, h := range view.Hosts {
			got += fmt.Sprint(h.Member.Announcement.Generation, ":")
			for _, d := range h.Disks {
				got += fmt.Sprintf(" %s %s %s %s,", d.Disk.Serial(), d.Disk.Identity.Model, d.Verdict.Reasons[0].Words, d.Verdict.Reasons[0].Evidence.Detail)
			}
		}
		if err != nil || got != tc.want || !view.At.Equal(wnow) {
			t.Errorf("%s: %q, %v, want %q", tc.name, got, err, tc.want)
		}
	}
}
