package cli

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"glia/api/glia/v1/gliav1connect"
	"glia/internal/access"
)

// Where the servers listen unless configured otherwise, as host:port on the same machine.
const (
	defaultRepairer = "127.0.0.1:7413"
	defaultSynapse  = "127.0.0.1:7412"
	defaultNerve    = "127.0.0.1:7411"
)

// A server that is silent for pingAfter is pinged, and given up when it does not answer within
// pingWait. Without this a watch would hang for hours after the power loss of a repair host.
const (
	dialTimeout = 5 * time.Second
	pingAfter   = 15 * time.Second
	pingWait    = 10 * time.Second
)

// connection is how the servers are reached, from flags or, where a flag is empty, the environment.
type connection struct {
	repairer string
	synapse  string
	nerve    string
	cert     string
	key      string
	ca       string
	timeout  time.Duration // of one request; a watch has none
}

// server is one of the programs that glia asks.
type server struct {
	name    string // repairer, synapse or nerve
	flag    string
	env     string
	url     string // as it was given, completed
	base    string // of the requests; another one than url at a unix socket
	request string // name of the requests, see access.RequestID
	wait    time.Duration
}

func (c *connection) addFlags(root *cobra.Command) {
	f := root.PersistentFlags()
	f.StringVar(&c.repairer, "repairer", "", "`URL` of the repairer, or unix:/PATH of its socket; $GLIA_REPAIRER (default http://"+defaultRepairer+")")
	f.StringVar(&c.synapse, "synapse", "", "`URL` of a synapse, or unix:/PATH of its socket; $GLIA_SYNAPSE (default http://"+defaultSynapse+")")
	f.StringVar(&c.nerve, "nerve", "", "`URL` of the nerve of this host, or unix:/PATH of its socket; $GLIA_NERVE (default http://"+defaultNerve+")")
	f.StringVar(&c.cert, "tls-cert", "", "`file` with the certificate to present; $GLIA_TLS_CERT")
	f.StringVar(&c.key, "tls-key", "", "`file` with its key, not readable by everyone; $GLIA_TLS_KEY")
	f.StringVar(&c.ca, "tls-ca", "", "`file` with the authorities that sign the servers; $GLIA_TLS_CA (default the system's)")
	f.DurationVar(&c.timeout, "timeout", 30*time.Second, "how long to wait for one answer")
}

// repairClient prepares the client of the repairer; it does not connect yet.
func (a *app) repairClient() (gliav1connect.RepairServiceClient, server, error) {
	s := server{name: "repairer", flag: "--repairer", env: "GLIA_REPAIRER", wait: a.conn.timeout}
	h, err := a.httpClient(&s, a.conn.repairer, defaultRepairer)
	if err != nil {
		return nil, s, err
	}
	return gliav1connect.NewRepairServiceClient(h, s.base), s, nil
}

// fleetClient prepares the client of the synapse; it does not connect yet.
func (a *app) fleetClient() (gliav1connect.FleetServiceClient, server, error) {
	s := server{name: "synapse", flag: "--synapse", env: "GLIA_SYNAPSE", wait: a.conn.timeout}
	h, err := a.httpClient(&s, a.conn.synapse, defaultSynapse)
	if err != nil {
		return nil, s, err
	}
	return gliav1connect.NewFleetServiceClient(h, s.base), s, nil
}

func (a *app) httpClient(s *server, flag, fallback string) (*http.Client, error) {
	if a.conn.timeout <= 0 {
		return nil, usagef("--timeout %s: must be longer than zero", a.conn.timeout)
	}
	s.request = access.NewRequestID()
	if path, ok := strings.CutPrefix(cmp.Or(flag, a.env(s.env)), socketPrefix); ok {
		return socketClient(s, path)
	}
	tlsConfig, err := a.tlsConfig()
	if err != nil {
		return nil, err
	}
	if s.url, err = serverURL(*s, cmp.Or(flag, a.env(s.env)), fallback, tlsConfig != nil); err != nil {
		return nil, err
	}
	s.base = s.url
	t := &http.Transport{
		DialContext:     (&net.Dialer{Timeout: dialTimeout}).DialContext,
		TLSClientConfig: tlsConfig,
		Protocols:       new(http.Protocols),
		HTTP2:           &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingWait},
	}
	if strings.HasPrefix(s.url, "http://") {
		t.Protocols.SetUnencryptedHTTP2(true)
	} else {
		t.Protocols.SetHTTP2(true)
		t.Protocols.SetHTTP1(true)
	}
	return &http.Client{Transport: named{t, s.request}}, nil
}

// named names the requests of one command, so that those who run the servers find them in their logs.
type named struct {
	http.RoundTripper
	request string
}

// RoundTrip is part of http.RoundTripper.
func (n named) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set(access.RequestID, n.request)
	return n.RoundTripper.RoundTrip(r)
}

// socketPrefix is what the address of a unix socket begins with.
const socketPrefix = "unix:"

// socketClient is the client of a server at its unix socket, whose kernel tells it who asks.
func socketClient(s *server, path string) (*http.Client, error) {
	if !filepath.IsAbs(path) {
		return nil, usagef("%s %s%s: want unix: and an absolute path", s.flag, socketPrefix, path)
	}
	s.url, s.base = socketPrefix+path, "http://localhost"
	t := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, "unix", path)
		},
		Protocols: new(http.Protocols),
		HTTP2:     &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingWait},
	}
	t.Protocols.SetUnencryptedHTTP2(true)
	return &http.Client{Transport: named{t, s.request}}, nil
}

// serverURL completes what the operator gave to a base URL. An address without a scheme gets https
// if there is a certificate to present and http if there is none. With a certificate, plain http is
// taken for a mistake unless it stays on this machine.
func serverURL(s server, given, fallback string, secure bool) (string, error) {
	addr := cmp.Or(given, fallback)
	if !strings.Contains(addr, "://") {
		if secure {
			addr = "https://" + addr
		} else {
			addr = "http://" + addr
		}
	}
	u, err := url.Parse(addr)
	if err != nil || u.Hostname() == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return "", usagef("%s %q: want http://host:port or https://host:port", s.flag, given)
	}
	if secure && u.Scheme == "http" && !loopback(u.Hostname()) {
		return "", usagef("%s %s: a TLS certificate is given, but http:// would not use it; write https://", s.flag, addr)
	}
	return strings.TrimSuffix(u.String(), "/"), nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}

// tlsConfig is nil when no TLS file is given.
func (a *app) tlsConfig() (*tls.Config, error) {
	cert := cmp.Or(a.conn.cert, a.env("GLIA_TLS_CERT"))
	key := cmp.Or(a.conn.key, a.env("GLIA_TLS_KEY"))
	ca := cmp.Or(a.conn.ca, a.env("GLIA_TLS_CA"))
	if cert == "" && key == "" && ca == "" {
		return nil, nil
	}
	if (cert == "") != (key == "") {
		return nil, usagef("--tls-cert and --tls-key go together, but only one of them is given")
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if cert != "" {
		info, err := os.Stat(key)
		if err != nil {
			return nil, fmt.Errorf("read the TLS key: %w", err)
		}
		if info.Mode().Perm()&0o007 != 0 {
			return nil, fmt.Errorf("TLS key %s is open to everyone (mode %04o): chmod 0600 it, and replace it if others may have read it", key, info.Mode().Perm())
		}
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return nil, fmt.Errorf("read the TLS certificate %s with key %s: %w", cert, key, err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return nil, fmt.Errorf("read the TLS authorities: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("TLS authorities %s: the file holds no PEM certificate", ca)
		}
	}
	return c, nil
}
