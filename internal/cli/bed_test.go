package cli_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rogpeppe/go-internal/testscript"

	gliav1 "glia/api/glia/v1"
	"glia/api/glia/v1/gliav1connect"
	"glia/config"
	"glia/internal/access"
	"glia/internal/testbed"
)

// patience is how long a script waits for what must happen.
const patience = time.Minute

// bed is one server with its data. The data outlives a restart of the server, as a database does.
type bed struct {
	dir     string
	addr    string // reserved, so that nobody takes it while the server is down
	release func()
	world   *world
	http    *http.Server

	loopback  config.Role // empty: no guard
	listeners []net.Listener
}

func newBed(dir string) (*bed, error) {
	addr, release, err := testbed.Reserve("127.0.0.1")
	if err != nil {
		return nil, err
	}
	b := &bed{dir: dir, addr: addr, release: release, world: newWorld()}
	return b, b.start(nil)
}

func (b *bed) close() {
	b.stop()
	b.release()
}

func (b *bed) start(t *tls.Config) error {
	l, err := testbed.Listen(b.addr)
	if err != nil {
		return err
	}
	if t != nil {
		l = tls.NewListener(l, t)
	}
	return b.serve(l)
}

// serve serves at the listeners; with loopback set, to those alone who may do what they ask for.
func (b *bed) serve(listeners ...net.Listener) error {
	mux := http.NewServeMux()
	mux.Handle(gliav1connect.NewRepairServiceHandler(repairService{world: b.world}))
	mux.Handle(gliav1connect.NewEntrypointServiceHandler(entrypointService{world: b.world}))
	mux.Handle(gliav1connect.NewQueueServiceHandler(queueService{world: b.world}))
	mux.Handle(gliav1connect.NewFleetServiceHandler(fleetService{world: b.world}))
	mux.Handle(gliav1connect.NewHostServiceHandler(hostService{world: b.world}))
	mux.Handle(gliav1connect.NewAnnouncerServiceHandler(announcerService{world: b.world}))
	mux.Handle(gliav1connect.NewBackendServiceHandler(backendService{world: b.world}))
	for _, path := range []string{"/healthz", "/readyz", "/metrics"} {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, r.URL.Path, "of the server") })
	}
	p := new(http.Protocols)
	p.SetHTTP1(true)
	p.SetHTTP2(true)
	p.SetUnencryptedHTTP2(true)
	b.http = &http.Server{Handler: mux, Protocols: p, ErrorLog: log.New(io.Discard, "", 0)}
	if b.loopback != "" {
		b.http.Handler = access.New(access.Options{
			Access:  config.Access{Read: []string{"user:*"}, Loopback: b.loopback, Requests: 1000, Streams: 1000},
			Program: "repairer", Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(),
		}).Handler(mux)
		b.http.ConnContext = access.Peer
	}
	b.listeners = listeners
	for _, l := range listeners {
		go b.http.Serve(l)
	}
	return nil
}

// guarded comes back with a guard, also at a unix socket.
func (b *bed) guarded(role config.Role) error {
	b.stop()
	l, err := testbed.Listen(b.addr)
	if err != nil {
		return err
	}
	local, err := net.Listen("unix", filepath.Join(b.dir, "api.sock"))
	if err != nil {
		return err
	}
	b.loopback = role
	return b.serve(l, local)
}

// stop breaks every connection, as kill -9 would.
func (b *bed) stop() {
	b.http.Close()
	for _, l := range b.listeners { // it may not know them yet
		l.Close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := b.world.until(ctx, func() bool { return b.world.watchers == 0 }); err != nil {
		panic("a watch of the closed server did not end")
	}
}

// command is what a script can tell the server:
//
//	stop, start             leave and come back at the same address, data kept
//	guard ROLE              come back with that role for loopback, and with a socket api.sock for users of the host
//	tls                     come back with mutual TLS; writes ca.pem, cert.pem and key.pem
//	scene NAME              change the data, see (*world).scene
//	event CASE KIND STEP TEXT [PHASE]   something happens in a case, and may change its phase
//	watching N              wait until N watches have had their first answer
//	asked TEXT              the last change that was asked for
func (b *bed) command(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: server VERB args...")
	}
	w := b.world
	switch verb, rest := args[0], args[1:]; verb {
	case "stop":
		b.stop()
	case "start":
		ts.Check(b.start(nil))
	case "guard":
		ts.Check(b.guarded(config.Role(rest[0])))
	case "tls":
		b.stop()
		t, err := mutualTLS(b.dir, b.addr)
		ts.Check(err)
		ts.Check(b.start(t))
	case "scene":
		w.update(func() { w.api = b.addr; w.scene(rest[0]) })
	case "event":
		w.update(func() {
			w.event(rest[0], rest[1], rest[2], rest[3])
			if len(rest) > 4 {
				w.phase(rest[0], rest[4])
			}
		})
	case "watching":
		n, err := strconv.Atoi(rest[0])
		ts.Check(err)
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		ts.Check(w.until(ctx, func() bool { return w.watchers >= n }))
	case "asked":
		w.mu.Lock()
		defer w.mu.Unlock()
		if want := strings.Join(rest, " "); w.asked != want {
			ts.Fatalf("the server was asked %q, want %q", w.asked, want)
		}
	default:
		ts.Fatalf("unknown verb %q", verb)
	}
}

// mutualTLS makes an authority and one certificate that both sides use, and leaves the files in dir.
func mutualTLS(dir, addr string) (*tls.Config, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "glia test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, IPAddresses: []net.IP{net.ParseIP(host)},
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, key.Public(), key)
	if err != nil {
		return nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	for name, content := range map[string][]byte{"ca.pem": certPEM, "cert.pem": certPEM, "key.pem": keyPEM} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return nil, err
		}
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(certPEM)
	return &tls.Config{
		Certificates: []tls.Certificate{pair}, ClientCAs: pool,
		ClientAuth: tls.RequireAndVerifyClientCert, NextProtos: []string{"h2", "http/1.1"},
	}, nil
}

// ask records a request that changes something, as one line.
func (w *world) ask(format string, args ...any) { w.asked = fmt.Sprintf(format, args...) }

func (w *world) event(id, kind, step, text string) {
	if step == "-" {
		step = ""
	}
	log := w.events[id]
	w.events[id] = append(log, &gliav1.Event{
		Seq: uint64(100 + len(log)), CaseId: id, At: at(-time.Duration(20-len(log)) * time.Minute), Epoch: 3, Kind: kind, Step: step, Text: text,
	})
}

func (w *world) phase(id, phase string) {
	c := w.cases[id]
	c.Phase, c.WaitingFor = phase, ""
	if phase == "closed" {
		c.ClosedAt = at(0)
	}
}
