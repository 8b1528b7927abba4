package access_test

import (
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/proto"

	gliav1 "glia/api/glia/v1"
	"glia/config"
	"glia/internal/access"
	"glia/internal/daemon"
	"glia/internal/pki"
)

func asError(err error, ce **connect.Error) bool { return errors.As(err, ce) }

// sent sends bytes over a connection and reads until the other side ends it.
func sent(t *testing.T, conn net.Conn, text string, closeAfter bool) {
	t.Helper()
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Error(err)
	}
	_, _ = io.WriteString(conn, text) // the other side may have hung up, which is what is wanted
	if closeAfter {
		return
	}
	if _, err := io.Copy(io.Discard, conn); errors.Is(err, net.ErrClosed) || isTimeout(err) {
		t.Errorf("after %.60q the connection stays open: %v", text, err)
	}
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

// Everything hostile that we could think of: each is refused and counted, and nothing of it stays behind.
func TestGuard_TurnsAwayWhatIsHostile(t *testing.T) { //nolint:paralleltest // it counts the goroutines of the process
	b := newBed(t, all{}, func(o *access.Options) { o.Access.Others = config.RoleDestroy })
	hasty := newBed(t, all{}, func(o *access.Options) { o.Access.Others, o.Receive = config.RoleDestroy, 100*time.Millisecond })
	good := b.creds("good", pki.Request{Name: "good"})
	past := time.Now().Add(-2 * time.Hour)
	expired, err := b.ca.Issue(pki.Request{Name: "expired", Until: past.Add(time.Hour)}, past)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := pki.Create(t.TempDir(), "test authority", time.Now(), time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := theirs.Issue(pki.Request{Name: "good", Until: time.Now().Add(time.Hour)}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	with := func(change func(*tls.Config)) func() {
		return func() {
			c := good.Client("127.0.0.1")
			c.NextProtos = []string{"http/1.1"}
			change(c)
			if err := handshake(b.addr, c); err == nil {
				t.Error("let in")
			}
		}
	}
	present := func(i pki.Issued) func() {
		return with(func(c *tls.Config) {
			c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { pair := i.Pair(); return &pair, nil }
		})
	}
	raw := func(text string, closeAfter bool) func() {
		return func() {
			conn, err := net.Dial("unix", b.socket)
			if err != nil {
				t.Error(err)
				return
			}
			sent(t, conn, text, closeAfter)
		}
	}
	over := func(b *bed, creds *daemon.TLS, text string, closeAfter bool) func() {
		return func() {
			c := creds.Client("127.0.0.1")
			c.NextProtos = []string{"http/1.1"}
			conn, err := tls.Dial("tcp", b.addr, c)
			if err != nil {
				t.Error(err)
				return
			}
			sent(t, conn, text, closeAfter)
		}
	}
	secure := func(text string, closeAfter bool) func() { return over(b, good, text, closeAfter) }
	plain := func(text string) func() {
		return func() {
			conn, err := net.Dial("tcp", b.addr)
			if err != nil {
				t.Error(err)
				return
			}
			sent(t, conn, text, false)
		}
	}
	const approve = "/glia.v1.RepairService/Approve"
	post := func(head, body string) string {
		return "POST " + approve + " HTTP/1.1\r\nHost: x\r\nContent-Type: application/proto\r\nConnection: close\r\n" + head + "\r\n" + body
	}
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	_, _ = z.Write(make([]byte, 8<<20))
	_ = z.Close()

	attacks := []struct {
		name, verb, reason string
		do                 func()
	}{
		{"expired certificate", "", "certificate expired", present(expired)},
		{"foreign certificate", "", "certificate of a foreign authority", present(foreign)},
		{"no certificate", "", "no certificate", with(func(c *tls.Config) { c.Certificates = nil })},
		{"TLS 1.1", "", "tls version", with(func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 })},
		{"TLS 1.2", "", "tls version", with(func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS12, tls.VersionTLS12 })},
		{"plain HTTP to TLS", "", "not tls", plain("GET / HTTP/1.1\r\nHost: x\r\n\r\n")},
		{"garbage to TLS", "", "not tls", plain(strings.Repeat("\xff\x00garbage", 100))},
		{"garbage instead of HTTP", "", "not http", raw("\x16\x03\x01garbage\r\n\r\n", false)},
		{"garbage in TLS", "", "not http", secure("SSH-2.0-OpenSSH_9.2\r\n\r\n", false)},
		{"half a head", "", "not http", raw("POST "+approve+" HTTP/1.1\r\nHost:", true)},
		{"a head without end", "", "not http", raw("GET / HTTP/1.1\r\nX: "+strings.Repeat("x", 128<<10), false)},
		{"garbage after the preface of HTTP/2", "", "not http", raw("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"+strings.Repeat("\xff", 1000), false)},
		{"wrong method", "RepairService/Approve", "method", secure(strings.Replace(post("Content-Length: 0\r\n", ""), "POST", "GET", 1), false)},
		{"another wrong method", "RepairService/Approve", "method", secure(strings.Replace(post("Content-Length: 0\r\n", ""), "POST", "DELETE", 1), false)},
		{"unknown type", "RepairService/Approve", "type", secure(strings.Replace(post("Content-Length: 0\r\n", ""), "application/proto", "text/html", 1), false)},
		{"unknown verb", "", "verb", secure(strings.Replace(post("Content-Length: 0\r\n", ""), "Approve", "Destroy", 1), false)},
		{"announced too large", "RepairService/Approve", "size", secure(post("Content-Length: 2097152\r\n", ""), false)},
		{"too large without saying so", "RepairService/Approve", "size", secure(post("Transfer-Encoding: chunked\r\n", fmt.Sprintf("%x\r\n%s\r\n", 2<<20, strings.Repeat("x", 2<<20))), false)},
		{"too large once unpacked", "RepairService/Approve", "malformed", secure(post(fmt.Sprintf("Content-Encoding: gzip\r\nContent-Length: %d\r\n", bomb.Len()), bomb.String()), false)},
		{"no protobuf", "RepairService/Approve", "malformed", secure(post("Content-Length: 5\r\n", "\x0a\xff\xff\xff\xff"), false)},
		{"truncated body", "RepairService/Approve", "truncated", secure(post("Content-Length: 100\r\n", "\x0a"), true)},
	}
	never := over(hasty, hasty.creds("good", pki.Request{Name: "good"}), post("Content-Length: 100\r\n", ""), false)
	type count struct{ verb, reason string }
	one := func() {
		want := map[count]float64{}
		var all sync.WaitGroup
		for _, a := range attacks {
			c := count{a.verb, a.reason}
			if want[c] == 0 {
				want[c] = b.counted(a.verb, a.reason)
			}
			want[c]++
		}
		for _, a := range attacks {
			all.Go(a.do)
		}
		slow := hasty.counted("RepairService/Approve", "truncated")
		all.Go(never)
		all.Wait()
		hasty.wantCounted("RepairService/Approve", "truncated", slow+1)
		for c, n := range want {
			b.wantCounted(c.verb, c.reason, n)
		}
		if t.Failed() {
			t.FailNow()
		}
	}
	for _, a := range attacks { // one after the other, so that it is known which one is not counted
		before := b.counted(a.verb, a.reason)
		a.do()
		b.wantCounted(a.verb, a.reason, before+1)
		if t.Failed() {
			t.Fatalf("that was: %s", a.name)
		}
	}
	one() // what is made once is there by then
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	goroutines := runtime.NumGoroutine()
	for range 2 {
		one()
	}
	deadline := time.Now().Add(time.Minute)
	for runtime.NumGoroutine() > goroutines && time.Now().Before(deadline) {
		runtime.Gosched()
	}
	if n := runtime.NumGoroutine(); n > goroutines {
		stacks := make([]byte, 1<<20)
		t.Errorf("%d goroutines, and %d before:\n%s", n, goroutines, stacks[:runtime.Stack(stacks, true)])
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 4<<20 {
		t.Errorf("%d more bytes are in use after it", grown)
	}
	if err := call(t, b.client(pki.Request{Name: "ann"}), b.url, approve, false); !strings.Contains(err.Error(), "is not implemented") {
		t.Errorf("after all that a good client gets %v", err)
	}
}

// handshake connects and waits for the first byte: in TLS 1.3 a client learns only by then that it was refused.
func handshake(addr string, c *tls.Config) error {
	conn, err := tls.Dial("tcp", addr, c)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET / HTTP/1.0\r\n\r\n"); err != nil {
		return err
	}
	_, err = conn.Read(make([]byte, 1))
	return err
}

