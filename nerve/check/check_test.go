package check_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"connectrpc.com/grpchealth"

	"glia/internal/testbed"
	"glia/nerve/check"
)

// probe asks once; want is in the error, or empty when the check is to pass.
func probe(t *testing.T, what string, c check.Check, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := c.Probe(ctx); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
		t.Errorf("%s: error %v, want %q", what, err, want)
	}
}

// serve answers each connection by a function until the test ends.
func serve(t *testing.T, network, address string, answer func(net.Conn)) net.Addr {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { defer func() { _ = c.Close() }(); answer(c) }()
		}
	}()
	return l.Addr()
}

func address(a net.Addr) check.Address {
	t := a.(*net.TCPAddr)
	return check.Address{Host: t.IP.String(), Port: t.Port}
}

// nobody is an address at which nobody listens.
func nobody(t *testing.T) check.Address {
	a, err := net.ResolveTCPAddr("tcp", testbed.Addr(t))
	if err != nil {
		t.Fatal(err)
	}
	return address(a)
}

func TestSockets(t *testing.T) {
	t.Parallel()
	silent := func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }
	probe(t, "tcp", check.TCP{Address: address(serve(t, "tcp", "127.0.0.1:0", silent))}, "")
	if l, err := net.Listen("tcp", "[::1]:0"); err == nil { // a host may have no IPv6
		defer func() { _ = l.Close() }()
		probe(t, "tcp over IPv6", check.TCP{Address: address(l.Addr())}, "")
	}
	probe(t, "tcp, refused", check.TCP{Address: nobody(t)}, "refused")
	socket := filepath.Join(t.TempDir(), "s")
	probe(t, "unix, absent", check.Unix{Path: socket}, "no such file")
	serve(t, "unix", socket, silent)
	probe(t, "unix", check.Unix{Path: socket}, "")
	probe(t, "noop", check.Noop{}, "")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := (check.Redis{Address: address(serve(t, "tcp", "127.0.0.1:0", silent))}).Probe(ctx); err == nil || !strings.Contains(err.Error(), "no answer in time") {
		t.Errorf("a server that says nothing: %v", err)
	}
}

func TestUDP(t *testing.T) {
	t.Parallel()
	pc, err := net.ListenPacket("udp", "127.91.17.3:0") // an address at which nobody else takes the port once it is free
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		b := make([]byte, 100)
		for {
			n, from, err := pc.ReadFrom(b)
			if err != nil {
				return
			}
			if n > 0 && string(b[:n]) != "silence" {
				_, _ = pc.WriteTo(append([]byte("echo "), b[:n]...), from)
			}
		}
	}()
	port := pc.LocalAddr().(*net.UDPAddr).Port
	at := check.Address{Host: "127.91.17.3", Port: port}
	probe(t, "answer", check.UDP{Address: at, Send: "hello", Expect: "echo hello"}, "")
	probe(t, "another answer", check.UDP{Address: at, Send: "hello", Expect: "bye"}, `"echo hello" does not have "bye"`)
	probe(t, "no answer is wanted", check.UDP{Address: at, Send: "silence", Quiet: time.Millisecond}, "")
	if err := pc.Close(); err != nil {
		t.Fatal(err)
	}
	// Processes that other tests start have it, too, until they run their program.
	become(t, "nobody is there", check.UDP{Address: at, Send: "x", Quiet: 9 * time.Second}, "refused")
}

func TestHTTP(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	for path, status := range map[string]int{"/200": 200, "/204": 204, "/301": 301, "/399": 399, "/400": 400, "/503": 503} {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/503")
			w.WriteHeader(status)
			if status != 204 {
				_, _ = io.WriteString(w, "state is fine")
			}
		})
	}
	mux.HandleFunc("/host", func(w http.ResponseWriter, r *http.Request) {
		if r.Host != "web.example.com" || r.Header.Get("X-Key") != "v" {
			w.WriteHeader(http.StatusForbidden)
		}
	})
	plain, secure := httptest.NewServer(mux), httptest.NewTLSServer(mux)
	t.Cleanup(plain.Close)
	t.Cleanup(secure.Close)
	at := address(plain.Listener.Addr())
	for uri, want := range map[string]string{"/200": "", "/204": "", "/301": "", "/399": "", "/400": "400 Bad Request", "/503": "503"} {
		probe(t, uri, check.HTTP{Address: at, URI: uri}, want)
	}
	probe(t, "a redirect that is followed", check.HTTP{Address: at, URI: "/301", Follow: true}, "503")
	probe(t, "text", check.HTTP{Address: at, URI: "/200", Expect: "is fine"}, "")
	probe(t, "no such text", check.HTTP{Address: at, URI: "/200", Expect: "PONG"}, `does not have "PONG"`)
	probe(t, "headers", check.HTTP{Address: at, URI: "/host", Headers: http.Header{"Host": {"web.example.com"}, "X-Key": {"v"}}}, "")
	probe(t, "no headers", check.HTTP{Address: at, URI: "/host"}, "403")
	probe(t, "refused", check.HTTP{Address: nobody(t), URI: "/"}, "refused")

	at = address(secure.Listener.Addr())
	roots := x509.NewCertPool()
	roots.AddCert(secure.Certificate())
	probe(t, "verified", check.HTTP{Address: at, URI: "/200", TLS: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}, "")
	probe(t, "of a stranger", check.HTTP{Address: at, URI: "/200", TLS: &tls.Config{MinVersion: tls.VersionTLS12}}, "certificate")
	probe(t, "not verified", check.HTTP{Address: at, URI: "/200", TLS: &tls.Config{InsecureSkipVerify: true}}, "") //nolint:gosec // what is tested
}

