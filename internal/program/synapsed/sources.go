package synapsed

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"

	"glia/config"
	"glia/internal/program"
	"glia/registry/zookeeper"
	"glia/synapse"
	"glia/synapse/source"
)

// sources makes the sources of what is prepared. Those that reach the same servers share a session, and one that there is already goes on.
func (f *following) sources(p *prepared) error {
	p.sessions = parts{}
	b := opener{c: p.base, f: f, p: p, found: map[string]found{}}
	for _, s := range p.base.Services {
		w := synapse.Watched{Name: s.Name, Rules: rules(s), Combine: source.Combine(s.Combine)}
		for _, x := range s.Sources {
			src, session, err := b.open(x)
			if err != nil {
				return fmt.Errorf("service %s: %w", s.Name, err)
			}
			key, err := keyOf(x, session)
			if err != nil {
				return fmt.Errorf("service %s: %w", s.Name, err)
			}
			w.Sources = append(w.Sources, synapse.Origin{Name: originOf(x), Key: key, Settings: x.Settings != "", Source: src})
		}
		p.watched = append(p.watched, w)
	}
	return nil
}

// keyOf says what something is made of, in a form that tells no secret.
func keyOf(of ...any) (string, error) {
	text, err := json.Marshal(of)
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), err
}

// opener opens sources.
type opener struct {
	c config.Synapse
	f *following
	p *prepared

	found map[string]found // sessions, by the servers
}

// found is a session and its key.
type found struct {
	is  any
	key string
}

// session is the one that is made of that, which is there already or is made now. Its key says which one it is.
func (b *opener) session(open func() (*part, error), of ...any) (is any, key string, err error) {
	if key, err = keyOf(of...); err != nil {
		return nil, "", err
	}
	x := b.p.sessions[key]
	if x == nil {
		x = b.f.sessions[key]
	}
	if x == nil {
		if x, err = open(); err != nil {
			return nil, "", err
		}
	}
	b.p.sessions[key] = x
	return x.is, key, nil
}

// once is the session of that name, which is looked for once.
func (b *opener) once(name string, look func() (any, string, error)) (found, error) {
	x, ok := b.found[name]
	var err error
	if !ok {
		x.is, x.key, err = look()
		b.found[name] = x
	}
	return x, err
}

// open makes a source; session says through what.
func (b *opener) open(s config.ServiceSource) (_ source.Source, session string, err error) {
	switch s.Method {
	case "zookeeper":
		z, err := b.once("zookeeper "+strings.Join(s.Servers, ","), func() (any, string, error) { return b.zookeeper(s.Servers) })
		if err != nil {
			return nil, "", fmt.Errorf("zookeeper: %w", err)
		}
		return z.is.(*source.ZooKeepers).Service(s.Path, s.Endpoint, s.Settings), z.key, nil //nolint:forcetypeassert // its key says so
	case "consul":
		x, err := b.once("consul", b.consul)
		if err != nil {
			return nil, "", fmt.Errorf("consul: %w", err)
		}
		client := x.is.(*api.Client) //nolint:forcetypeassert // its key says so
		return source.Consul{Client: client, Service: s.Service, Datacenter: b.c.Consul.Datacenter, Tags: s.Tags, Settings: s.Settings}, x.key, nil
	case "serf":
		x := source.Serf{Agent: b.c.Serf.Agent, Service: s.Service, Interval: time.Duration(s.Interval)}
		if len(s.Servers) > 0 {
			x.Agent = s.Servers[0] // the key is for that of [serf] alone
			return x, "", nil
		}
		key, err := b.c.Serf.AgentKey.Read()
		if err != nil {
			return nil, "", fmt.Errorf("serf: read the key of the agent's RPC: %w", err)
		}
		x.AuthKey = key.Reveal()
		session, err = keyOf(x.Agent, x.AuthKey)
		return x, session, err
	case "dns":
		d := source.DNS{Interval: time.Duration(s.Interval), Resolvers: s.Servers}
		for _, p := range s.Backends {
			name, host, port, _ := config.ParsePlace(p)
			d.Servers = append(d.Servers, source.DNSServer{Name: name, Host: host, Port: port})
		}
		return d, "", nil
	case "file":
		return source.File(s.Path), "", nil
	case "static":
		return source.Static(places(s.Backends)), "", nil
	}
	return nil, "", fmt.Errorf("method %q is not known", s.Method)
}

// zookeeper is the session with these servers, or with those of [zookeeper], who alone may see the password.
func (b *opener) zookeeper(servers []string) (any, string, error) {
	o := source.ZooKeeperOptions{Servers: servers, Timeout: time.Duration(b.c.ZooKeeper.SessionTimeout), Log: b.f.log}
	of := []any{"zookeeper", servers, o.Timeout}
	if len(servers) == 0 {
		z, err := program.ZooKeeperOptions(b.c.ZooKeeper, b.f.log)
		if err != nil {
			return nil, "", err
		}
		o.Servers, o.User, o.Password, o.TLS = z.Servers, z.User, z.Password, z.TLS
		of = append(of, b.c.ZooKeeper, o.Password)
	}
	return b.session(func() (*part, error) {
		var err error
		if o.Servers, o.Root, err = zookeeper.Chroot(o.Servers); err != nil {
			return nil, err
		}
		z := source.NewZooKeepers(o)
		return &part{is: z, run: z.Run}, nil
	}, of...)
}

// consul is the client of [consul].
func (b *opener) consul() (any, string, error) {
	token, err := b.c.Consul.Token.Read()
	if err != nil {
		return nil, "", err
	}
	return b.session(func() (*part, error) {
		c, err := program.ConsulClient(b.c.Consul)
		return &part{is: c, run: func(ctx context.Context) error { <-ctx.Done(); return nil }}, err
	}, "consul", b.c.Consul, token.Reveal())
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
