// Package program puts nerve, synapse and repairer together from their configurations. The commands
// run one each; the demo runs several in one process.
package program

import (
	"context"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"glia/config"
	"glia/internal/daemon"
	"glia/registry/serf"
)

// shell is what the three programs have alike: one listener with API, health and metrics, the
// certificates, and the profile socket.
type shell struct {
	log    *slog.Logger
	tls    *daemon.TLS // nil: plain, on loopback only
	health *daemon.Health
	reg    *prometheus.Registry
	ln     net.Listener
	debug  string
	mux    *http.ServeMux // what is served beside the API
}

func newShell(api config.API, t config.TLS, debug config.Debug, log *slog.Logger, checks ...string) (*shell, error) {
	s := &shell{log: log, health: daemon.NewHealth(log, checks...), reg: daemon.NewRegistry(), debug: debug.Socket, mux: http.NewServeMux()}
	var err error
	if t.Enabled() {
		if s.tls, err = daemon.LoadTLS(t.Cert, t.Key, t.CA, log); err != nil {
			return nil, err
		}
	}
	if s.ln, err = net.Listen("tcp", api.Listen); err != nil {
		return nil, fmt.Errorf("serve the API: %w", err)
	}
	return s, nil
}

func (s *shell) scheme() string {
	if s.tls != nil {
		return "https"
	}
	return "http"
}

// handle adds a service to those that serve serves.
func (s *shell) handle(path string, h http.Handler) { s.mux.Handle(path, h) }

func (s *shell) client() *http.Client { return daemon.HTTPClient(s.tls) }

// serve serves until the context ends, together with the parts. The first part that ends with an
// error ends the others.
func (s *shell) serve(ctx context.Context, path string, api http.Handler, parts ...func(context.Context) error) error {
	s.handle(path, api)
	daemon.Routes(s.mux, s.health, s.reg)
	server := daemon.Server{Handler: s.mux, Log: s.log}
	if s.tls != nil {
		server.TLS = s.tls.Server()
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return server.Serve(ctx, s.ln) })
	if s.debug != "" {
		g.Go(func() error { return daemon.ServeDebug(ctx, s.debug, s.log) })
	}
	for _, p := range parts {
		g.Go(func() error { return p(ctx) })
	}
	return g.Wait()
}

// watch reports a readiness check whenever it changes, looking several times a second.
func (s *shell) watch(name string, check func() error) func(context.Context) error {
	return func(ctx context.Context) error {
		t := time.NewTicker(200 * time.Millisecond)
		defer t.Stop()
		for {
			reason := ""
			if err := check(); err != nil {
				reason = err.Error()
			}
			s.health.Ready(name, reason)
			select {
			case <-ctx.Done():
				return nil
			case <-t.C:
			}
		}
	}
}

// advertise is the API address that others are told. A port that the kernel chose is filled in.
func (s *shell) advertise(api config.API) string {
	if api.Advertise != "" && !strings.HasSuffix(api.Advertise, ":0") {
		return api.Advertise
	}
	return s.ln.Addr().String()
}

// startSerf starts the embedded agent.
func startSerf(c config.Serf, snapshot string, tags map[string]string, log *slog.Logger) (*serf.Agent, error) {
	var key []byte
	if !c.EncryptKey.IsZero() {
		text, err := c.EncryptKey.Read()
		if err != nil {
			return nil, fmt.Errorf("read the gossip key: %w", err)
		}
		if key, err = base64.StdEncoding.DecodeString(text.Reveal()); err != nil {
			return nil, fmt.Errorf("gossip key in %s is not base64", c.EncryptKey) // its text must not get into a log
		}
	}
	if key == nil && c.KeyringFile == "" && !loopback(c.Bind) {
		log.Warn("gossip is not encrypted: whoever reaches the port can join and announce; set serf.encrypt_key or serf.keyring_file", "bind", c.Bind)
	}
	return serf.Start(serf.Options{
		Node: c.Node, Bind: c.Bind, Advertise: c.Advertise, RPC: c.RPC, Join: c.Join, EncryptKey: key, KeyringFile: c.KeyringFile, Profile: serf.Profile(c.Profile),
		SnapshotPath: snapshot, Tags: tags, Log: log,
	})
}

func loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	ip := net.ParseIP(host)
	return err == nil && ip != nil && ip.IsLoopback()
}

// goodbye bounds how long leaving the registries may take.
const goodbye = 5 * time.Second