func TestGRPC_AsksTheHealthService(t *testing.T) {
	t.Parallel()
	health := grpchealth.NewStaticChecker("acme.v1.Good", "acme.v1.Bad")
	health.SetStatus("acme.v1.Bad", grpchealth.StatusNotServing)
	mux := http.NewServeMux()
	mux.Handle(grpchealth.NewHandler(health))
	s := httptest.NewUnstartedServer(mux)
	var p http.Protocols
	p.SetUnencryptedHTTP2(true)
	s.Config.Protocols = &p
	s.Start()
	t.Cleanup(s.Close)
	at := address(s.Listener.Addr())
	probe(t, "server", check.GRPC{Address: at}, "")
	probe(t, "service", check.GRPC{Address: at, Service: "acme.v1.Good"}, "")
	probe(t, "not serving", check.GRPC{Address: at, Service: "acme.v1.Bad"}, "health is 2")
	probe(t, "not known", check.GRPC{Address: at, Service: "acme.v1.None"}, `knows no service "acme.v1.None"`)
	probe(t, "refused", check.GRPC{Address: nobody(t)}, "refused")
}

func TestRedis(t *testing.T) {
	t.Parallel()
	for answers, want := range map[string]string{
		"+PONG :0": "", "-NOAUTH": "", "+PONG -LOADING": "-LOADING", "-ERR": "-ERR", "+PONG": "EOF",
	} {
		a := serve(t, "tcp", "127.0.0.1:0", func(c net.Conn) {
			r := bufio.NewReader(c)
			for _, say := range strings.Fields(answers) {
				if _, err := r.ReadString('\n'); err != nil {
					return
				}
				_, _ = io.WriteString(c, say+"\r\n")
			}
			_, _ = r.ReadString('\n')
		})
		probe(t, answers, check.Redis{Address: address(a)}, want)
	}
}

func TestZooKeeper(t *testing.T) {
	t.Parallel()
	server := testbed.ZooKeeper(t)
	a, err := net.ResolveTCPAddr("tcp", server.Addr)
	if err != nil {
		t.Fatal(err)
	}
	serves := check.ZooKeeper{Address: address(a)}
	become(t, "serves", serves, "") // it answers before it serves, and takes connections before it answers
	dead := serve(t, "tcp", "127.0.0.1:0", func(c net.Conn) {
		_, _ = io.ReadFull(c, make([]byte, len("srvr"))) // what is not read would reset the connection
		_, _ = io.WriteString(c, "This ZooKeeper instance is not currently serving requests\n")
	})
	probe(t, "without quorum", check.ZooKeeper{Address: address(dead)}, "not currently serving")
}

func TestCeph_AsksTheAdminSocket(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "asok")
	serve(t, "unix", socket, func(c net.Conn) {
		if _, err := bufio.NewReader(c).ReadString(0); err != nil {
			return
		}
		const answer = `{"state":"active"}`
		_ = binary.Write(c, binary.BigEndian, uint32(len(answer)))
		_, _ = io.WriteString(c, answer)
	})
	probe(t, "state", check.Ceph{Socket: socket, Command: "status", Expect: `"active"`}, "")
	probe(t, "another state", check.Ceph{Socket: socket, Command: "status", Expect: `"booting"`}, "does not have")
	probe(t, "no daemon", check.Ceph{Socket: socket + "x", Command: "version"}, "no such file")
}

func TestExec(t *testing.T) {
	t.Parallel()
	probe(t, "passes", check.Exec{Command: []string{"true"}}, "")
	probe(t, "fails", check.Exec{Command: []string{"sh", "-c", "echo no disk; exit 3"}}, "sh: exit status 3: no disk")
	probe(t, "is not there", check.Exec{Command: []string{"/no/such/command"}}, "no such file")
	probe(t, "no shell", check.Exec{Command: []string{"true; false"}}, "not found")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := (check.Exec{Command: []string{"sh", "-c", "sleep 1000 & sleep 1000"}}).Probe(ctx); err == nil || !strings.Contains(err.Error(), "did not end in time") {
		t.Errorf("a command that hangs: %v", err)
	}
}
