package synapse_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/prometheus/client_golang/prometheus"

	"glia"
	"glia/api"
	gliav1 "glia/api/glia/v1"
	"glia/api/glia/v1/gliav1connect"
	"glia/internal/testbed"
	"glia/registry/memory"
	"glia/synapse"
)

// patience bounds every wait. Only a failing test waits so long.
const patience = time.Minute

// disk is a disk of a host in a state.
func disk(host, serial string, s glia.State) glia.DiskStatus {
	return glia.DiskStatus{
		Disk:    glia.Disk{Identity: glia.Identity{Serial: serial}, Location: glia.Location{Host: host, Device: "sd" + serial}},
		Verdict: glia.Verdict{State: s},
	}
}

// nerve is a nerve's API with settable disks, served over real HTTP.
type nerve struct {
	gliav1connect.UnimplementedHostServiceHandler
	host string
	addr string

	mu         sync.Mutex
	generation uint64
	disks      []glia.DiskStatus
	err        error
	asked      int
}

func startNerve(t *testing.T, host string, disks ...glia.DiskStatus) *nerve {
	t.Helper()
	n := &nerve{host: host, generation: 1, disks: disks}
	mux := http.NewServeMux()
	mux.Handle(gliav1connect.NewHostServiceHandler(n))
	n.addr = serve(t, mux)
	return n
}

// serve serves HTTP on loopback and returns host:port.
func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func (n *nerve) ListDisks(context.Context, *connect.Request[gliav1.ListDisksRequest]) (*connect.Response[gliav1.ListDisksResponse], error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked++
	if n.err != nil {
		return nil, n.err
	}
	return connect.NewResponse(&gliav1.ListDisksResponse{Host: n.host, Generation: n.generation, Disks: api.DiskStatusesToProto(n.disks)}), nil
}

// becomes changes what the nerve tells; a nil error makes it answer.
func (n *nerve) becomes(err error, disks ...glia.DiskStatus) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.generation++
	n.err, n.disks = err, disks
}

func (n *nerve) announcement() glia.Announcement {
	n.mu.Lock()
	defer n.mu.Unlock()
	a := glia.NewAnnouncement(n.host, n.addr, n.disks)
	a.Generation = n.generation
	return a
}

