package source_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/hashicorp/consul/api"
	"github.com/miekg/dns"

	"glia/internal/testbed"
	"glia/registry/smartstack"
	"glia/synapse/service"
	"glia/synapse/source"
)

// brief is an observation in one line.
func brief(o source.Observation) string {
	var out []string
	for _, b := range o.Backends {
		s := fmt.Sprintf("%s@%s:%d", b.Name, b.Host, b.Port)
		if b.ID != nil {
			s += fmt.Sprintf("#%d", *b.ID)
		}
		if b.Weight != nil {
			s += fmt.Sprintf("*%d", *b.Weight)
		}
		out = append(out, s)
	}
	if o.Err != nil {
		out = append(out, "error")
	}
	for range o.Skipped {
		out = append(out, "skipped")
	}
	if o.Settings.Document != "" {
		out = append(out, "settings "+o.Settings.Document)
	}
	if o.Settings.Problem != "" {
		out = append(out, "settings?")
	}
	return strings.Join(out, " ")
}

// follow runs a source, and returns a function that waits until it tells something.
func follow(t *testing.T, s source.Source) func(want string) {
	t.Helper()
	told := make(chan source.Observation, 1000)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); s.Run(ctx, func(o source.Observation) { told <- o }) }()
	t.Cleanup(func() { cancel(); <-done })
	return func(want string) {
		t.Helper()
		var last []string
		for deadline := time.After(60 * time.Second); ; {
			select {
			case o := <-told:
				if last = append(last, fmt.Sprint(brief(o), o.Err, o.Skipped)); brief(o) == want {
					return
				}
			case <-deadline:
				t.Fatalf("never told %q, but %q", want, last)
			}
		}
	}
}

func TestZooKeepers_FollowsWhatNerveWrites(t *testing.T) {
	t.Parallel()
	server := testbed.ZooKeeper(t)
	conn := testbed.ZooKeeperClient(t, server, 10*time.Second)
	create := func(path, data string, flags int32) string {
		t.Helper()
		p, err := conn.Create(path, []byte(data), flags, zk.WorldACL(zk.PermAll))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	z := source.NewZooKeepers(source.ZooKeeperOptions{Servers: []string{server.Addr}, Timeout: 10 * time.Second})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = z.Run(ctx) }()
	defer func() { cancel(); <-done }()
	web, other := follow(t, z.Service("/web", "", "")), follow(t, z.Service("/other", "", ""))
	web("")
	create("/web", "", 0)
	one := create("/web/i-1_", `{"host":"10.0.0.1","port":3000,"name":"i-1"}`, zk.FlagSequence)
	web("i-1@10.0.0.1:3000#0")
	data, err := smartstack.Encode(smartstack.Service{Host: "10.0.0.2", Port: 3000, Name: "i-2"})
	if err != nil {
		t.Fatal(err)
	}
	create("/web/"+smartstack.NodeName("i-2", data, true), "", zk.FlagSequence) // nothing but the name
	web("i-2@10.0.0.2:3000#1 i-1@10.0.0.1:3000#0")
	create("/web/torn_", `{"host":`, zk.FlagSequence)
	web("i-2@10.0.0.2:3000#1 i-1@10.0.0.1:3000#0 skipped")
	create("/web/off_", `{"host":"h","port":1,"available":false}`, zk.FlagSequence)
	if _, err := conn.Set(one, []byte(`{"host":"10.0.0.1","port":3000,"name":"i-1","weight":9}`), -1); err != nil {
		t.Fatal(err)
	}
	web("i-2@10.0.0.2:3000#1 i-1@10.0.0.1:3000#0*9 skipped")

	// A server that is away is an error, and no empty list; what has changed meanwhile is read.
	server.Stop(t)
	web("error")
	server.Start(t)
	web("i-2@10.0.0.2:3000#1 i-1@10.0.0.1:3000#0*9 skipped")
	for err = errors.New("not yet"); err != nil; {
		err = conn.Delete(one, -1)
	}
	web("i-2@10.0.0.2:3000#1 skipped")
	create("/other", "", 0)
	create("/other/x", `{"host":"h","port":1}`, 0)
	other("@h:1")
}

// Smartstack reads the settings alone after an event of data, and the list alone after one of children.
func TestZooKeepers_ReadsWhatHasChanged(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		event          zk.EventType
		path, settings string
		want           string
	}{
		{zk.EventNodeDataChanged, "/web", "/web", "settings"},
		{zk.EventNodeChildrenChanged, "/web", "/web", "list"},
		{zk.EventNodeCreated, "/web", "/web", "list settings"},
		{zk.EventNodeDeleted, "/web", "/web", "list settings"},
		{zk.EventNodeDataChanged, "/set/web", "/set/web", "settings"},
		{zk.EventNodeDataChanged, "/web/i-1", "/web", "i-1"},
		{zk.EventNodeDataChanged, "/web", "", ""},
		{zk.EventNodeDataChanged, "/other", "/web", ""},
	} {
		listed, said, old := source.StaleAfter(c.event, c.path, "/web", c.settings)
		var got []string
		if listed {
			got = append(got, "list")
		}
		if said {
			got = append(got, "settings")
		}
		if got := strings.Join(append(got, old...), " "); got != c.want {
			t.Errorf("%v of %s with settings at %q: %q is read, want %q", c.event, c.path, c.settings, got, c.want)
		}
	}
}