// FuzzGuard_Request sends any bytes as a call to somebody who may do everything, and to somebody who may do nothing.
func FuzzGuard_Request(f *testing.F) {
	order, err := proto.Marshal(&gliav1.ExecuteRequest{Order: &gliav1.Order{Epoch: 1, Key: "k", Verb: gliav1.Verb_VERB_DRAIN, Osds: []*gliav1.Osd{{Id: 1}}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("POST", "/glia.v1.HostService/Execute", "application/proto", order)
	f.Add("POST", "/glia.v1.HostService/Execute", "application/grpc", append([]byte{0, 0, 0, 0, byte(len(order))}, order...))
	f.Add("POST", "/glia.v1.RepairService/Pause", "application/json", []byte(`{"scope":"fleet","until":"2026-01-01T00:00:00Z"}`))
	f.Add("POST", "/glia.v1.RepairService/WatchCase", "application/connect+json", []byte("\x00\x00\x00\x00\x02{}"))
	f.Add("GET", "/glia.v1.RepairService//Pause", "", []byte(nil))
	serve := func(role config.Role) http.Handler {
		g := access.New(access.Options{
			Access:  config.Access{Loopback: role, Requests: 100_000, Streams: 10},
			Program: "nerve", Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(),
		})
		mux := http.NewServeMux()
		all{}.mount(mux, g.HandlerOptions()...)
		return g.Handler(mux)
	}
	any, none := serve(config.RoleDestroy), serve(config.RoleNone)
	f.Fuzz(func(t *testing.T, method, path, kind string, body []byte) {
		for who, h := range []http.Handler{any, none} {
			r, err := http.NewRequest(method, "http://x/", bytes.NewReader(body))
			if err != nil {
				return
			}
			r.URL.Path = path
			r.Header.Set("Content-Type", kind)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if who == 1 && strings.Contains(w.Body.String(), "is not implemented") {
				t.Errorf("%s %q reached the service", method, path)
			}
		}
	})
}
