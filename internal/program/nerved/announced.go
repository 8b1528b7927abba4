package nerved

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"glia/config"
	"glia/internal/program"
	"glia/nerve/service"
	"glia/nerve/service/place"
	"glia/registry/serf"
	"glia/registry/smartstack"
	"glia/registry/zookeeper"
)

// announced are the services of a nerve's host, with the sessions that they share: one for each list of servers.
type announced struct {
	*service.Services
	book     *service.Book
	c        config.Nerve // how registries are reached stays as it was at the start
	log      *slog.Logger
	sessions map[string]*zookeeper.Nodes // by the servers
	consul   *place.Consul
	serf     serf.Services // nil without Serf
	first    []service.Service
}

func openAnnounced(c config.Nerve, member serf.Services, log *slog.Logger) (_ *announced, err error) {
	a := &announced{c: c, log: log, serf: member, sessions: map[string]*zookeeper.Nodes{}}
	defer func() {
		if err != nil {
			a.close()
		}
	}()
	if a.book, err = service.OpenBook(filepath.Join(c.StateDir, "maintenance.json")); err != nil {
		return nil, err
	}
	a.Services = service.New(service.Options{Book: a.book, Heartbeat: c.HeartbeatFile, Log: log})
	if a.first, err = a.build(c.Services); err != nil {
		return nil, err
	}
	return a, nil
}

// run follows the services until ctx is done, and those of each configuration that comes later.
func (a *announced) run(ctx context.Context, later <-chan config.Nerve, v program.Secrets) error {
	reloads := make(chan struct{})
	defer func() { <-reloads }()
	go func() {
		defer close(reloads)
		for {
			select {
			case <-ctx.Done():
				return
			case c := <-later:
				v.Bind(&c)
				next, err := a.build(c.Services)
				if err != nil {
					a.log.Error("services stay as they were", "error", err)
					continue
				}
				a.Apply(next)
			}
		}
	}()
	return a.Run(ctx, a.first)
}

// close ends the sessions, and what they announce with them.
func (a *announced) close() {
	bye, cancel := context.WithTimeout(context.Background(), program.Goodbye)
	defer cancel()
	for servers, n := range a.sessions {
		if n == nil {
			continue // it could not be opened
		}
		if err := n.Close(bye); err != nil {
			a.log.Warn("services were left in zookeeper until their session ends", "servers", servers, "error", err)
		}
	}
}

// build makes services of their configuration.
func (a *announced) build(list []config.AnnouncedService) (all []service.Service, err error) {
	for _, s := range list {
		one, err := a.service(s)
		if err != nil {
			return nil, fmt.Errorf("service %s: %w", s.Name, err)
		}
		all = append(all, one)
	}
	return all, nil
}

func (a *announced) service(s config.AnnouncedService) (out service.Service, err error) {
	text, err := json.Marshal(s)
	if err != nil {
		return out, err
	}
	s.Host = cmp.Or(s.Host, a.c.Host)
	sum := sha256.New()
	sum.Write(text)
	out = service.Service{
		Name: s.Name, Instance: cmp.Or(s.Instance, a.c.Host), Address: net.JoinHostPort(s.Host, strconv.Itoa(s.Port)), Interval: time.Duration(s.Interval), Places: map[string]service.Place{},
		Limit: service.Limit{Rate: s.RateLimit.AverageRate, Burst: s.RateLimit.MaxBurst, Shadow: s.RateLimit.Shadow},
	}
	for _, k := range s.Checks {
		named, err := serviceCheck(s, k, sum)
		if err != nil {
			return out, fmt.Errorf("check %s: %w", k.Type, err)
		}
		out.Checks = append(out.Checks, named)
	}
	out.Key = hex.EncodeToString(sum.Sum(nil))
	for _, p := range s.Places {
		name, made, err := a.place(s, p)
		if err != nil {
			return out, err
		}
		if out.Places[name] != nil {
			return out, fmt.Errorf("it is announced in %s twice", name)
		}
		out.Places[name] = made
	}
	return out, nil
}

// announcement is what is told of a service.
func announcement(s config.AnnouncedService, host string) smartstack.Service {
	v := smartstack.Service{Host: s.Host, Port: s.Port, Name: cmp.Or(s.Instance, host), Options: s.Options}
	if s.Weight >= 0 {
		v.Weight = &s.Weight
	}
	for _, l := range s.Labels {
		if v.Labels == nil {
			v.Labels = map[string]string{}
		}
		k, value, _ := strings.Cut(l, "=")
		v.Labels[k] = value
	}
	return v
}

// place is where a service is announced, by a name that stays the same for as long as it is the same place.
func (a *announced) place(s config.AnnouncedService, p config.ServicePlace) (name string, _ service.Place, err error) {
	v := announcement(s, a.c.Host)
	if p.Registry == config.RegistryConsul {
		if a.consul == nil {
			client, err := program.ConsulClient(a.c.Consul)
			if err != nil {
				return "", nil, fmt.Errorf("consul: %w", err)
			}
			a.consul = &place.Consul{Client: client, TTL: max(time.Duration(a.c.Consul.TTL), time.Second)}
		}
		called, id := cmp.Or(p.Service, s.Name), v.Name+":"+s.Name
		made, err := a.consul.Service(called, id, p.Tags, v)
		return "consul " + called, made, err
	}
	if p.Registry == config.RegistrySerf {
		called := cmp.Or(p.Service, s.Name)
		if a.serf == nil {
			return "", nil, fmt.Errorf("it can be announced in serf after a restart: nerve has no member of Serf now")
		}
		return "serf " + called, place.Serf(a.serf, called, net.JoinHostPort(s.Host, strconv.Itoa(s.Port))), nil
	}
	nodes, servers, err := a.session(p.Servers)
	if err != nil {
		return "", nil, err
	}
	made, err := place.ZooKeeper(nodes, s.Name+" in "+p.Path, place.Node{Folder: p.Path, Numbered: p.Numbered, Encode: p.PathEncoding, Announce: v})
	return "zookeeper " + servers + p.Path, made, err
}

// session is that with these servers, or with those of [zookeeper].
func (a *announced) session(servers []string) (_ *zookeeper.Nodes, name string, err error) {
	if len(servers) == 0 {
		servers = a.c.ZooKeeper.Servers
	}
	name = strings.Join(slices.Sorted(slices.Values(servers)), ",")
	if a.sessions[name] == nil {
		o, err := program.ZooKeeperOptions(a.c.ZooKeeper, a.log)
		if err != nil {
			return nil, "", err
		}
		o.Servers = servers
		n, err := zookeeper.OpenNodes(o)
		if err != nil {
			return nil, "", err
		}
		a.sessions[name] = n
	}
	return a.sessions[name], name, nil
}