// TestZooKeepers_FollowsSettings reads them at the folder and elsewhere, through their life and that of the server.
func TestZooKeepers_FollowsSettings(t *testing.T) {
	t.Parallel()
	server := testbed.ZooKeeper(t)
	conn := testbed.ZooKeeperClient(t, server, 10*time.Second)
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	create := func(path, data string, acl []zk.ACL) {
		t.Helper()
		_, err := conn.Create(path, []byte(data), 0, acl)
		do(err)
	}
	open := zk.WorldACL(zk.PermAll)
	z := source.NewZooKeepers(source.ZooKeeperOptions{Servers: []string{server.Addr}, Timeout: 10 * time.Second})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = z.Run(ctx) }()
	defer func() { cancel(); <-done }()
	web, other, unwanted := follow(t, z.Service("/web", "", "/web")), follow(t, z.Service("/web", "", "/set/web")), follow(t, z.Service("/web", "", ""))
	web("")
	other("")
	create("/web", `{"a":1}`, open)
	web("settings " + `{"a":1}`)
	create("/web/i", `{"host":"h","port":1}`, open)
	web(`@h:1 settings {"a":1}`)
	other("@h:1")
	unwanted("@h:1")
	create("/set", "", open)
	create("/set/web", "torn", open)
	other("@h:1 settings torn")
	_, err := conn.Set("/web", []byte(`{"a":2}`), -1)
	do(err)
	web(`@h:1 settings {"a":2}`)
	_, err = conn.Set("/web", nil, -1)
	do(err)
	web("@h:1")
	do(conn.Delete("/set/web", -1))
	other("@h:1")
	create("/set/web", "again", open)
	other("@h:1 settings again")
	do(conn.Delete("/set/web", -1))
	other("@h:1")
	create("/set/web", "secret", zk.DigestACL(zk.PermAll, "u", "p"))
	server.Stop(t)
	web("error")
	server.Start(t)
	web("@h:1")
	other("@h:1 settings?") // a server tells nobody of a node that is not for him, so it takes a new session to see it
	for err = errors.New("not yet"); err != nil; {
		_, err = conn.Set("/web", []byte("after"), -1)
	}
	web("@h:1 settings after")
}

func TestConsul_FollowsSettings(t *testing.T) {
	t.Parallel()
	server := testbed.Consul(t, "")
	client, err := api.NewClient(&api.Config{Address: server.Addr})
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Agent().ServiceRegister(&api.AgentServiceRegistration{ID: "a", Name: "web", Address: "10.0.0.1", Port: 3000}); err != nil {
		t.Fatal(err)
	}
	wait := follow(t, source.Consul{Client: client, Service: "web", Settings: "services/web"})
	wait("a@10.0.0.1:3000#" + index(t, client))
	for _, document := range []string{`{"a":1}`, "torn"} {
		if _, err := client.KV().Put(&api.KVPair{Key: "services/web", Value: []byte(document)}, nil); err != nil {
			t.Fatal(err)
		}
		wait("a@10.0.0.1:3000#" + index(t, client) + " settings " + document)
	}
	if _, err := client.KV().Delete("services/web", nil); err != nil {
		t.Fatal(err)
	}
	wait("a@10.0.0.1:3000#" + index(t, client))
}

// index is at which index the only instance of web was registered.
func index(t *testing.T, client *api.Client) string {
	t.Helper()
	found, _, err := client.Health().Service("web", "", false, nil)
	if err != nil || len(found) != 1 {
		t.Fatalf("%v, %v", found, err)
	}
	return fmt.Sprint(found[0].Service.CreateIndex)
}

func TestConsul_FollowsPassingInstances(t *testing.T) {
	t.Parallel()
	server := testbed.Consul(t, "")
	client, err := api.NewClient(&api.Config{Address: server.Addr})
	if err != nil {
		t.Fatal(err)
	}
	register := func(id, status string, weight int) {
		t.Helper()
		if err := client.Agent().ServiceRegister(&api.AgentServiceRegistration{
			ID: id, Name: "web", Address: "10.0.0.1", Port: 3000, Weights: &api.AgentWeights{Passing: weight, Warning: 1},
			Check: &api.AgentServiceCheck{CheckID: id, TTL: "1h", Status: status},
		}); err != nil {
			t.Fatal(err)
		}
	}
	register("b", "passing", 5)
	told := make(chan source.Observation, 100)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go source.Consul{Client: client, Service: "web"}.Run(ctx, func(o source.Observation) { told <- o })
	wait := func(want ...string) {
		t.Helper()
		for deadline := time.After(60 * time.Second); ; {
			select {
			case o := <-told:
				var got []string
				for _, b := range o.Backends {
					if b.ID == nil || b.Port != 3000 {
						t.Errorf("%+v", b)
					}
					got = append(got, b.Name)
				}
				if strings.Join(got, " ") == strings.Join(want, " ") {
					return
				}
			case <-deadline:
				t.Fatalf("never %q", want)
			}
		}
	}
	wait("b")
	register("a", "critical", 1)
	if err := client.Agent().UpdateTTL("a", "", "pass"); err != nil {
		t.Fatal(err)
	}
	wait("a", "b")
	if err := client.Agent().UpdateTTL("b", "", "fail"); err != nil {
		t.Fatal(err)
	}
	wait("a")
	if err := client.Agent().ServiceDeregister("a"); err != nil {
		t.Fatal(err)
	}
	wait()
}

