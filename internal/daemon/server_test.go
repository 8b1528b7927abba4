package daemon_test

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	gliav1 "glia/api/glia/v1"
	"glia/api/glia/v1/gliav1connect"
	"glia/config/secret"
	"glia/internal/daemon"
)

var quiet = slog.New(slog.DiscardHandler)

// api answers one request of each kind and tells the protocol that was spoken. A watch goes on until
// its context ends.
type api struct {
	gliav1connect.UnimplementedRepairServiceHandler
}

func (api) GetStatus(_ context.Context, r *connect.Request[gliav1.GetStatusRequest]) (*connect.Response[gliav1.GetStatusResponse], error) {
	return connect.NewResponse(&gliav1.GetStatusResponse{Mode: r.Peer().Protocol}), nil
}

func (api) WatchCase(ctx context.Context, _ *connect.Request[gliav1.WatchCaseRequest], s *connect.ServerStream[gliav1.WatchCaseResponse]) error {
	if err := s.Send(&gliav1.WatchCaseResponse{Case: &gliav1.Case{Id: "one"}}); err != nil {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}

// serve starts a server and gives its address, a way to stop it, and what Serve returned.
func serve(t *testing.T, s daemon.Server) (addr string, stop func(), served <-chan error) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	result := make(chan error, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		result <- s.Serve(ctx, ln)
	}()
	t.Cleanup(func() { cancel(); <-done })
	return ln.Addr().String(), cancel, result
}

func apiHandler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle(gliav1connect.NewRepairServiceHandler(api{}))
	mux.HandleFunc("/proto", func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) })
	return mux
}

func TestServer_SpeaksEveryProtocolWithAndWithoutTLS(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	ca.issue(ca.dir+"/cert", ca.dir+"/key")
	creds, err := daemon.LoadTLS(ca.dir+"/cert", secret.MustParse(ca.dir+"/key"), ca.file, quiet)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		server *tls.Config
		creds  *daemon.TLS
		scheme string
	}{
		{"plain", nil, nil, "http://"},
		{"TLS", creds.Server(), creds, "https://"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			addr, _, _ := serve(t, daemon.Server{Handler: apiHandler(), TLS: tt.server, Log: quiet})
			client := daemon.HTTPClient(tt.creds)
			t.Cleanup(client.CloseIdleConnections)
			if got := get(t, client, tt.scheme+addr+"/proto"); got != "HTTP/2.0" {
				t.Errorf("spoke %q", got)
			}
			for _, opts := range [][]connect.ClientOption{nil, {connect.WithGRPC()}} {
				c := gliav1connect.NewRepairServiceClient(client, tt.scheme+addr, opts...)
				if _, err := c.GetStatus(t.Context(), connect.NewRequest(&gliav1.GetStatusRequest{})); err != nil {
					t.Errorf("unary: %v", err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				stream, err := c.WatchCase(ctx, connect.NewRequest(&gliav1.WatchCaseRequest{}))
				if err != nil {
					t.Fatal(err)
				}
				if !stream.Receive() || stream.Msg().Case.Id != "one" {
					t.Errorf("stream: %v", stream.Err())
				}
				cancel()
				_ = stream.Close()
			}
		})
	}

	// curl and load balancers speak HTTP/1.1.
	addr, _, _ := serve(t, daemon.Server{Handler: apiHandler(), Log: quiet})
	old := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	if got := get(t, old, "http://"+addr+"/proto"); got != "HTTP/1.1" {
		t.Errorf("spoke %q", got)
	}
}

func TestHTTPClient_DoesOnlyWhatItIsFor(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	ca.issue(ca.dir+"/cert", ca.dir+"/key")
	creds, err := daemon.LoadTLS(ca.dir+"/cert", secret.MustParse(ca.dir+"/key"), ca.file, quiet)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/", http.RedirectHandler("/elsewhere", http.StatusFound))
	plain, _, _ := serve(t, daemon.Server{Handler: mux, Log: quiet})
	secure, _, _ := serve(t, daemon.Server{Handler: mux, TLS: creds.Server(), Log: quiet})
	for _, tt := range []struct {
		name, url, want string
		creds           *daemon.TLS
	}{
		{"plain client, https", "https://" + secure, "set tls.cert, tls.key and tls.ca", nil},
		{"TLS client, http", "http://" + plain, "refused, because TLS is configured", creds},
		{"redirect", "http://" + plain, "no API of ours redirects", nil},
	} {
		client := daemon.HTTPClient(tt.creds)
		resp, err := client.Get(tt.url)
		if err == nil {
			_ = resp.Body.Close()
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
		client.CloseIdleConnections()
	}
}

func TestServer_LetsRequestsFinish(t *testing.T) {
	t.Parallel()
	arrived, finish := make(chan struct{}), make(chan struct{})
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-finish
		_, _ = io.WriteString(w, "done "+errText(r.Context().Err()))
	})
	addr, stop, served := serve(t, daemon.Server{Handler: h, Log: quiet, Grace: time.Hour})
	client := daemon.HTTPClient(nil)
	defer client.CloseIdleConnections()
	got := make(chan string, 1)
	go func() { got <- get(t, client, "http://"+addr) }()
	<-arrived
	stop()
	// Once the listener is closed, the server has begun to stop.
	waitFor(t, func() bool {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
	close(finish)
	if g := <-got; g != "done <nil>" {
		t.Errorf("got %q", g)
	}
	if err := <-served; err != nil {
		t.Errorf("serve: %v", err)
	}
}

func TestServer_EndsStreamsAndCutsWhatDoesNotEnd(t *testing.T) {
	t.Parallel()
	addr, stop, served := serve(t, daemon.Server{Handler: apiHandler(), Log: quiet, Grace: 10 * time.Second})
	client := daemon.HTTPClient(nil)
	defer client.CloseIdleConnections()
	c := gliav1connect.NewRepairServiceClient(client, "http://"+addr)
	stream, err := c.WatchCase(t.Context(), connect.NewRequest(&gliav1.WatchCaseRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	if !stream.Receive() {
		t.Fatal(stream.Err())
	}
	stop()
	if stream.Receive() {
		t.Error("the stream went on")
	}
	_ = stream.Close()
	if err := <-served; err != nil {
		t.Errorf("serve: %v", err)
	}

	deaf, release := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(release) })
	h := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { close(deaf); <-release })
	addr, stop, served = serve(t, daemon.Server{Handler: h, Log: quiet, Grace: 50 * time.Millisecond})
	go func() {
		if resp, err := client.Get("http://" + addr); err == nil {
			_ = resp.Body.Close()
		}
	}()
	<-deaf
	stop()
	if err := <-served; err == nil || !strings.Contains(err.Error(), "requests did not end within 50ms and were cut") {
		t.Errorf("serve: %v", err)
	}
}

func TestServer_ReturnsWhenItCannotServe(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = ln.Close()
	if err := (daemon.Server{Handler: http.NotFoundHandler(), Log: quiet}).Serve(t.Context(), ln); err == nil {
		t.Error("served on a closed listener")
	}
}

func get(t *testing.T, client *http.Client, url string) string {
	t.Helper()
	resp, err := client.Get(url)
	if err != nil {
		t.Error(err)
		return ""
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
	}
	return string(body)
}

func errText(err error) string {
	if err == nil {
		return "<nil>"
	}
	return err.Error()
}

// waitFor polls until ok, for at most a minute.
func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatal("did not happen within a minute")
		case <-tick.C:
		}
	}
}
