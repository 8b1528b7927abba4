package synapsed

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"glia/config"
	"glia/synapse"
	"glia/synapse/file"
	"glia/synapse/haproxy"
)

// following keeps services, and the outputs that are told of them, at a configuration; at later ones; and at what registries set over
// them. One that can not be put into force changes nothing.
type following struct {
	state    string // folder; that of the start
	reg      prometheus.Registerer
	log      *slog.Logger
	services atomic.Pointer[synapse.Services] // nil until some are followed
	proxy    atomic.Pointer[haproxy.Output]   // nil: there is none
	opened   *synapse.Services                // what follows them, once it was made; of those who put

	// What follows is changed within one turn of services alone.
	ctx      context.Context // of what runs; nil until run
	c        config.Synapse
	options  haproxy.Options // of proxy
	outputs  parts
	sessions parts
}

var _ synapse.Shaper = (*following)(nil)

// follow opens everything that the configuration wants.
func follow(c config.Synapse, reg prometheus.Registerer, log *slog.Logger) (*following, error) {
	f := &following{state: c.StateDir, reg: reg, log: log}
	return f, f.put(context.Background(), c)
}

// run works until ctx is done, and takes over each configuration that comes.
func (f *following) run(ctx context.Context, later <-chan Reload) error {
	f.ctx = ctx
	f.sessions.start(ctx)
	f.outputs.start(ctx)
	own := parts{}
	begin := func() {
		if s := f.services.Load(); s != nil && own["services"] == nil {
			own["services"] = &part{run: s.Run}
			own.start(ctx)
		}
	}
	begin()
	for {
		select {
		case <-ctx.Done():
			own.end(nil)
			f.outputs.end(nil)
			f.sessions.end(nil)
			return nil
		case r := <-later:
			err := f.put(ctx, r.Config)
			begin()
			r.Done <- err
		}
	}
}

// put puts a configuration into force.
func (f *following) put(ctx context.Context, c config.Synapse) error {
	if f.services.Load() == nil && len(c.Services) == 0 {
		return nil
	}
	s, err := f.open()
	if err != nil {
		return err
	}
	was := f.sessions
	err = s.Change(func(documents map[string]string) (synapse.Followable, error) {
		documents = stillGood(c, documents)
		p, err := f.prepare(ctx, c, documents)
		if err != nil && len(documents) > 0 { // perhaps only together with what registries set
			documents = nil
			p, err = f.prepare(ctx, c, documents)
		}
		if err == nil {
			err = f.sources(p)
		}
		if err != nil {
			return synapse.Followable{}, err
		}
		f.services.Store(s)
		f.commit(p)
		return synapse.Followable{Services: p.watched, Outputs: p.told(), Settings: documents}, nil
	})
	if err == nil && f.ctx != nil {
		was.end(f.sessions)
	}
	return err
}

// open makes what follows services, once.
func (f *following) open() (s *synapse.Services, err error) {
	if f.opened != nil {
		return f.opened, nil
	}
	if err := os.MkdirAll(f.state, 0o700); err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	f.opened, err = synapse.NewServices(synapse.ServicesOptions{CacheFile: filepath.Join(f.state, "services.json"), Shaper: f, Log: f.log, Registerer: f.reg})
	return f.opened, err
}

// stillGood are the documents that a configuration lets stay in force.
func stillGood(c config.Synapse, documents map[string]string) map[string]string {
	kept := map[string]string{}
	for _, s := range c.Services {
		document := documents[s.Name]
		if document == "" || !slices.ContainsFunc(s.Sources, func(x config.ServiceSource) bool { return x.Settings != "" }) {
			continue
		}
		if _, err := c.Overlay(s, document); err == nil {
			kept[s.Name] = document
		}
	}
	return kept
}

// prepared is a configuration that can be put into force.
type prepared struct {
	c        config.Synapse // with what registries set
	base     config.Synapse
	options  haproxy.Options
	watched  []synapse.Watched
	outputs  parts
	sessions parts
}

// told are the outputs.
func (p *prepared) told() (all []synapse.Output) {
	for _, key := range slices.Sorted(maps.Keys(p.outputs)) {
		all = append(all, p.outputs[key].is.(synapse.Output)) //nolint:forcetypeassert // prepare puts nothing else there
	}
	return all
}

// prepare makes the outputs of a configuration with the settings of registries over it, and tries what can be tried. Nothing that runs is
// changed.
func (f *following) prepare(ctx context.Context, c config.Synapse, documents map[string]string) (*prepared, error) {
	p := &prepared{base: c, c: c, outputs: parts{}, sessions: f.sessions}
	p.c.Services = slices.Clone(c.Services)
	p.c.StateDir = f.state
	for i, s := range c.Services {
		o, err := c.Overlay(s, documents[s.Name])
		if err != nil {
			return nil, err
		}
		p.c.Services[i] = o.Service
	}
	if err := portsOfOthers(c.Services, p.c); err != nil {
		return nil, err
	}
	for _, t := range c.Templates {
		text, err := os.ReadFile(t.Source)
		if err != nil {
			return nil, err
		}
		names := t.Services
		if len(names) == 0 {
			names = namesOf(c.Services)
		}
		err = f.output(p, "template", []any{t, string(text), names}, func() (synapse.Output, func(context.Context) error, error) {
			x, err := openTemplate(t, c.Services, f.log)
			return x, x.Run, err
		})
		if err != nil {
			return nil, err
		}
	}
	if err := f.prepareProxy(ctx, p); err != nil {
		return nil, err
	}
	if dir := c.Files.Directory; dir != "" {
		var names []string
		for _, s := range p.c.Services {
			if s.File {
				names = append(names, s.Name)
			}
		}
		return p, f.output(p, "files", []any{dir, names}, func() (synapse.Output, func(context.Context) error, error) {
			x, err := file.New(dir, names)
			return x, x.Run, err
		})
	}
	return p, nil
}

