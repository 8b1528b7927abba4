package haproxy

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"regexp"
	"strings"
	"time"

	"glia/synapse/service"
)

// plan is other options, checked, and how they are rendered.
type plan struct {
	o Options
	r *Renderer
}

// newPlan fills in defaults and checks.
func newPlan(o Options) (*plan, error) {
	if o.ReloadInterval <= 0 {
		o.ReloadInterval = 2 * time.Second
	}
	if o.FileInterval <= 0 {
		o.FileInterval = time.Second
	}
	if o.Resync <= 0 {
		o.Resync = 10 * time.Second
	}
	if o.KeepGone <= 0 {
		o.KeepGone = 24 * time.Hour
	}
	if o.ReloadTimeout <= 0 {
		o.ReloadTimeout = 30 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	r, err := NewRenderer(o.Config, o.Services)
	if err != nil {
		return nil, err
	}
	return &plan{o, r}, nil
}

// ready says whether each service was given its backends.
func (p *plan) ready(live map[string][]service.Backend) bool {
	for _, s := range p.r.services {
		if _, ok := live[s.Name]; !ok {
			return false
		}
	}
	return true
}

// Try renders what Apply would, with the backends that are known now, and asks HAProxy's check about it. Nothing is changed. The error says
// what is wrong.
func (o *Output) Try(ctx context.Context, with Options) error {
	p, err := newPlan(with)
	if err != nil {
		return err
	}
	o.mu.Lock()
	given := maps.Clone(o.given)
	o.mu.Unlock()
	for _, s := range p.r.services {
		var servers []Server
		for _, b := range given[s.Name] {
			servers = append(servers, Server{Backend: b})
		}
		_ = p.r.Set(s.Name, servers) // what is wrong with a server is not what is asked here
	}
	err = p.o.File.Try(ctx, p.r.Text())
	if err != nil && ctx.Err() == nil {
		if said := complaint.FindAllStringSubmatch(err.Error(), -1); len(said) > 0 {
			var all []string
			for _, m := range said {
				all = append(all, m[1])
			}
			return fmt.Errorf("HAProxy's check refuses it: %s", strings.Join(all, "; "))
		}
	}
	return err
}

// complaint is what HAProxy says of a line. The number of that is left out, as nobody has the file.
var complaint = regexp.MustCompile(`\[ALERT\][^\[]*: parsing \[[^\]]*\] ?: ([^\[]*[^\[ ])`)

// Apply makes Run go on with other options, all but the path of the file, the state file, the clock, the log and the metrics. What runs
// goes on as it is until each service was given its backends, those that are new too; then all of it changes at once. Servers
// that stay keep their ids, and HAProxy is reloaded only when its structure is another one.
func (o *Output) Apply(with Options) error {
	p, err := newPlan(with)
	if err != nil {
		return err
	}
	o.mu.Lock()
	if p.o.File.Path != o.shown.file {
		o.mu.Unlock()
		return fmt.Errorf("the file of this output is %s, and can not become %s", o.shown.file, p.o.File.Path)
	}
	o.planned = p
	o.mu.Unlock()
	o.rouse()
	return nil
}

// adopt takes a plan over.
func (o *Output) adopt(p *plan) {
	was := o.r
	p.o.StateFile, p.o.Now, p.o.Log, p.o.Registerer = o.o.StateFile, o.o.Now, o.o.Log, o.o.Registerer
	o.o, o.r, o.missing = p.o, p.r, map[string]bool{}
	for _, s := range o.r.services {
		if ids := o.s.IDs[s.Name]; ids != nil {
			s.ids = ids
		}
		if was != nil && was.byName[s.Name] != nil {
			s.servers = was.byName[s.Name].servers // those of them that are not live are gone
		}
		if _, ok := o.live[s.Name]; ok {
			o.dirty[s.Name] = true
		} else {
			o.missing[s.Name] = true
		}
	}
	// Of a service that is no more nothing is known when it comes again.
	maps.DeleteFunc(o.live, func(name string, _ []service.Backend) bool { return o.r.byName[name] == nil })
	maps.DeleteFunc(o.s.IDs, func(name string, _ IDs) bool { return o.r.byName[name] == nil })
	maps.DeleteFunc(o.s.Gone, func(name string, _ []Gone) bool { return o.r.byName[name] == nil })
	o.all, o.unsaved = true, o.unsaved || was != nil
	o.show()
	o.mu.Lock()
	if o.planned == p {
		o.planned = nil
	}
	maps.DeleteFunc(o.given, func(name string, _ []service.Backend) bool { return o.planned == nil && o.r.byName[name] == nil })
	o.mu.Unlock()
}
