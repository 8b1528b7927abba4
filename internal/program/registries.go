package program

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"glia/config"
	"glia/registry"
	"glia/registry/consul"
	"glia/registry/malformed"
	"glia/registry/serf"
	"glia/registry/several"
	"glia/registry/zookeeper"
)

// Registries are those that a program uses, as one.
type Registries struct {
	several.Backend
	Services serf.Services // of the member of Serf; nil without Serf

	parts []part
	log   *slog.Logger
}

// part is one of them.
type part struct {
	several.Named
	ready func() error
	leave func(context.Context) error
}

// RegistriesConfig is what nerve and synapse say about them.
type RegistriesConfig struct {
	Use       []config.Registry
	Watch     config.Watch
	Serf      config.Serf
	ZooKeeper config.ZooKeeper
	Consul    config.Consul

	Snapshot string // of Serf
	Role     string
}

// Names are those of the readiness checks.
func (c RegistriesConfig) Names(more ...string) []string {
	for _, u := range c.Use {
		more = append(more, string(u))
	}
	return more
}

// OpenRegistries opens them, and waits for none. Each one connects in the background. The metrics are those of a program that
// watches, and nil for one that only announces.
func OpenRegistries(c RegistriesConfig, metrics prometheus.Registerer, log *slog.Logger) (_ *Registries, err error) {
	r := &Registries{log: log}
	defer func() {
		if err != nil {
			r.Leave()
		}
	}()
	for _, u := range c.Use {
		var p part
		switch u {
		case config.RegistrySerf:
			if c.Serf.Agent != "" {
				key, err := c.Serf.AgentKey.Read()
				if err != nil {
					return nil, fmt.Errorf("serf: read the key of the agent's RPC: %w", err)
				}
				a, err := serf.Attach(serf.RemoteOptions{Addr: c.Serf.Agent, AuthKey: key.Reveal(), DropIn: c.Serf.DropIn, Log: log})
				if err != nil {
					return nil, err
				}
				p, r.Services = part{several.Named{Name: string(u), Backend: a}, a.Ready, a.Close}, a
				break
			}
			a, err := startSerf(c.Serf, c.Snapshot, map[string]string{"role": c.Role}, log)
			if err != nil {
				return nil, err
			}
			p, r.Services = part{several.Named{Name: string(u), Backend: a}, a.Ready, a.Close}, a
		case config.RegistryZooKeeper:
			o, err := ZooKeeperOptions(c.ZooKeeper, log)
			if err != nil {
				return nil, err
			}
			z, err := zookeeper.Open(o)
			if err != nil {
				return nil, err
			}
			p = part{several.Named{Name: string(u), Backend: z}, z.Ready, z.Close}
		case config.RegistryConsul:
			o, err := ConsulOptions(c.Consul, log)
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
	r.Backend = several.New(several.Mode(c.Watch), all...)
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

// Checks are the readiness checks.
func (r *Registries) Checks(s *Shell) (out []func(context.Context) error) {
	for _, p := range r.parts {
		out = append(out, s.Watch(p.Name, p.ready))
	}
	return out
}

// Leave says goodbye, within Goodbye, so that the host is seen as left and not as gone.
func (r *Registries) Leave() {
	ctx, cancel := context.WithTimeout(context.Background(), Goodbye)
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