func namesOf(services []config.Service) (names []string) {
	for _, s := range services {
		names = append(names, s.Name)
	}
	return names
}

// output makes an output, unless there is one that is made of the same.
func (f *following) output(p *prepared, kind string, of []any, open func() (synapse.Output, func(context.Context) error, error)) error {
	text, err := json.Marshal(of)
	if err != nil {
		return err
	}
	key := kind + " " + string(text)
	if p.outputs[key] = f.outputs[key]; p.outputs[key] != nil {
		return nil
	}
	out, run, err := open()
	if err != nil {
		return err
	}
	p.outputs[key] = &part{is: out, run: run}
	return nil
}

// prepareProxy makes the output of HAProxy, or has HAProxy's check judge what the one that runs is to do now.
func (f *following) prepareProxy(ctx context.Context, p *prepared) error {
	if p.c.HAProxy.ConfigFile == "" {
		return nil
	}
	p.options = haproxyOptions(p.c)
	o := p.options
	o.Log, o.Registerer = f.log, f.reg
	err := f.output(p, "haproxy", []any{o.File.Path}, func() (synapse.Output, func(context.Context) error, error) {
		x, err := haproxy.New(o)
		if err != nil {
			return nil, nil, err
		}
		return x, x.Run, nil
	})
	if err != nil || f.ctx == nil || reflect.DeepEqual(p.options, f.options) {
		return err // a start does not wait for the check: what is refused stays as it is in any case
	}
	if err := p.proxy().Try(ctx, o); err != nil {
		return fmt.Errorf("haproxy: %w", err)
	}
	return nil
}

// proxy is the output of HAProxy, or nil.
func (p *prepared) proxy() *haproxy.Output {
	for _, x := range p.outputs {
		if out, ok := x.is.(*haproxy.Output); ok {
			return out
		}
	}
	return nil
}

// portsOfOthers refuses that a registry gives a service the port of another one.
func portsOfOthers(own []config.Service, merged config.Synapse) error {
	taken := map[string]string{}
	for i, s := range merged.Services {
		p := s.HAProxy
		if p.Disabled || p.Port == 0 {
			continue
		}
		at := fmt.Sprintf("%s:%d", p.BindAddress, p.Port)
		set := p.Port != own[i].HAProxy.Port
		if other, ok := taken[at]; ok && (set || strings.HasPrefix(other, "*")) {
			return fmt.Errorf("services %s and %s would both have port %d", strings.TrimPrefix(other, "*"), s.Name, p.Port)
		}
		taken[at] = s.Name
		if set {
			taken[at] = "*" + s.Name
		}
	}
	return nil
}

// commit puts what was prepared into force.
func (f *following) commit(p *prepared) {
	f.outputs.end(p.outputs) // before others write the same files
	proxy := p.proxy()
	if proxy != nil && proxy == f.proxy.Load() && !reflect.DeepEqual(p.options, f.options) {
		o := p.options
		o.Log, o.Registerer = f.log, f.reg
		if err := proxy.Apply(o); err != nil { // it was tried
			f.log.Error("haproxy goes on as before", "error", err)
		}
	}
	f.c, f.options, f.outputs, f.sessions = p.base, p.options, p.outputs, p.sessions
	f.proxy.Store(proxy)
	if f.ctx != nil {
		f.sessions.start(f.ctx)
		f.outputs.start(f.ctx)
	}
}

// Judge is part of synapse.Shaper.
func (f *following) Judge(service, document string) (sets string, err error) {
	for _, s := range f.c.Services {
		if s.Name == service {
			o, err := f.c.Overlay(s, document)
			if sets = strings.Join(o.Keys, ", "); len(o.Aside) > 0 {
				sets = strings.TrimPrefix(sets+"; left aside, as of others: "+strings.Join(o.Aside, ", "), "; ")
			}
			return sets, err
		}
	}
	return "", fmt.Errorf("service %s is not followed", service)
}

// Shape is part of synapse.Shaper.
func (f *following) Shape(ctx context.Context, documents map[string]string) ([]synapse.Output, error) {
	p, err := f.prepare(ctx, f.c, documents)
	if err != nil {
		return nil, err
	}
	f.commit(p)
	return p.told(), nil
}

// ready says what keeps services from being as they should be.
func (f *following) ready() error {
	if s := f.services.Load(); s != nil {
		return s.Ready()
	}
	return nil
}

// show is what the API shows.
func (f *following) show() (*synapse.Services, *haproxy.Output) {
	return f.services.Load(), f.proxy.Load()
}