func TestFile_IsReadAgain(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "web.json")
	see := follow(t, source.File(path))
	see("error")
	b, err := json.Marshal([]service.Backend{{Name: "a", Host: "h", Port: 1}, {Host: "h"}})
	if err == nil {
		err = os.WriteFile(path, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	see("a@h:1 skipped")
}

func TestDNS(t *testing.T) {
	t.Parallel()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	answers := map[string][]string{
		"web.test. A":       {"web.test. 1 IN A 10.0.0.2", "web.test. 1 IN A 10.0.0.1"},
		"web.test. AAAA":    {"web.test. 1 IN AAAA 2001:db8::1"},
		"_s._tcp.test. SRV": {"_s._tcp.test. 1 IN SRV 1 7 8080 web2.test."},
		"web2.test. A":      {"web2.test. 1 IN A 10.0.0.3"},
		"broken.test. A":    nil,
		"broken.test. AAAA": nil,
	}
	server := &dns.Server{PacketConn: pc, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg)
		m.SetReply(q)
		name := q.Question[0].Name
		records := answers[name+" "+dns.TypeToString[q.Question[0].Qtype]]
		for _, r := range records {
			rr, _ := dns.NewRR(r)
			m.Answer = append(m.Answer, rr)
		}
		switch {
		case strings.HasPrefix(name, "broken"):
			m.Rcode = dns.RcodeServerFailure
		case strings.HasPrefix(name, "none"):
			m.Rcode = dns.RcodeNameError
		}
		_ = w.WriteMsg(m)
	})}
	go func() { _ = server.ActivateAndServe() }()
	t.Cleanup(func() { _ = server.Shutdown() })
	for want, s := range map[string][]source.DNSServer{
		"w@10.0.0.1:80 w@10.0.0.2:80 w@2001:db8::1:80 @::1:5": {{Name: "w", Host: "web.test", Port: 80}, {Host: "::1", Port: 5}},
		"web2.test@10.0.0.3:8080*7":                           {{Host: "_s._tcp.test"}},
		"":                                                    {{Host: "none.test", Port: 1}},
		"error":                                               {{Host: "web.test", Port: 80}, {Host: "broken.test", Port: 1}},
	} {
		follow(t, source.DNS{Servers: s, Resolvers: []string{pc.LocalAddr().String()}, Timeout: 20 * time.Second})(want)
	}
}

func TestCombine(t *testing.T) {
	t.Parallel()
	a, b := source.Observation{Backends: []service.Backend{{Host: "a"}}}, source.Observation{Backends: []service.Backend{{Host: "b"}}}
	empty, bad := source.Observation{}, source.Observation{Err: errors.New("away")}
	for _, c := range []struct {
		how  source.Combine
		in   []source.Observation
		want string
	}{
		{source.Union, []source.Observation{a, b}, "@a:0 @b:0"},
		{source.Union, []source.Observation{bad, b}, "@b:0"},
		{source.Union, []source.Observation{bad, bad}, "error"},
		{source.Sequential, []source.Observation{a, b}, "@a:0"},
		{source.Sequential, []source.Observation{empty, b}, "@b:0"},
		{source.Sequential, []source.Observation{bad, b}, "@b:0"},
		{source.Sequential, []source.Observation{empty, bad}, "error"},
		{source.Sequential, []source.Observation{empty, empty}, ""},
		{source.Fallback, []source.Observation{empty, b}, ""},
		{source.Fallback, []source.Observation{bad, b}, "@b:0"},
		{source.Fallback, []source.Observation{bad, bad}, "error"},
	} {
		if got := brief(c.how.One(c.in)); got != c.want {
			t.Errorf("%s: %q, want %q", c.how, got, c.want)
		}
	}
}

func FuzzDecodeFile(f *testing.F) {
	f.Add([]byte(`[{"name":"a","host":"h","port":1,"id":null,"labels":{"a":"b"}},{"host":7}]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		o := source.DecodeFile(data)
		for _, b := range o.Backends {
			if o.Err != nil || b.Host == "" || b.Port < 1 || b.Port > 65535 {
				t.Errorf("%+v, %v", b, o.Err)
			}
		}
	})
}