func announce(t *testing.T, r *memory.Registry, all ...glia.Announcement) {
	t.Helper()
	for _, a := range all {
		if err := r.Announce(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
}

// run starts a fleet that ends with the test.
func run(t *testing.T, o synapse.Options) *synapse.Fleet {
	t.Helper()
	f := synapse.New(o)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return f
}

// await waits until the view is as wanted, and looks only when it was signalled.
func await(t *testing.T, f *synapse.Fleet, what string, want func(glia.FleetView) bool) glia.FleetView {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	changes := f.Changes(ctx)
	for {
		select {
		case <-changes:
		case <-ctx.Done():
			t.Fatalf("%s: not seen within %v; last seen %+v", what, patience, f.View())
		}
		if v := f.View(); !v.At.IsZero() && want(v) {
			return v
		}
	}
}

// of finds a host in a view; a host that is not there is the zero view.
func of(v glia.FleetView, host string) glia.HostView {
	for _, h := range v.Hosts {
		if h.Member.Announcement.Host == host {
			return h
		}
	}
	return glia.HostView{}
}

func fetched(host string) func(glia.FleetView) bool {
	return func(v glia.FleetView) bool { return !of(v, host).FetchedAt.IsZero() && of(v, host).Problem == "" }
}

func troubled(host, problem string) func(glia.FleetView) bool {
	return func(v glia.FleetView) bool { return strings.Contains(of(v, host).Problem, problem) }
}

func TestFleet_ReadsTheDetailOfBadHostsOnly(t *testing.T) {
	t.Parallel()
	var r memory.Registry
	failing := disk("bad", "b", glia.StateFailing)
	failing.Evidence = []glia.Evidence{{What: "read.errors", Value: 1}}
	bad := startNerve(t, "bad", disk("bad", "a", glia.StateHealthy), failing)
	good := startNerve(t, "good", disk("good", "c", glia.StateHealthy))
	unknown := startNerve(t, "unknown", disk("unknown", "d", glia.StateUnknown))
	announce(t, &r, unknown.announcement(), good.announcement(), bad.announcement())
	f := run(t, synapse.Options{Watcher: &r})
	v := await(t, f, "the detail", fetched("bad"))
	if h := of(v, "bad"); len(h.Disks) != 2 || h.Disks[1].Verdict.State != glia.StateFailing || h.Disks[1].Evidence != nil {
		t.Errorf("detail is %+v", h.Disks)
	}
	var names []string
	for _, h := range v.Hosts {
		names = append(names, h.Member.Announcement.Host)
	}
	if got := fmt.Sprint(names); got != "[bad good unknown]" {
		t.Errorf("hosts are %s", got)
	}
	if good.asked+unknown.asked != 0 {
		t.Error("a host was asked with which nothing is wrong")
	}
	if err := f.Ready(); err != nil {
		t.Error(err)
	}
}

// TestFleet_OneBrokenNerveHarmsNoOther has every kind of nerve that does not answer beside one that does.
func TestFleet_OneBrokenNerveHarmsNoOther(t *testing.T) {
	t.Parallel()
	var r memory.Registry
	hang := make(chan struct{})
	t.Cleanup(func() { close(hang) })
	hanging := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		select {
		case <-hang:
		case <-req.Context().Done():
		}
	}))
	garbage := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/proto")
		w.Write([]byte("\xff\xff garbage"))
	}))
	page := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>hello</html>") }))
	elsewhere := serve(t, http.RedirectHandler("http://127.0.0.1:1/", http.StatusTemporaryRedirect))
	erring := startNerve(t, "erring")
	erring.err = connect.NewError(connect.CodeInternal, errors.New("no disks today"))
	other := startNerve(t, "another-host", disk("another-host", "x", glia.StateFailed))
	foreign := startNerve(t, "foreign", disk("another-host", "x", glia.StateFailed))
	fine := startNerve(t, "zz-fine", disk("zz-fine", "a", glia.StateFailed))

	problems := map[string]string{}
	for _, c := range []struct{ host, api, problem string }{
		{"hanging", hanging, "deadline"},
		{"garbage", garbage, "unmarshal"},
		{"page", page, "content-type"},
		{"elsewhere", elsewhere, "307"},
		{"erring", erring.addr, "no disks today"},
		{"impostor", other.addr, `it says that it is host "another-host"`},
		{"foreign", foreign.addr, `it tells of disk x in host "another-host"`},
		{"no-address", "", "it announces no API address"},
		{"no-port", "127.0.0.1", "not of the form host:port"},
		{"no-number", "127.0.0.1:http", "not of the form host:port"},
		{"a-path", "127.0.0.1/../x:1", "not of the form host:port"},
		{"a-user", "user@127.0.0.1:1", "not of the form host:port"},
		{"nobody", "127.0.0.1:1", "connection refused"},
	} {
		problems[c.host] = c.problem
		announce(t, &r, glia.Announcement{Host: c.host, Generation: 1, API: c.api, DiskCount: 1, Worst: glia.StateFailed})
	}
	for i := range 40 { // more than are asked at one time
		host := fmt.Sprintf("hanging-%d", i)
		problems[host] = "deadline"
		announce(t, &r, glia.Announcement{Host: host, Generation: 1, API: hanging, DiskCount: 1, Worst: glia.StateFailed})
	}
	announce(t, &r, fine.announcement())
	metrics := prometheus.NewRegistry()
	f := run(t, synapse.Options{Watcher: &r, FetchTimeout: 300 * time.Millisecond, Registerer: metrics})
	await(t, f, "the one that answers", fetched("zz-fine"))
	for host, problem := range problems {
		v := await(t, f, host+" with "+problem, troubled(host, problem))
		if h := of(v, host); len(h.Disks) != 0 || !h.FetchedAt.IsZero() {
			t.Errorf("%s has detail %+v", host, h)
		}
	}
	got := gather(t, metrics)
	for series, want := range map[string]float64{
		"glia_fleet_hosts alive": 54, "glia_fleet_hosts gone": 0, "glia_fleet_hosts left": 0,
		"glia_fleet_disks_bad failed": 1, "glia_fleet_disks_bad suspect": 0,
	} {
		if v, ok := got[series]; !ok || v != want {
			t.Errorf("%s is %v, want %v", series, v, want)
		}
	}
	if n := got["glia_fetch_failures_total"]; n < float64(len(problems)) {
		t.Errorf("%v failures counted, want at least %d", n, len(problems))
	}
	if _, ok := got["glia_view_age_seconds"]; !ok {
		t.Error("the age of the view is missing")
	}
}

// gather returns all series by name and label value.
func gather(t *testing.T, r *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			out[name] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return out
}

