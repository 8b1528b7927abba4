// Package program is what nerve, synapse and repairer have alike when they are put together from their
// configurations: the shell that serves them, their secrets, and the clients of registries. Each daemon is
// put together in a package of its own below this one, so that a command links no other daemon.
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

	"connectrpc.com/connect"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"glia/config"
	"glia/internal/access"
	"glia/internal/daemon"
	"glia/registry/serf"
)

// Shell is what the three programs have alike: one listener with API, health and metrics, the
// certificates, and the profile socket.
type Shell struct {
	TLS     *daemon.TLS // nil: plain, on loopback only
	Health  *daemon.Health
	Metrics *prometheus.Registry

	log   *slog.Logger
	guard *access.Guard
	ln    net.Listener
	local net.Listener // for users of this host; nil: none
	debug string
	mux   *http.ServeMux // what is served beside the API
}

// Served is what a program configures of its API.
type Served struct {
	Program   string
	API       config.API
	TLS       config.TLS
	Access    config.Access
	Repairers []string // who may order the hand
	Debug     config.Debug
}

// NewShell listens, and serves nothing before Serve. The checks are the names of those that it is ready with.
func NewShell(c Served, log *slog.Logger, checks ...string) (*Shell, error) {
	s := &Shell{log: log, Health: daemon.NewHealth(log, checks...), Metrics: daemon.NewRegistry(), debug: c.Debug.Socket, mux: http.NewServeMux()}
	s.guard = access.New(access.Options{Access: c.Access, Repairers: c.Repairers, Program: c.Program, Log: log, Registry: s.Metrics})
	var err error
	if c.TLS.Enabled() {
		if s.TLS, err = daemon.LoadTLS(c.TLS.Cert, c.TLS.Key, c.TLS.CA, log); err != nil {
			return nil, err
		}
		s.Metrics.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "glia_certificate_expires_timestamp_seconds", Help: "When the certificate that this program presents ends.",
		}, func() float64 { return float64(s.TLS.NotAfter().Unix()) }))
		if c.Access.Others == config.RoleDestroy {
			log.Warn("every certificate of the authority may do everything here: name who may in [access], and leave access.others out")
		}
	} else if c.Access.Loopback == config.RoleDestroy {
		log.Warn("every user of this host may do everything here: set api.socket, name who may in [access], and leave access.loopback out")
	}
	if s.ln, err = net.Listen("tcp", c.API.Listen); err != nil {
		return nil, fmt.Errorf("serve the API: %w", err)
	}
	if c.API.Socket == "" {
		return s, nil
	}
	// Whom the kernel does not name by [access] is refused, so that the file may be open to all.
	if s.local, err = daemon.ListenUnix(context.Background(), c.API.Socket, 0o666); err != nil {
		_ = s.ln.Close()
		return nil, fmt.Errorf("serve the API: %w", err)
	}
	return s, nil
}

// Scheme is that of the addresses of the API, here and at the other programs.
func (s *Shell) Scheme() string {
	if s.TLS != nil {
		return "https"
	}
	return "http"
}

// Handle adds a service to those that Serve serves.
func (s *Shell) Handle(path string, h http.Handler) { s.mux.Handle(path, h) }

// Options are for every service that is served.
func (s *Shell) Options() []connect.HandlerOption { return s.guard.HandlerOptions() }

// Client calls the other programs.
func (s *Shell) Client() *http.Client { return daemon.HTTPClient(s.TLS) }

// Serve serves the API at its path until the context ends, together with the parts. The first part that ends with an
// error ends the others.
func (s *Shell) Serve(ctx context.Context, path string, api http.Handler, parts ...func(context.Context) error) error {
	s.Handle(path, api)
	daemon.Routes(s.mux, s.Health, s.Metrics)
	server := daemon.Server{Handler: s.guard.Handler(s.mux), Log: s.log, ConnContext: access.Peer, Refused: s.guard.Refused}
	g, ctx := errgroup.WithContext(ctx)
	if s.local != nil {
		local := server
		g.Go(func() error { return local.Serve(ctx, s.local) })
	}
	if s.TLS != nil {
		server.TLS = s.TLS.Server()
	}
	g.Go(func() error { return server.Serve(ctx, s.ln) })
	if s.debug != "" {
		g.Go(func() error { return daemon.ServeDebug(ctx, s.debug, s.log) })
	}
	for _, p := range parts {
		g.Go(func() error { return p(ctx) })
	}
	return g.Wait()
}

// Watch reports a readiness check whenever it changes, looking several times a second until it is passed, and then once.
func (s *Shell) Watch(name string, check func() error) func(context.Context) error {
	return func(ctx context.Context) error {
		for {
			reason, again := "", time.Second
			if err := check(); err != nil {
				reason, again = err.Error(), 200*time.Millisecond
			}
			s.Health.Ready(name, reason)
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(again):
			}
		}
	}
}

// Advertise is the API address that others are told. A port that the kernel chose is filled in.
func (s *Shell) Advertise(api config.API) string {
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

// Goodbye bounds how long leaving the registries may take.
const Goodbye = 5 * time.Second
