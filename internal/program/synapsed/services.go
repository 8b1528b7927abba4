package synapsed

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/prometheus/client_golang/prometheus"

	"glia/config"
	"glia/internal/program"
	"glia/registry/zookeeper"
	"glia/synapse"
	"glia/synapse/file"
	"glia/synapse/haproxy"
	"glia/synapse/service"
	"glia/synapse/source"
)

// Load loads the configuration, and renders with it what HAProxy would get. The error is *config.Errors.
func Load(path string) (config.Synapse, error) {
	c, err := config.LoadSynapse(path)
	if err != nil {
		return c, err
	}
	for _, t := range c.Templates {
		if _, err := openTemplate(t, c.Services, slog.New(slog.DiscardHandler)); err != nil {
			return c, &config.Errors{Problems: []config.Problem{{File: path, Key: "template", Message: err.Error()}}}
		}
	}
	if c.HAProxy.ConfigFile == "" {
		return c, nil
	}
	if _, err := haproxy.NewRenderer(haproxyConfig(c)); err != nil {
		bad := &config.Errors{}
		for line := range strings.SplitSeq(err.Error(), "\n") {
			bad.Problems = append(bad.Problems, config.Problem{File: path, Message: line})
		}
		return c, bad
	}
	return c, nil
}

// openServices makes everything that follows services and gives them to outputs, and returns what is to be run.
func openServices(c config.Synapse, reg prometheus.Registerer, log *slog.Logger) (followed synapse.BackendAPI, run []func(context.Context) error, err error) {
	followed.Host = c.Host
	if err := os.MkdirAll(c.StateDir, 0o700); err != nil {
		return followed, nil, fmt.Errorf("state directory: %w", err)
	}
	var outputs []synapse.Output
	if c.HAProxy.ConfigFile != "" {
		o := haproxyOptions(c)
		o.Log, o.Registerer = log, reg
		if followed.HAProxy, err = haproxy.New(o); err != nil {
			return followed, nil, err
		}
		outputs, run = append(outputs, followed.HAProxy), append(run, followed.HAProxy.Run)
	}
	if c.Files.Directory != "" {
		var names []string
		for _, s := range c.Services {
			if s.File {
				names = append(names, s.Name)
			}
		}
		f, err := file.New(c.Files.Directory, names)
		if err != nil {
			return followed, nil, err
		}
		outputs, run = append(outputs, f), append(run, f.Run)
	}
	for _, t := range c.Templates {
		x, err := openTemplate(t, c.Services, log)
		if err != nil {
			return followed, nil, err
		}
		outputs, run = append(outputs, x), append(run, x.Run)
	}
	b := sources{c: c, log: log, ensembles: map[string]*source.ZooKeepers{}}
	var watched []synapse.Watched
	for _, s := range c.Services {
		w := synapse.Watched{Name: s.Name, Rules: rules(s), Combine: source.Combine(s.Combine)}
		for _, x := range s.Sources {
			src, err := b.open(x)
			if err != nil {
				return followed, nil, fmt.Errorf("service %s: %w", s.Name, err)
			}
			w.Sources = append(w.Sources, synapse.Origin{Name: originOf(x), Source: src})
		}
		watched = append(watched, w)
	}
	for _, z := range b.ensembles {
		run = append(run, z.Run)
	}
	followed.Services, err = synapse.NewServices(synapse.ServicesOptions{
		Services: watched, Outputs: outputs, CacheFile: filepath.Join(c.StateDir, "services.json"), Log: log,
	})
	if err != nil {
		return followed, nil, err
	}
	return followed, append(run, followed.Services.Run), nil
}

// sources opens sources. Those with the same servers of ZooKeeper share a session.
type sources struct {
	c         config.Synapse
	log       *slog.Logger
	ensembles map[string]*source.ZooKeepers
	consul    *api.Client
}