func TestFleet_KeepsTheDetailOfANerveThatFails(t *testing.T) {
	t.Parallel()
	var r memory.Registry
	n := startNerve(t, "node-1", disk("node-1", "a", glia.StateFailing))
	announce(t, &r, n.announcement())
	f := run(t, synapse.Options{Watcher: &r})
	before := of(await(t, f, "the detail", fetched("node-1")), "node-1")

	n.becomes(errors.New("broken"), disk("node-1", "a", glia.StateFailed))
	announce(t, &r, n.announcement())
	after := of(await(t, f, "the problem", troubled("node-1", "broken")), "node-1")
	if !after.FetchedAt.Equal(before.FetchedAt) || len(after.Disks) != 1 || after.Disks[0].Verdict.State != glia.StateFailing {
		t.Errorf("the old detail was %+v, and is %+v", before, after)
	}
	n.becomes(nil, disk("node-1", "a", glia.StateFailed))
	announce(t, &r, n.announcement())
	again := of(await(t, f, "the new detail", fetched("node-1")), "node-1")
	if again.Disks[0].Verdict.State != glia.StateFailed || !again.FetchedAt.After(before.FetchedAt) {
		t.Errorf("the new detail is %+v", again)
	}
}

func TestFleet_ShowsTheEndsOfAHost(t *testing.T) {
	t.Parallel()
	var r memory.Registry
	n := startNerve(t, "node-1", disk("node-1", "a", glia.StateFailing))
	announce(t, &r, n.announcement())
	f := run(t, synapse.Options{Watcher: &r})
	await(t, f, "the detail", fetched("node-1"))
	for _, s := range []glia.MemberStatus{glia.MemberGone, glia.MemberLeft} {
		r.SetStatus("node-1", s)
		v := await(t, f, string(s), func(v glia.FleetView) bool { return of(v, "node-1").Member.Status == s })
		if len(of(v, "node-1").Disks) != 1 {
			t.Errorf("the detail of a host that is %s is lost", s)
		}
	}
	r.Forget("node-1")
	await(t, f, "no host", func(v glia.FleetView) bool { return len(v.Hosts) == 0 })
}

func TestFleet_HostClaimedTwice(t *testing.T) {
	t.Parallel()
	var r memory.Registry
	one, two := startNerve(t, "node-1", disk("node-1", "a", glia.StateSuspect)), startNerve(t, "node-1", disk("node-1", "b", glia.StateFailed))
	r.Put("one", glia.Member{Announcement: one.announcement(), Status: glia.MemberAlive})
	r.Put("two", glia.Member{Announcement: two.announcement(), Status: glia.MemberAlive})
	r.Put("nameless", glia.Member{Announcement: glia.Announcement{API: one.addr, Worst: glia.StateFailed}, Status: glia.MemberAlive})
	f := run(t, synapse.Options{Watcher: &r})
	v := await(t, f, "the hosts", func(v glia.FleetView) bool { return len(v.Hosts) == 2 })
	if m := of(v, "node-1").Member; !strings.Contains(m.Problem, "2 announcers claim this host") || m.Announcement.Worst != glia.StateFailed || m.Announcement.API != "" {
		t.Errorf("shown as %+v", m)
	}
	if m := v.Hosts[0].Member; m.Problem != "it announces no host name" {
		t.Errorf("the nameless one is shown as %+v", m)
	}
	r.SetStatus("one", glia.MemberGone) // the old member of a host that was set up anew
	v = await(t, f, "the one that is left", fetched("node-1"))
	if h := of(v, "node-1"); h.Member.Problem != "" || h.Disks[0].Disk.Serial() != "b" {
		t.Errorf("shown as %+v", h)
	}
	if one.asked != 0 {
		t.Error("a host was asked while its name was claimed twice")
	}
}

func TestFleet_KeepsItsViewWhenTheRegistryFails(t *testing.T) {
	t.Parallel()
	var r memory.Registry
	var log testbed.Log
	r.Fail(errors.New("no quorum"))
	announceLater := glia.Announcement{Host: "node-1", API: "h:1", Worst: glia.StateHealthy}
	f := run(t, synapse.Options{Watcher: &r, Resync: 20 * time.Millisecond, MaxAge: time.Nanosecond, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err := f.Ready(); err == nil || !strings.Contains(err.Error(), "no fleet view yet") {
		t.Errorf("Ready before the first answer: %v", err)
	}
	r.Fail(nil)
	announce(t, &r, announceLater)
	seen := await(t, f, "the host", func(v glia.FleetView) bool { return len(v.Hosts) == 1 })
	r.Fail(errors.New("no quorum"))
	deadline, tick := time.After(patience), time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for err := f.Ready(); err == nil || !strings.Contains(err.Error(), "no quorum"); err = f.Ready() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("Ready while the registry fails: %v", err)
		}
	}
	if v := f.View(); len(v.Hosts) != 1 || v.At.Before(seen.At) {
		t.Errorf("the view is %+v", v)
	}
	r.Fail(nil)
	await(t, f, "a newer view", func(v glia.FleetView) bool { return v.At.After(seen.At.Add(40 * time.Millisecond)) })
	if n := strings.Count(log.String(), "registry does not answer"); n > 2 {
		t.Errorf("logged %d times:\n%s", n, log.String())
	}
}
