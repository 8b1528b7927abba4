package place

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"time"

	"github.com/hashicorp/consul/api"

	"glia/nerve/service"
	"glia/registry/smartstack"
)

// Consul is the agent of a host.
type Consul struct {
	Client *api.Client
	TTL    time.Duration // after which a service whose nerve is gone is critical; at least a second
}

// Draining is the key in the metadata of a service that takes no new clients.
const Draining = "draining"

// forget is when Consul removes a service whose nerve is gone: longer than an agent or a host is away for a restart.
const forget = "72h"

// Service is the place of one service. Consul knows it under the instance, and shows its options for HAProxy in its metadata.
func (c Consul) Service(name, instance string, tags []string, a smartstack.Service) (service.Place, error) {
	if _, err := smartstack.Encode(a); err != nil {
		return nil, err
	}
	want := &api.AgentServiceRegistration{
		ID: instance, Name: name, Address: a.Host, Port: a.Port, Tags: tags, Meta: maps.Clone(a.Labels),
		Check: &api.AgentServiceCheck{CheckID: "nerve:" + instance, Name: "nerve", TTL: c.TTL.String(), DeregisterCriticalServiceAfter: forget},
	}
	if a.Options != "" {
		if want.Meta == nil {
			want.Meta = map[string]string{}
		}
		want.Meta["haproxy_server_options"] = a.Options
	}
	if a.Weight != nil && *a.Weight > 0 {
		want.Weights = &api.AgentWeights{Passing: *a.Weight, Warning: 1}
	}
	return &consulPlace{c: c, want: want}, nil
}

// consulPlace is one service at the agent.
type consulPlace struct {
	c    Consul
	want *api.AgentServiceRegistration

	told    service.State // that the agent was told last
	toldWhy string
	at      time.Time // when it was told
	known   bool      // that the agent has it
}

// Keep is part of service.Place. A service that is down stays at the agent with the reason, and is critical; one that drains says so in
// its metadata.
func (p *consulPlace) Keep(ctx context.Context, state service.State, why string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if p.known && state == p.told && why == p.toldWhy && time.Since(p.at) < p.c.TTL/3 {
		return nil
	}
	status := api.HealthPassing
	if state == service.Down {
		status = api.HealthCritical
	}
	if !p.known || (state == service.Draining) != (p.told == service.Draining) {
		if err := p.register(ctx, state, status); err != nil {
			return err
		}
	}
	q := (&api.QueryOptions{}).WithContext(ctx)
	if err := p.c.Client.Agent().UpdateTTLOpts(p.want.Check.CheckID, why, status, q); err != nil {
		p.known = false // the agent may have forgotten it: it is registered again the next time
		return fmt.Errorf("consul: tell the agent that %s is %s: %w", p.want.ID, status, err)
	}
	p.told, p.toldWhy, p.at = state, why, time.Now()
	return nil
}

func (p *consulPlace) register(ctx context.Context, state service.State, status string) error {
	r := *p.want
	check := *r.Check
	check.Status = status
	r.Check = &check
	p.known = false // until it answers: what fails may have been done
	if state == service.Draining {
		r.Meta = maps.Clone(r.Meta)
		if r.Meta == nil {
			r.Meta = map[string]string{}
		}
		r.Meta[Draining] = "true"
	}
	if err := p.c.Client.Agent().ServiceRegisterOpts(&r, api.ServiceRegisterOpts{ReplaceExistingChecks: true}.WithContext(ctx)); err != nil {
		return fmt.Errorf("consul: register %s: %w", r.ID, err)
	}
	p.known = true
	return nil
}

// Leave is part of service.Place.
func (p *consulPlace) Leave(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := p.c.Client.Agent().ServiceDeregisterOpts(p.want.ID, (&api.QueryOptions{}).WithContext(ctx))
	if e := (api.StatusError{}); errors.As(err, &e) && e.Code == http.StatusNotFound {
		err = nil
	}
	p.known = false
	return err
}
