package program

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"

	"glia/config"
	"glia/registry/smartstack"
	"glia/registry/zookeeper"
)

// announced keeps the services of this host in ZooKeeper, with one session for each list of servers.
type announced struct {
	sessions map[string]*zookeeper.Nodes // by the servers
	services []announcedService
	log      *slog.Logger
}

type announcedService struct {
	name string
	node zookeeper.Node
	in   *zookeeper.Nodes
}

func openAnnounced(c config.Nerve, log *slog.Logger) (_ *announced, err error) {
	a := &announced{sessions: map[string]*zookeeper.Nodes{}, log: log}
	defer func() {
		if err != nil {
			a.close()
		}
	}()
	o, err := zookeeperOptions(c.ZooKeeper, log)
	if err != nil {
		return nil, err
	}
	for _, s := range c.Services {
		n, err := serviceNode(s, c.Host)
		if err != nil {
			return nil, fmt.Errorf("service %s: %w", s.Name, err)
		}
		servers := c.ZooKeeper.Servers
		if len(s.Servers) > 0 {
			servers = s.Servers
		}
		key := strings.Join(slices.Sorted(slices.Values(servers)), ",")
		if a.sessions[key] == nil {
			o.Servers = servers
			if a.sessions[key], err = zookeeper.OpenNodes(o); err != nil {
				return nil, err
			}
		}
		a.services = append(a.services, announcedService{s.Name, n, a.sessions[key]})
	}
	return a, nil
}

// serviceNode is the announcement of a service.
func serviceNode(s config.AnnouncedService, host string) (zookeeper.Node, error) {
	v := smartstack.Service{Host: cmp.Or(s.Host, host), Port: s.Port, Name: cmp.Or(s.Instance, host), Options: s.Options}
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
	data, err := smartstack.Encode(v)
	n := zookeeper.Node{Folder: s.Path, Name: v.Name, Data: data, Numbered: s.Numbered}
	if n.Numbered {
		n.Name = smartstack.NodeName(v.Name, data, s.PathEncoding)
	}
	return n, err
}

// run announces until ctx is done. Services in servers that do not answer delay no other ones.
func (a *announced) run(ctx context.Context) error {
	var all sync.WaitGroup
	for _, s := range a.services {
		all.Go(func() {
			if err := s.in.Put(ctx, s.name, s.node); err != nil && ctx.Err() == nil {
				a.log.Warn("service is not announced yet, trying again", "service", s.name, "error", err)
			}
		})
	}
	all.Wait()
	<-ctx.Done()
	return nil
}

// ready says what is not announced, or nil.
func (a *announced) ready() error {
	var all []error
	for _, servers := range slices.Sorted(maps.Keys(a.sessions)) {
		if err := a.sessions[servers].Ready(); err != nil {
			all = append(all, fmt.Errorf("zookeeper at %s: %w", servers, err))
		}
	}
	return errors.Join(all...)
}

// close takes everything back.
func (a *announced) close() {
	bye, cancel := context.WithTimeout(context.Background(), goodbye)
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
