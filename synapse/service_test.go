package synapse_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	"glia"
	"glia/api"
	gliav1 "glia/api/glia/v1"
	"glia/api/glia/v1/gliav1connect"
	"glia/registry/memory"
	"glia/synapse"
)

// client serves the fleet over real HTTP and returns a client of it.
func client(t *testing.T, f *synapse.Fleet) gliav1connect.FleetServiceClient {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle(gliav1connect.NewFleetServiceHandler(synapse.NewService(f)))
	return gliav1connect.NewFleetServiceClient(http.DefaultClient, "http://"+serve(t, mux))
}

// receive reads views from the stream until one is as wanted.
func receive(t *testing.T, s *connect.ServerStreamForClient[gliav1.WatchFleetResponse], what string, want func(glia.FleetView) bool) glia.FleetView {
	t.Helper()
	for s.Receive() {
		if v := api.FleetViewFromProto(s.Msg().GetView()); want(v) {
			return v
		}
	}
	t.Fatalf("%s: the stream ended: %v", what, s.Err())
	panic("unreachable")
}

func TestService_StreamsTheViewAndAClientReconnects(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var r memory.Registry
	n := startNerve(t, "node-1", disk("node-1", "a", glia.StateFailing))
	announce(t, &r, n.announcement())
	c := client(t, run(t, synapse.Options{Watcher: &r, Resync: 150 * time.Millisecond}))

	first, err := c.WatchFleet(ctx, connect.NewRequest(&gliav1.WatchFleetRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	v := receive(t, first, "the detail", fetched("node-1"))
	receive(t, first, "a heartbeat with a newer time", func(w glia.FleetView) bool { return w.At.After(v.At) })
	announce(t, &r, glia.Announcement{Host: "node-2", API: "h:1", Worst: glia.StateHealthy})
	receive(t, first, "a change", func(w glia.FleetView) bool { return len(w.Hosts) == 2 })
	first.Close()

	r.Forget("node-2") // while nobody listens
	again, err := c.WatchFleet(ctx, connect.NewRequest(&gliav1.WatchFleetRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	receive(t, again, "the whole state again", func(w glia.FleetView) bool { return len(w.Hosts) == 1 && fetched("node-1")(w) })
}

func TestService_HeartbeatsTellTheAgeOfAViewThatNobodyRenews(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var r memory.Registry
	f := run(t, synapse.Options{Watcher: &r, Resync: 50 * time.Millisecond})
	await(t, f, "the first view", func(glia.FleetView) bool { return true })
	r.Fail(errors.New("no quorum"))
	s, err := client(t, f).WatchFleet(ctx, connect.NewRequest(&gliav1.WatchFleetRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var last time.Time
	same := 0
	receive(t, s, "the old view again and again", func(v glia.FleetView) bool {
		if same++; !v.At.Equal(last) {
			last, same = v.At, 0
		}
		return same == 4
	})
}

func TestService_StreamEndsWithTheFleet(t *testing.T) {
	t.Parallel()
	var r memory.Registry
	f := synapse.New(synapse.Options{Watcher: &r})
	ctx, cancel := context.WithCancel(t.Context())
	go f.Run(ctx)
	s, err := client(t, f).WatchFleet(t.Context(), connect.NewRequest(&gliav1.WatchFleetRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	receive(t, s, "an empty view", func(v glia.FleetView) bool { return !v.At.IsZero() && len(v.Hosts) == 0 })
	cancel()
	for s.Receive() {
	}
	if connect.CodeOf(s.Err()) != connect.CodeUnavailable {
		t.Errorf("the stream ended with %v", s.Err())
	}
}

func TestService_ListsTheDisksOfAllHosts(t *testing.T) {
	t.Parallel()
	var r memory.Registry
	for i := range 3 {
		host := fmt.Sprintf("node-%d", i)
		announce(t, &r, startNerve(t, host, disk(host, "a", glia.StateHealthy)).announcement())
	}
	broken := startNerve(t, "node-3")
	broken.err = errors.New("broken")
	announce(t, &r, broken.announcement(), glia.Announcement{Host: "node-4", API: "h:1"}, glia.Announcement{Host: "node-5"})
	r.SetStatus("node-4", glia.MemberGone)
	f := run(t, synapse.Options{Watcher: &r})
	await(t, f, "six hosts", func(v glia.FleetView) bool { return len(v.Hosts) == 6 })
	c := client(t, f)

	resp, err := c.ListFleetDisks(t.Context(), connect.NewRequest(&gliav1.ListFleetDisksRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"", "", "", "broken", "not asked: the host is gone", "not asked: no API address is known"} {
		h := api.HostViewFromProto(resp.Msg.GetHosts()[i])
		if got := h.Problem; !strings.Contains(got, want) || (got == "") != (want == "") {
			t.Errorf("problem of host %d is %q, want %q", i, got, want)
		}
		if answered := want == ""; answered != (len(h.Disks) == 1) || answered == h.FetchedAt.IsZero() {
			t.Errorf("host %d has %d disks of %v", i, len(h.Disks), h.FetchedAt)
		}
	}
	one, err := c.ListFleetDisks(t.Context(), connect.NewRequest(&gliav1.ListFleetDisksRequest{Host: "node-1"}))
	if err != nil || len(one.Msg.GetHosts()) != 1 || len(one.Msg.GetHosts()[0].GetDisks()) != 1 {
		t.Errorf("one host: %v, error %v", one, err)
	}
	if _, err := c.ListFleetDisks(t.Context(), connect.NewRequest(&gliav1.ListFleetDisksRequest{Host: "node-9"})); connect.CodeOf(err) != connect.CodeNotFound {
		t.Errorf("a host that nobody knows: %v", err)
	}
}

// Pages have whole hosts in the order of their names; together they are all, whatever comes and goes meanwhile.
func TestService_ListsInPages(t *testing.T) {
	t.Parallel()
	var r memory.Registry
	for i := range 5 {
		host := fmt.Sprintf("node-%d", i)
		var disks []glia.DiskStatus
		for j := range i + 1 {
			disks = append(disks, disk(host, fmt.Sprint(j), glia.StateHealthy))
		}
		announce(t, &r, startNerve(t, host, disks...).announcement())
	}
	f := run(t, synapse.Options{Watcher: &r})
	await(t, f, "five hosts", func(v glia.FleetView) bool { return len(v.Hosts) == 5 })
	c := client(t, f)
	list := func(size int32, token string) (names string, next string) {
		res, err := c.ListFleetDisks(t.Context(), connect.NewRequest(&gliav1.ListFleetDisksRequest{PageSize: size, PageToken: token}))
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range res.Msg.GetHosts() {
			names += fmt.Sprintf("%s:%d ", strings.TrimPrefix(h.GetAnnouncement().GetHost(), "node-"), len(h.GetDisks()))
		}
		return names, res.Msg.GetNextPageToken()
	}
	for _, tt := range []struct {
		size  int32
		token string
		names string
		next  string
	}{
		{0, "", "0:1 1:2 2:3 3:4 4:5 ", ""},
		{15, "", "0:1 1:2 2:3 3:4 4:5 ", ""},
		{3, "", "0:1 1:2 ", "node-1"},
		{3, "node-1", "2:3 ", "node-2"},
		{3, "node-2", "3:4 ", "node-3"}, // a host is not divided
		{3, "node-3", "4:5 ", ""},
		{3, "node-3a", "4:5 ", ""}, // it has gone since
		{3, "node-9", "", ""},
	} {
		if names, next := list(tt.size, tt.token); names != tt.names || next != tt.next {
			t.Errorf("%d after %q: got %s and then %q, want %s and then %q", tt.size, tt.token, names, next, tt.names, tt.next)
		}
	}
	if _, err := c.ListFleetDisks(t.Context(), connect.NewRequest(&gliav1.ListFleetDisksRequest{PageSize: -1})); connect.CodeOf(err) != connect.CodeInvalidArgument {
		t.Errorf("got %v", err)
	}
}

func TestService_ListNeedsAView(t *testing.T) {
	t.Parallel()
	f := synapse.New(synapse.Options{Watcher: new(memory.Registry)})
	_, err := client(t, f).ListFleetDisks(t.Context(), connect.NewRequest(&gliav1.ListFleetDisksRequest{}))
	if connect.CodeOf(err) != connect.CodeUnavailable {
		t.Errorf("error %v", err)
	}
}