func (b *sources) open(s config.ServiceSource) (source.Source, error) {
	switch s.Method {
	case "zookeeper":
		o := source.ZooKeeperOptions{Servers: s.Servers, Timeout: time.Duration(b.c.ZooKeeper.SessionTimeout), Log: b.log}
		key := strings.Join(s.Servers, ",") // empty: those of [zookeeper], who alone may see the password
		if key == "" && b.ensembles[key] == nil {
			z, err := program.ZooKeeperOptions(b.c.ZooKeeper, b.log)
			if err != nil {
				return nil, err
			}
			o.Servers, o.User, o.Password, o.TLS = z.Servers, z.User, z.Password, z.TLS
		}
		if b.ensembles[key] == nil {
			var err error
			if o.Servers, o.Root, err = zookeeper.Chroot(o.Servers); err != nil {
				return nil, fmt.Errorf("zookeeper: %w", err)
			}
			b.ensembles[key] = source.NewZooKeepers(o)
		}
		return b.ensembles[key].Service(s.Path, s.Endpoint, s.Settings), nil
	case "consul":
		if b.consul == nil {
			var err error
			if b.consul, err = program.ConsulClient(b.c.Consul); err != nil {
				return nil, fmt.Errorf("consul: %w", err)
			}
		}
		return source.Consul{Client: b.consul, Service: s.Service, Datacenter: b.c.Consul.Datacenter, Tags: s.Tags, Settings: s.Settings}, nil
	case "serf":
		x := source.Serf{Agent: b.c.Serf.Agent, Service: s.Service, Interval: time.Duration(s.Interval)}
		if len(s.Servers) > 0 {
			x.Agent = s.Servers[0] // the key is for that of [serf] alone
			return x, nil
		}
		key, err := b.c.Serf.AgentKey.Read()
		if err != nil {
			return nil, fmt.Errorf("serf: read the key of the agent's RPC: %w", err)
		}
		x.AuthKey = key.Reveal()
		return x, nil
	case "dns":
		d := source.DNS{Interval: time.Duration(s.Interval), Resolvers: s.Servers}
		for _, p := range s.Backends {
			name, host, port, _ := config.ParsePlace(p)
			d.Servers = append(d.Servers, source.DNSServer{Name: name, Host: host, Port: port})
		}
		return d, nil
	case "file":
		return source.File(s.Path), nil
	case "static":
		return source.Static(places(s.Backends)), nil
	}
	return nil, fmt.Errorf("method %q is not known", s.Method)
}

// originOf names a source for people.
func originOf(s config.ServiceSource) string {
	switch s.Method {
	case "zookeeper", "file":
		return s.Method + " " + strings.Join(s.Servers, ",") + s.Path
	case "consul", "serf":
		return strings.Join(append([]string{s.Method, s.Service}, s.Tags...), " ")
	}
	return s.Method + " " + strings.Join(s.Backends, " ")
}

// rules are those of a service.
func rules(s config.Service) service.Rules {
	r := service.Rules{
		Defaults: places(s.DefaultServers), KeepDefaults: s.KeepDefaultServers, KeepPrevious: s.KeepPrevious, Port: s.BackendPort, Leader: s.LeaderElection,
		MaxStale: time.Duration(s.MaxStale), Panic: s.PanicPercent, PanicHold: time.Duration(s.PanicHold),
	}
	for _, f := range s.Filters {
		label, value, not, _ := config.ParseFilter(f)
		r.Filters = append(r.Filters, service.Filter{Label: label, Value: value, Not: not})
	}
	return r
}

func places(list []string) (out []service.Backend) {
	for _, p := range list {
		name, host, port, _ := config.ParsePlace(p)
		out = append(out, service.Backend{Name: name, Host: host, Port: port})
	}
	return out
}

func haproxyOptions(c config.Synapse) haproxy.Options {
	h := c.HAProxy
	o := haproxy.Options{
		File:   haproxy.File{Path: h.ConfigFile, Check: h.CheckCommand, Timeout: time.Minute},
		Reload: h.ReloadCommand, ReloadInterval: time.Duration(h.ReloadInterval), ReloadJitter: h.ReloadJitter, StateFile: filepath.Join(c.StateDir, "haproxy.json"),
	}
	o.Config, o.Services = haproxyConfig(c)
	for _, s := range h.Sockets {
		o.Sockets = append(o.Sockets, haproxy.Socket{Path: s, Timeout: 5 * time.Second})
	}
	return o
}

// haproxyConfig is what is rendered.
func haproxyConfig(c config.Synapse) (haproxy.Config, []haproxy.Service) {
	h := c.HAProxy
	out := haproxy.Config{
		Global: h.Global, Defaults: h.Defaults, SharedFrontend: h.SharedFrontend, BindAddress: h.BindAddress, UseWeights: h.UseWeights,
		MaxServerID: h.MaxServerID, OrderSeed: uint32(h.ServerOrderSeed),
	}
	for _, s := range h.Sections {
		out.Sections = append(out.Sections, haproxy.Section{Title: s.Title, Lines: s.Lines})
	}
	var services []haproxy.Service
	for _, s := range c.Services {
		if p := s.HAProxy; !p.Disabled {
			services = append(services, haproxy.Service{
				Name: s.Name, Port: p.Port, BindAddress: p.BindAddress, BindOptions: p.BindOptions, ServerOptions: p.ServerOptions, Frontend: p.Frontend,
				Backend: p.Backend, Listen: p.Listen, BackendName: p.BackendName, Order: haproxy.Order(p.BackendOrder), HashCookie: p.HashCookie,
				SharedFrontend: p.SharedFrontend,
			})
		}
	}
	return out, services
}
