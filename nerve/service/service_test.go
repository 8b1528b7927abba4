package service_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"glia/internal/testbed"
	"glia/nerve/check"
	"glia/nerve/service"
	"glia/nerve/service/place"
	"glia/registry/smartstack"
	"glia/registry/zookeeper"
)

// lever is a check that a test switches.
type lever struct{ bad atomic.Bool }

func (l *lever) Probe(context.Context) error {
	if l.bad.Load() {
		return errors.New("switched off")
	}
	return nil
}

var _ check.Check = (*lever)(nil)

const interval = 10 * time.Millisecond

func book(t *testing.T) *service.Book {
	t.Helper()
	b, err := service.OpenBook(filepath.Join(t.TempDir(), "maintenance.json"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// start follows services until the test ends, or stop is called.
func start(t *testing.T, first ...service.Service) (s *service.Services, stop func()) {
	t.Helper()
	s = service.New(service.Options{Book: book(t), Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Run(ctx, first) }()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return s, stop
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	// Longer than the minute for which a client with such a session waits for it, at a server that was only starting when it took the connection.
	for deadline := time.Now().Add(150 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

func TestServices_KeepZooKeeperAtWhatTheChecksSay(t *testing.T) {
	t.Parallel()
	server := testbed.ZooKeeper(t, "maxSessionTimeout=60000")
	conn := testbed.ZooKeeperClient(t, server, time.Minute)
	z, err := zookeeper.OpenNodes(zookeeper.Options{Servers: []string{server.Addr}, SessionTimeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = z.Close(context.Background()) })
	const folder = "/nerve/services/web/services"
	switches := &lever{}
	one := func(name string, port int, key string) service.Service {
		a := smartstack.Service{Host: "10.0.0.1", Port: port, Name: "i-1"}
		p, err := place.ZooKeeper(z, name, place.Node{Folder: folder, Numbered: true, Announce: a})
		if err != nil {
			t.Fatal(err)
		}
		return service.Service{Name: name, Key: key, Interval: interval, Places: map[string]service.Place{"zookeeper": p},
			Checks: []service.Named{{Name: "lever", Check: switches, Timeout: time.Second, Rise: 1, Fall: 1}, {Name: "noop", Check: check.Noop{}, Timeout: time.Second, Rise: 1, Fall: 1}}}
	}
	// shown are the nodes: the part of the name before the number, and the data.
	shown := func() (nodes []string, data string) {
		names, _, err := conn.Children(folder)
		if err != nil {
			return nil, err.Error()
		}
		slices.Sort(names)
		var all []string
		for _, n := range names {
			b, _, err := conn.Get(folder + "/" + n)
			if err == nil {
				nodes, all = append(nodes, n), append(all, n[:len(n)-10]+string(b))
			}
		}
		return nodes, strings.Join(all, " ")
	}
	shows := func(want string) func() bool { return func() bool { _, got := shown(); return got == want } }
	const first, second = `i-1_{"host":"10.0.0.1","port":3000,"name":"i-1"}`, `i-1_{"host":"10.0.0.1","port":3001,"name":"i-1"}`

	s, stop := start(t, one("web_3000", 3000, "a"))
	until(t, "it is announced as nerve does", shows(first))
	nodes, _ := shown()
	if err := conn.Delete(folder+"/"+nodes[0], -1); err != nil {
		t.Fatal(err)
	}
	until(t, "what somebody removed is back", shows(first))
	nodes, _ = shown()

	s.Apply([]service.Service{one("web_3000", 3000, "a"), one("web_3001", 3001, "a")})
	until(t, "another one of the same name is beside it", shows(first+" "+second))
	if now, _ := shown(); now[0] != nodes[0] {
		t.Errorf("what has not changed was announced anew: %v, was %v", now, nodes)
	}
	s.Apply([]service.Service{one("web_3000", 3001, "b")})
	until(t, "one is gone, and the other was changed where it was", func() bool {
		now, data := shown()
		return data == second && now[0] == nodes[0]
	})
	s.Apply([]service.Service{one("web_3000", 3000, "c")})
	until(t, "it is as it was", shows(first))

	switches.bad.Store(true)
	until(t, "it is down and not announced", shows(""))
	until(t, "the reason is told", func() bool {
		st := s.Statuses()
		return len(st) == 1 && st[0].Announced == service.Down && fmt.Sprint(st[0].Reasons) == "[lever: switched off]"
	})
	switches.bad.Store(false)
	until(t, "it is up again", shows(first))

	server.Stop(t)
	until(t, "it is told that ZooKeeper is away", func() bool { return s.Problem() != nil })
	switches.bad.Store(true)
	until(t, "it is down", func() bool { return s.Statuses()[0].State == service.Down })
	server.Start(t)
	until(t, "a report that failed is made again", func() bool { return s.Problem() == nil && shows("")() })
	switches.bad.Store(false)
	until(t, "it is up once more", shows(first))
	stop()
	until(t, "with nerve its node goes", shows(""))
}

func TestServices_KeepConsulAtWhatTheChecksSay(t *testing.T) {
	t.Parallel()
	server := testbed.Consul(t, "")
	client := consul(t, server.Addr)
	c := place.Consul{Client: client, TTL: 30 * time.Second}
	switches, weight := &lever{}, 7
	a := smartstack.Service{Host: "10.0.0.1", Port: 3000, Name: "i-1", Weight: &weight, Options: "backup", Labels: map[string]string{"az": "a"}}
	p, err := c.Service("web", "i-1:web", []string{"blue"}, a)
	if err != nil {
		t.Fatal(err)
	}
	_, stop := start(t, service.Service{Name: "web", Key: "a", Interval: interval, Places: map[string]service.Place{"consul": p},
		Checks: []service.Named{{Name: "lever", Check: switches, Timeout: time.Second, Rise: 1, Fall: 1}}})
	shows := func(want string) func() bool {
		return func() bool {
			found, _, err := client.Health().Service("web", "blue", false, nil)
			if err != nil {
				return false
			}
			var all []string
			for _, e := range found {
				why := ""
				for _, k := range e.Checks {
					if k.CheckID == "nerve:i-1:web" { // Consul adds one of its own about the host
						why = k.Output
					}
				}
				all = append(all, fmt.Sprintf("%s %s:%d*%d %v %s %s", e.Service.ID, e.Service.Address, e.Service.Port, e.Service.Weights.Passing, e.Service.Meta, e.Checks.AggregatedStatus(), why))
			}
			return strings.Join(all, ";") == want
		}
	}
	const as = "i-1:web 10.0.0.1:3000*7 map[az:a haproxy_server_options:backup] "
	until(t, "it passes", shows(as+"passing "))
	switches.bad.Store(true)
	until(t, "it is critical, with the reason", shows(as+"critical lever: switched off"))
	switches.bad.Store(false)
	until(t, "it passes again", shows(as+"passing "))
	stop()
	until(t, "with nerve it goes", shows(""))
}

// What was asked of an agent may be done although its answer never came.
func TestConsul_GoesBackAfterAChangeThatWasCutOff(t *testing.T) {
	t.Parallel()
	server := testbed.Consul(t, "")
	proxy := testbed.NewProxy(t, server.Addr)
	client, direct := consul(t, proxy.Addr), consul(t, server.Addr)
	p, err := place.Consul{Client: client, TTL: time.Minute}.Service("web", "i-1:web", nil, smartstack.Service{Host: "10.0.0.1", Port: 3000, Name: "i-1"})
	if err != nil {
		t.Fatal(err)
	}
	drains := func() bool {
		found, _, err := direct.Agent().Service("i-1:web", nil)
		return err == nil && found.Meta[place.Draining] != ""
	}
	// One call ends after three seconds, in which a busy agent may not answer.
	until(t, "up", func() bool { return p.Keep(t.Context(), service.Up, "") == nil })
	if drains() {
		t.Fatal("it drains from the beginning")
	}
	proxy.HangAfter("service/register")
	ctx, cancel := context.WithCancel(t.Context())
	answered := make(chan error, 1)
	go func() {
		for {
			if err := p.Keep(ctx, service.Draining, ""); err == nil || ctx.Err() != nil {
				answered <- err
				return
			}
		}
	}()
	until(t, "it drains", drains)
	cancel()
	if err := <-answered; err == nil {
		t.Fatal("the change that was cut off was answered")
	}
	proxy.Heal()
	until(t, "up again", func() bool { return p.Keep(t.Context(), service.Up, "") == nil })
	if drains() {
		t.Error("it is up again, and drains")
	}
}

func consul(t *testing.T, addr string) *api.Client {
	t.Helper()
	c, err := api.NewClient(&api.Config{Address: addr})
	if err != nil {
		t.Fatal(err)
	}
	return c
}
