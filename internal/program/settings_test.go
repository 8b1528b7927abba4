package program_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/go-zookeeper/zk"

	gliav1 "glia/api/glia/v1"
	"glia/api/glia/v1/gliav1connect"
	"glia/internal/testbed"
)

// followed is what the API tells of a service.
func (s *stack) followed(name string) *gliav1.FollowedService {
	s.t.Helper()
	c := gliav1connect.NewBackendServiceClient(http.DefaultClient, "http://"+s.c.API.Listen)
	r, err := c.ListFollowed(s.t.Context(), connect.NewRequest(&gliav1.ListFollowedRequest{Service: name, Detail: true}))
	if err != nil {
		return &gliav1.FollowedService{}
	}
	return r.Msg.GetServices()[0]
}

func (s *stack) metric(line string) bool {
	r, err := http.Get("http://" + s.c.API.Listen + "/metrics")
	if err != nil {
		return false
	}
	defer func() { _ = r.Body.Close() }()
	b, _ := io.ReadAll(r.Body)
	return strings.Contains(string(b), "\n"+line+"\n")
}

// traffic asks through HAProxy until it is stopped; no request may fail.
func (s *stack) traffic() (stop func()) {
	var all sync.WaitGroup
	var asked atomic.Int64
	ended := make(chan struct{})
	for range 4 {
		all.Go(func() {
			for tick := time.NewTicker(20 * time.Millisecond); ; {
				select {
				case <-ended:
					tick.Stop()
					return
				case <-tick.C:
				}
				asked.Add(1)
				if body, err := s.get(); err != nil || strings.Contains(body, "<html>") {
					s.t.Errorf("request %d: %q, %v", asked.Load(), body, err)
					return
				}
			}
		})
	}
	return func() {
		s.t.Helper()
		close(ended)
		all.Wait()
		s.t.Logf("%d requests, none failed unless it is told above", asked.Load())
	}
}

// TestSmartstack_RegistryHasSettingsOfAService lets ZooKeeper change how HAProxy serves, and then say things that can not be.
func TestSmartstack_RegistryHasSettingsOfAService(t *testing.T) {
	t.Parallel()
	server := testbed.ZooKeeper(t, "maxSessionTimeout=60000")
	conn := testbed.ZooKeeperClient(t, server, time.Minute)
	create := func(path, data string) {
		t.Helper()
		insist(t, func() error {
			_, err := conn.Create(path, []byte(data), 0, zk.WorldACL(zk.PermAll))
			return err
		})
	}
	set := func(path, data string) {
		t.Helper()
		insist(t, func() error { _, err := conn.Set(path, []byte(data), -1); return err })
	}
	one, two := backend(t, "one"), backend(t, "two")
	create("/web", `{"haproxy":{"server_options":"check inter 150ms rise 1 fall 1"}}`)
	create("/other", "")
	create("/web/one", fmt.Sprintf(`{"host":%q,"port":%d,"name":"one"}`, one.Host, one.Port))
	create("/web/two", fmt.Sprintf(`{"host":%q,"port":%d,"name":"two"}`, two.Host, two.Port))

	s := rewrittenStack(t, server.Addr, []string{
		"path = \"/web\"\n", "path = \"/web\"\nsettings = \"/web\"\n", "path = \"/other\"\n", "path = \"/other\"\nsettings = \"/settings/other\"\n",
	})
	s.until("both serve", s.serves("one", "two"))
	first := s.pid()
	if !strings.Contains(s.rendered(), "inter 150ms") {
		t.Errorf("settings that were there before the start came later, by another reload:\n%s", s.rendered())
	}
	end := s.traffic()

	set("/web", `{"haproxy":{"server_options":"check inter 200ms rise 1 fall 1","listen":["balance leastconn"]},"nginx":{"port":1}}`)
	s.until("HAProxy is reloaded with other settings", func() bool {
		now := s.pid()
		return strings.Contains(s.rendered(), "balance leastconn") && strings.Contains(s.rendered(), "inter 200ms") && now != "" && now != first
	})
	want := "haproxy.listen, haproxy.server_options; left aside, as of others: nginx"
	s.until("they are shown", func() bool { f := s.followed("web"); return f.GetSettings() == want && f.GetSettingsProblem() == "" })
	good, pid := s.rendered(), s.pid()

	for document, why := range map[string]string{
		`{"haproxy":{`:                                        "unexpected EOF",
		`{"haproxy":{"port":7000}}`:                           "settings.allow does not let registries set it",
		`{"haproxy":{"bind_options":"ssl crt /k"}}`:           "no registry may set it",
		`{"haproxy":{"listen":["timeout connect never"]}}`:    "timeout", // HAProxy says so
		`{"haproxy":{"listen":["http-check send nonsense"]}}`: "check",
	} {
		set("/web", document)
		s.until("it is put aside: "+document, func() bool {
			f := s.followed("web")
			return strings.Contains(f.GetSettingsProblem(), why) && f.GetSettings() == want && s.metric("glia_settings_put_aside 1")
		})
		if s.rendered() != good || s.pid() != pid {
			t.Errorf("%s has changed something:\n%s", document, s.rendered())
		}
	}
	create("/other/x", fmt.Sprintf(`{"host":%q,"port":%d,"name":"x"}`, one.Host, one.Port))
	s.until("another service still follows", func() bool { return strings.Contains(s.runtime("show servers state other"), " x_") })
	create("/settings", "")
	create("/settings/other", `{"haproxy":{"backend":["retries 7"]}}`)
	s.until("and has settings of its own", func() bool { return strings.Contains(s.rendered(), "backend other\n\tretries 7\n") && s.pid() != pid })
	s.until("all is calm", func() bool { return strings.Contains(s.readyz(), "services: ready") })

	// Without registry a start goes on with the last good settings.
	good, pid = s.rendered(), s.pid()
	server.Stop(t)
	s.until("it is told that ZooKeeper is away", func() bool { return strings.Contains(s.readyz(), "services: not ready") })
	s.stop()
	s.start()
	s.until("it serves", s.serves("one", "two"))
	if s.rendered() != good || s.pid() != pid {
		t.Errorf("a restart without registry has changed something:\n%s\nwas\n%s", s.rendered(), good)
	}
	if got := s.followed("web").GetSettings(); got != want {
		t.Errorf("settings after a restart: %q", got)
	}
	server.Start(t)
	s.until("what is there is still put aside", func() bool { return s.followed("web").GetSettingsProblem() != "" })
	set("/web", "")
	insist(t, func() error { return conn.Delete("/settings/other", -1) })
	s.until("the file's own settings are back", func() bool {
		f := s.followed("web")
		return f.GetSettings()+f.GetSettingsProblem() == "" && strings.Contains(s.rendered(), "balance roundrobin") && !strings.Contains(s.rendered(), "retries 7") && s.metric("glia_settings_put_aside 0")
	})
	s.until("both serve", s.serves("one", "two"))
	end()
}
