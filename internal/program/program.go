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

	"connectrpc.com/connect"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"glia/config"
	"glia/internal/access"
	"glia/internal/daemon"
	"glia/registry/serf"
)

// shell is what the three programs have alike: one listener with API, health and metrics, the
// certificates, and the profile socket.
type shell struct {
	log    *slog.Logger
	tls    *daemon.TLS // nil: plain, on loopback only
	guard  *access.Guard
	health *daemon.Health
	reg    *prometheus.Registry
	ln     net.Listener
	local  net.Listener // for users of this host; nil: none
	debug  string
	mux    *http.ServeMux // what is served beside the API
}

// served is what a program configures of its API.
type served struct {
	program   string
	api       config.API
	tls       config.TLS
	access    config.Access
	repairers []string // who may order the hand
	debug     config.Debug
}

func newShell(c served, log *slog.Logger, checks ...string) (*shell, error) {
	s := &shell{log: log, health: daemon.NewHealth(log, checks...), reg: daemon.NewRegistry(), debug: c.debug.Socket, mux: http.NewServeMux()}
	s.guard = access.New(access.Options{Access: c.access, Repairers: c.repairers, Program: c.program, Log: log, Registry: s.reg})
	var err error
	if c.tls.Enabled() {
		if s.tls, err = daemon.LoadTLS(c.tls.Cert, c.tls.Key, c.tls.CA, log); err != nil {
			return nil, err
		}
		if c.access.Others == config.RoleDestroy {
			log.Warn("every certificate of the authority may do everything here: name who may in [access], and set access.others to a lesser role")
		}
	}
	if s.ln, err = net.Listen("tcp", c.api.Listen); err != nil {
		return nil, fmt.Errorf("serve the API: %w", err)
	}
	if c.api.Socket == "" {
		return s, nil
	}
	// Whom the kernel does not name by [access] is refused, so that the file may be open to all.
	if s.local, err = daemon.ListenUnix(context.Background(), c.api.Socket, 0o666); err != nil {
		_ = s.ln.Close()
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

// options are for every service that is served.
func (s *shell) options() []connect.HandlerOption { return s.guard.HandlerOptions() }

func (s *shell) client() *http.Client { return daemon.HTTPClient(s.tls) }

// serve serves until the context ends, together with the parts. The first part that ends with an
// error ends the others.
func (s *shell) serve(ctx context.Context, path string, api http.Handler, parts ...func(context.Context) error) error {
	s.handle(path, api)
	daemon.Routes(s.mux, s.health, s.reg)
	server := daemon.Server{Handler: s.guard.Handler(s.mux), Log: s.log, ConnContext: access.Peer, Refused: s.guard.Refused}
	g, ctx := errgroup.WithContext(ctx)
	if s.local != nil {
		local := server
		g.Go(func() error { return local.Serve(ctx, s.local) })
	}
	if s.tls != nil {
		server.TLS = s.tls.Server()
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

// watch reports a readiness check whenever it changes, looking several times a second until it is passed, and then once.
func (s *shell) watch(name string, check func() error) func(context.Context) error {
	return func(ctx context.Context) error {
		for {
			reason, again := "", time.Second
			if err := check(); err != nil {
				reason, again = err.Error(), 200*time.Millisecond
			}
			s.health.Ready(name, reason)
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(again):
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
