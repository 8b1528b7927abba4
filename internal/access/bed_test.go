package access_test

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/types/known/emptypb"

	"glia/api/glia/v1/gliav1connect"
	"glia/config"
	"glia/config/secret"
	"glia/internal/access"
	"glia/internal/daemon"
	"glia/internal/pki"
	"glia/internal/testbed"
)

// all is every service, none of whose verbs does anything.
type all struct {
	gliav1connect.UnimplementedRepairServiceHandler
	gliav1connect.UnimplementedQueueServiceHandler
	gliav1connect.UnimplementedEntrypointServiceHandler
	gliav1connect.UnimplementedFleetServiceHandler
	gliav1connect.UnimplementedHostServiceHandler
	gliav1connect.UnimplementedAnnouncerServiceHandler
	gliav1connect.UnimplementedBackendServiceHandler
}

func (a all) mount(mux *http.ServeMux, o ...connect.HandlerOption) {
	mux.Handle(gliav1connect.NewRepairServiceHandler(a, o...))
	mux.Handle(gliav1connect.NewQueueServiceHandler(a, o...))
	mux.Handle(gliav1connect.NewEntrypointServiceHandler(a, o...))
	mux.Handle(gliav1connect.NewFleetServiceHandler(a, o...))
	mux.Handle(gliav1connect.NewHostServiceHandler(a, o...))
	mux.Handle(gliav1connect.NewAnnouncerServiceHandler(a, o...))
	mux.Handle(gliav1connect.NewBackendServiceHandler(a, o...))
}

// mounted is what a test serves.
type mounted interface {
	mount(mux *http.ServeMux, o ...connect.HandlerOption)
}

// bed is a guarded API that listens with TLS and at a socket, and the authority of its clients.
type bed struct {
	t      *testing.T
	dir    string
	ca     *pki.Authority
	reg    *prometheus.Registry
	guard  *access.Guard
	url    string
	addr   string
	socket string
	log    *testbed.Log
}

// generous is an access that says nothing of itself.
func generous() config.Access {
	return config.Access{Others: config.RoleNone, Loopback: config.RoleNone, Requests: 10_000, Streams: 100}
}

func newBed(t *testing.T, services mounted, tune func(*access.Options)) *bed {
	t.Helper()
	b := &bed{t: t, dir: t.TempDir(), reg: prometheus.NewRegistry(), log: &testbed.Log{}}
	var err error
	if b.ca, err = pki.Create(b.dir, "test authority", time.Now(), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	o := access.Options{Access: generous(), Program: "repairer", Log: slog.New(slog.NewTextHandler(b.log, nil)), Registry: b.reg}
	if tune != nil {
		tune(&o)
	}
	b.guard = access.New(o)
	mux := http.NewServeMux()
	services.mount(mux, b.guard.HandlerOptions()...)
	server := daemon.Server{Handler: b.guard.Handler(mux), Log: slog.New(slog.DiscardHandler), ConnContext: access.Peer, Refused: b.guard.Refused}

	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b.addr = ln.Addr().String()
	b.url = "https://" + b.addr
	b.socket = filepath.Join(b.dir, "api.sock")
	local, err := daemon.ListenUnix(t.Context(), b.socket, 0o666)
	if err != nil {
		t.Fatal(err)
	}
	secure := server
	secure.TLS = b.creds("server", pki.Request{Name: "server", Names: []string{"127.0.0.1"}}).Server()
	ctx, stop := context.WithCancel(context.Background())
	var served sync.WaitGroup
	served.Go(func() { _ = secure.Serve(ctx, ln) })
	served.Go(func() { _ = server.Serve(ctx, local) })
	t.Cleanup(func() { stop(); served.Wait() })
	return b
}

// creds issues a certificate of the bed's authority.
func (b *bed) creds(file string, r pki.Request) *daemon.TLS {
	b.t.Helper()
	if r.Until.IsZero() {
		r.Until = time.Now().Add(time.Hour)
	}
	i, err := b.ca.Issue(r, time.Now())
	if err != nil {
		b.t.Fatal(err)
	}
	cert, key := filepath.Join(b.dir, file+".pem"), filepath.Join(b.dir, file+".key")
	if err := i.Save(cert, key); err != nil {
		b.t.Fatal(err)
	}
	c, err := daemon.LoadTLS(cert, secret.MustParse(key), filepath.Join(b.dir, pki.CertFile), slog.New(slog.DiscardHandler))
	if err != nil {
		b.t.Fatal(err)
	}
	return c
}

// client is somebody with a certificate of the bed's authority.
func (b *bed) client(r pki.Request) *http.Client {
	b.t.Helper()
	c := daemon.HTTPClient(b.creds("client-"+r.Name, r))
	b.t.Cleanup(c.CloseIdleConnections)
	return c
}

// call calls a verb with an empty request, and returns how that ended.
func call(t *testing.T, c *http.Client, url, procedure string, stream bool, o ...connect.ClientOption) error {
	t.Helper()
	api := connect.NewClient[emptypb.Empty, emptypb.Empty](c, url+procedure, o...)
	if !stream {
		_, err := api.CallUnary(t.Context(), connect.NewRequest(&emptypb.Empty{}))
		return err
	}
	s, err := api.CallServerStream(t.Context(), connect.NewRequest(&emptypb.Empty{}))
	if err != nil {
		return err
	}
	defer s.Close()
	for s.Receive() {
	}
	return s.Err()
}

// counted is how often a verb was refused for a reason.
func (b *bed) counted(verb, reason string) float64 {
	b.t.Helper()
	families, err := b.reg.Gather()
	if err != nil {
		b.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if f.GetName() == "glia_api_refused_total" && labels["verb"] == verb && labels["reason"] == reason {
				return m.GetCounter().GetValue()
			}
		}
	}
	return 0
}

// wantCounted polls until it is at least that often, for at most a minute.
func (b *bed) wantCounted(verb, reason string, least float64) {
	b.t.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for b.counted(verb, reason) < least {
		select {
		case <-deadline:
			b.t.Errorf("%q was refused %v times for %q, want %v", verb, b.counted(verb, reason), reason, least)
			return
		case <-tick.C:
		}
	}
}

func wantRefused(t *testing.T, err error, code connect.Code, words ...string) {
	t.Helper()
	if connect.CodeOf(err) != code || err == nil {
		t.Errorf("got %v, want %s", err, code)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("got %v, want %q in it", err, w)
		}
	}
}
