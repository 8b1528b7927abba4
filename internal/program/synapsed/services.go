package synapsed

import (
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"glia/config"
	"glia/synapse/haproxy"
	"glia/synapse/service"
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
