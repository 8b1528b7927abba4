package program

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"glia/config"
	"glia/config/secret"
	"glia/registry"
	"glia/registry/consul"
	"glia/registry/malformed"
	"glia/registry/serf"
	"glia/registry/several"
	"glia/registry/zookeeper"
)

// registries are those that a program uses, as one.
type registries struct {
	several.Backend
	parts []part
	log   *slog.Logger
}

// part is one of them.
type part struct {
	several.Named
	ready func() error
	leave func(context.Context) error
}

// registriesConfig is what nerve and synapse say about them.
type registriesConfig struct {
	use       []config.Registry
	watch     config.Watch
	serf      config.Serf
	zookeeper config.ZooKeeper
	consul    config.Consul

	snapshot string // of Serf
	role     string
}

// names are those of the readiness checks.
func (c registriesConfig) names(more ...string) []string {
	for _, u := range c.use {
		more = append(more, string(u))
	}
	return more
}

// openRegistries opens them, and waits for none. Each one connects in the background. The metrics are those of a program that
// watches, and nil for one that only announces.
func openRegistries(c registriesConfig, metrics prometheus.Registerer, log *slog.Logger) (_ *registries, err error) {
	r := &registries{log: log}
	defer func() {
		if err != nil {
			r.leave()
		}
	}()
	for _, u := range c.use {
		var p part
		switch u {
		case config.RegistrySerf:
			if c.serf.Agent != "" {
				key, err := c.serf.AgentKey.Read()
				if err != nil {
					return nil, fmt.Errorf("serf: read the key of the agent's RPC: %w", err)
				}
				a, err := serf.Attach(serf.RemoteOptions{Addr: c.serf.Agent, AuthKey: key.Reveal(), DropIn: c.serf.DropIn, Log: log})
				if err != nil {
					return nil, err
				}
				p = part{several.Named{Name: string(u), Backend: a}, a.Ready, a.Close}
				break
			}
			a, err := startSerf(c.serf, c.snapshot, map[string]string{"role": c.role}, log)
			if err != nil {
				return nil, err
			}
			p = part{several.Named{Name: string(u), Backend: a}, a.Ready, a.Close}
		case config.RegistryZooKeeper:
			o, err := zookeeperOptions(c.zookeeper, log)
			if err != nil {
				return nil, err
			}
			z, err := zookeeper.Open(o)
			if err != nil {
				return nil, err
			}
			p = part{several.Named{Name: string(u), Backend: z}, z.Ready, z.Close}
		case config.RegistryConsul:
			o, err := consulOptions(c.consul, log)
			if err != nil {
				return nil, err
			}
			k, err := consul.Open(o)
			if err != nil {
				return nil, err
			}
			p = part{several.Named{Name: string(u), Backend: k}, k.Ready, k.Close}
		}
		r.parts = append(r.parts, p)
		if metrics != nil {
			w := malformed.New(p.Name, p.Backend, log)
			if err := w.Register(metrics); err != nil {
				return nil, fmt.Errorf("count the malformed announcements of %s: %w", p.Name, err)
			}
			r.parts[len(r.parts)-1].Backend = watchedBackend{p.Backend, w}
		}
	}
	var all []several.Named
	for _, p := range r.parts {
		all = append(all, p.Named)
	}
	r.Backend = several.New(several.Mode(c.watch), all...)
	if len(r.parts) == 1 {
		r.Backend = r.parts[0].Backend
	}
	return r, nil
}

// watchedBackend announces by the one and watches by the other.
type watchedBackend struct {
	registry.Announcer
	registry.Watcher
}

// checks are the readiness checks.
func (r *registries) checks(s *shell) (out []func(context.Context) error) {
	for _, p := range r.parts {
		out = append(out, s.watch(p.Name, p.ready))
	}
	return out
}

// leave says goodbye, so that the host is seen as left and not as gone.
func (r *registries) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), goodbye)
	defer cancel()
	var all sync.WaitGroup
	for _, p := range r.parts {
		all.Go(func() {
			if err := p.leave(ctx); err != nil {
				r.log.Warn("registry was left without goodbye", "registry", p.Name, "error", err)
			}
		})
	}
	all.Wait()
}

func zookeeperOptions(c config.ZooKeeper, log *slog.Logger) (zookeeper.Options, error) {
	o := zookeeper.Options{Servers: c.Servers, Path: c.Path, SessionTimeout: time.Duration(c.SessionTimeout), User: c.User, Log: log}
	password, err := c.Password.Read()
	if o.Password = password.Reveal(); err == nil {
		o.TLS, err = clientTLS(c.CA, c.Cert, c.Key)
	}
	if err == nil && o.TLS == nil && o.User != "" {
		log.Warn("the password for zookeeper can be read on the way; set zookeeper.ca")
	}
	if err != nil {
		return o, fmt.Errorf("zookeeper: %w", err)
	}
	return o, nil
}

func consulOptions(c config.Consul, log *slog.Logger) (consul.Options, error) {
	o := consul.Options{Address: c.Address, Datacenter: c.Datacenter, Path: c.Path, TTL: time.Duration(c.TTL), Log: log}
	token, err := c.Token.Read()
	if o.Token = token.Reveal(); err == nil {
		o.TLS, err = clientTLS(c.CA, c.Cert, c.Key)
	}
	if err == nil && o.TLS == nil && o.Token != "" && !strings.HasPrefix(c.Address, "unix://") && !loopback(c.Address) {
		log.Warn("the token for consul can be read on the way; set consul.ca")
	}
	if err != nil {
		return o, fmt.Errorf("consul: %w", err)
	}
	return o, nil
}

// clientTLS is nil without an authority. Our certificate is read for each connection, so that a renewed one is used.
func clientTLS(ca, cert string, key secret.Ref) (*tls.Config, error) {
	if ca == "" {
		return nil, nil
	}
	b, err := os.ReadFile(ca)
	if err != nil {
		return nil, err
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: x509.NewCertPool()}
	if !c.RootCAs.AppendCertsFromPEM(b) {
		return nil, fmt.Errorf("%s has no PEM certificate in it", ca)
	}
	if cert != "" {
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			pair, err := keyPair(cert, key)
			return &pair, err
		}
	}
	return c, nil
}

func keyPair(cert string, key secret.Ref) (tls.Certificate, error) {
	b, err := os.ReadFile(cert)
	if err != nil {
		return tls.Certificate{}, err
	}
	k, err := key.Read()
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(b, []byte(k.Reveal()))
}
