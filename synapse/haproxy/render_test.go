package haproxy_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"glia/synapse/haproxy"
	"glia/synapse/service"
)

func ptr[T any](v T) *T { return &v }

func at(host string, port int, name string) haproxy.Server {
	return haproxy.Server{Backend: service.Backend{Host: host, Port: port, Name: name}}
}

// servers renders one service and returns the lines of its servers.
func servers(t *testing.T, c haproxy.Config, s haproxy.Service, in ...haproxy.Server) []string {
	t.Helper()
	s.Name = "example"
	r, err := haproxy.NewRenderer(c, []haproxy.Service{s})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Set("example", in); err != nil {
		t.Fatal(err)
	}
	var out []string
	for l := range strings.Lines(r.Text()) {
		if strings.HasPrefix(l, "\tserver ") {
			out = append(out, strings.TrimSuffix(l, "\n"))
		}
	}
	return out
}

// What synapse 0.18.9 writes for the same input, by its specs and by running it.
func TestRenderer_ServerLines(t *testing.T) {
	t.Parallel()
	const check = "check inter 2000 rise 3 fall 2"
	somehost := at("somehost", 5555, "")
	with := func(s haproxy.Server, change func(*haproxy.Server)) haproxy.Server { change(&s); return s }
	for _, c := range []struct {
		name   string
		config haproxy.Config
		svc    haproxy.Service
		in     haproxy.Server
		want   string
	}{
		{"plain", haproxy.Config{}, haproxy.Service{ServerOptions: check}, somehost, "server somehost:5555 somehost:5555 id 1 cookie somehost:5555 " + check},
		{"no options leave a space", haproxy.Config{}, haproxy.Service{}, at("h", 1, ""), "server h:1 h:1 id 1 cookie h:1 "},
		{"a name", haproxy.Config{}, haproxy.Service{ServerOptions: "check inter 2s rise 3 fall 2"}, at("10.0.0.1", 3000, "i-aaa"), "server i-aaa_10.0.0.1:3000 10.0.0.1:3000 id 1 cookie i-aaa_10.0.0.1:3000 check inter 2s rise 3 fall 2"},
		{"no cookie in mode tcp", haproxy.Config{}, haproxy.Service{Listen: []string{"mode tcp"}, ServerOptions: "check port %{port} inter 10s"}, at("10.0.0.9", 3306, "db1"), "server db1_10.0.0.9:3306 10.0.0.9:3306 id 1 check port 3306 inter 10s"},
		{"hashed cookie", haproxy.Config{}, haproxy.Service{HashCookie: true, ServerOptions: check}, somehost, "server somehost:5555 somehost:5555 id 1 cookie 9e736eef2f5a1d441e34ade3d2a8eb1e3abb1c92 " + check},
		{"id of its own", haproxy.Config{}, haproxy.Service{ServerOptions: check}, with(somehost, func(s *haproxy.Server) { s.Options = "id 12 backup" }), "server somehost:5555 somehost:5555 cookie somehost:5555 " + check + " id 12 backup"},
		{"id of the registry", haproxy.Config{}, haproxy.Service{ServerOptions: check}, with(somehost, func(s *haproxy.Server) { s.ServerID = 7 }), "server somehost:5555 somehost:5555 id 7 cookie somehost:5555 " + check},
		{"gone", haproxy.Config{}, haproxy.Service{ServerOptions: check, Listen: []string{"mode tcp"}}, with(somehost, func(s *haproxy.Server) { s.Gone = true; s.ServerID = 10 }), "server somehost:5555 somehost:5555 id 10 " + check + " disabled"},
		{"weight", haproxy.Config{UseWeights: true}, haproxy.Service{ServerOptions: "check weight 3  inter 2s"}, with(somehost, func(s *haproxy.Server) { s.Weight = ptr(9); s.Options = "weight 4 backup" }), "server somehost:5555 somehost:5555 id 1 cookie somehost:5555 check inter 2s backup weight 9"},
		{"draining", haproxy.Config{}, haproxy.Service{ServerOptions: "check weight 3"}, with(somehost, func(s *haproxy.Server) { s.Draining = true }), "server somehost:5555 somehost:5555 id 1 cookie somehost:5555 check weight 0"},
		{"weight not used", haproxy.Config{}, haproxy.Service{ServerOptions: "weight 3"}, with(somehost, func(s *haproxy.Server) { s.Weight = ptr(9) }), "server somehost:5555 somehost:5555 id 1 cookie somehost:5555 weight 3"},
		{"IPv6", haproxy.Config{}, haproxy.Service{ServerOptions: "%{host}%%%{name}"}, at("::1", 80, "n"), "server n_::1:80 ::1:80 id 1 cookie n_::1:80 ::1%n"},
	} {
		if got := servers(t, c.config, c.svc, c.in); len(got) != 1 || got[0] != "\t"+c.want {
			t.Errorf("%s: got  %q\nwant %q", c.name, got, "\t"+c.want)
		}
	}
}

func TestRenderer_IDsAndOrder(t *testing.T) {
	t.Parallel()
	numbered := at("c", 1, "")
	numbered.Options = "id 2"
	in := []haproxy.Server{at("b", 1, ""), at("a", 1, ""), numbered}
	for order, want := range map[haproxy.Order]string{
		haproxy.AsFound:    "b:1 b:1 id 1|a:1 a:1 id 3|c:1 c:1",
		haproxy.Ascending:  "a:1 a:1 id 3|b:1 b:1 id 1|c:1 c:1",
		haproxy.Descending: "c:1 c:1|b:1 b:1 id 1|a:1 a:1 id 3",
	} {
		var got []string
		for _, l := range servers(t, haproxy.Config{}, haproxy.Service{Order: order, Backend: []string{"mode tcp"}}, in...) {
			got = append(got, strings.TrimSuffix(strings.TrimPrefix(l, "\tserver "), " "))
		}
		if s := strings.ReplaceAll(strings.Join(got, "|"), "  id 2", ""); s != want {
			t.Errorf("%q: got %s, want %s", order, s, want)
		}
	}
	if got := servers(t, haproxy.Config{MaxServerID: 2}, haproxy.Service{Order: haproxy.AsFound}, at("a", 1, ""), at("b", 1, ""), at("c", 1, "")); !strings.HasPrefix(got[2], "\tserver c:1 c:1 cookie") {
		t.Errorf("with no id left: %q", got[2])
	}
}

// The orders were printed by Ruby 3.1: %w{a b …}.shuffle(random: Random.new(seed)).
func TestRenderer_ShufflesAsRuby(t *testing.T) {
	t.Parallel()
	var in []haproxy.Server
	for _, c := range "abcdefgh" {
		in = append(in, at(string(c), 1, ""))
	}
	for seed, want := range map[uint32]string{0: "gcbhdafe", 1: "hcbgaedf", 7: "cfagdbeh", 1234: "cbgaefdh"} {
		got := ""
		for _, l := range servers(t, haproxy.Config{OrderSeed: seed}, haproxy.Service{}, in...) {
			got += l[len("\tserver "):][:1]
		}
		if got != want {
			t.Errorf("seed %d: %s, want %s", seed, got, want)
		}
	}
}

// whole is the input of testdata/whole.cfg, which holds what synapse 0.18.9 writes for it but for the comment and the last line feed.
func whole() (haproxy.Config, []haproxy.Service) {
	return haproxy.Config{
			Global: []string{"daemon", "maxconn 4096"}, Defaults: []string{"mode http", "timeout connect 5s"},
			Sections:       []haproxy.Section{{"listen stats", []string{"bind :3212", "stats enable"}}, {"userlist u", nil}},
			SharedFrontend: []string{"bind 127.0.0.1:8081"},
		}, []haproxy.Service{
			{
				Name: "web", Port: 3210, BindOptions: "ssl crt /x.pem", ServerOptions: "check inter 2s rise 3 fall 2", Order: haproxy.AsFound,
				Listen: []string{"mode http", "option  httpchk /health", "option dontlognull", "timeout client 1m", "balance roundrobin"}, Frontend: []string{"maxconn 7"},
				SharedFrontend: []string{"acl is_web hdr_dom(host) -i web", "use_backend web if is_web"},
			},
			{Name: "db", BackendName: "db_master", Listen: []string{"mode tcp"}, BindAddress: "unix@/run/db.sock"},
			{Name: "inner", Backend: []string{"mode tcp"}, BindAddress: "10.0.0.1"},
		}
}

func TestRenderer_WholeFile(t *testing.T) {
	t.Parallel()
	c, services := whole()
	r, err := haproxy.NewRenderer(c, services)
	if err != nil {
		t.Fatal(err)
	}
	for name, in := range map[string][]haproxy.Server{"web": {at("10.0.0.1", 3000, "i-1"), at("10.0.0.2", 3000, "i-2")}, "db": {at("10.0.0.9", 3306, "")}} {
		if err := r.Set(name, in); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/whole.cfg")
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Text(); got != string(want) {
		t.Errorf("got:\n%s", got)
	}
	if strings.Contains(r.Structure(), "\tserver ") || strings.Count(r.Structure(), "\n") != strings.Count(string(want), "\n")-3 {
		t.Errorf("structure:\n%s", r.Structure())
	}
}

func TestRenderer_RefusesWhatWouldBreakTheFile(t *testing.T) {
	t.Parallel()
	for want, s := range map[string]haproxy.Service{
		"move it from listen":   {Name: "a", Listen: []string{"modehttpx"}},
		"is none of %{host}":    {Name: "a", ServerOptions: "check %d"},
		"can not be a name":     {Name: "a b"},
		"more than one line":    {Name: "a", Backend: []string{"mode tcp\nserver x"}},
		"for the shared fronte": {Name: "a", SharedFrontend: []string{"acl x"}},
		"is that of service b":  {Name: "a", BackendName: "b"},
	} {
		if _, err := haproxy.NewRenderer(haproxy.Config{}, []haproxy.Service{{Name: "b"}, s}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	r, err := haproxy.NewRenderer(haproxy.Config{}, []haproxy.Service{{Name: "a"}})
	if err != nil {
		t.Fatal(err)
	}
	evil := at("h", 2, "")
	evil.Options = "x\nserver evil"
	if err := r.Set("a", []haproxy.Server{at("h", 1, "x y"), evil, at("good", 1, "")}); err == nil || strings.Contains(r.Text(), "x y") || strings.Contains(r.Text(), "evil") || !strings.Contains(r.Text(), "good:1") {
		t.Errorf("error %v, file:\n%s", err, r.Text())
	}
}

func TestSplit(t *testing.T) {
	t.Parallel()
	lines := map[string]string{ // f: into the frontend, b: into the backend
		"mode http": "fb", "  Option   HTTPlog": "fb", "option forwardfor except 127.0.0.1": "fb", "no option tcplog": "fb", "stats uri /x": "fb",
		"maxconn 10": "f", "option dontlognull": "f", "use_backend x if y": "f", "timeout client 1m": "f", "capture request header X len 9": "f",
		"balance leastconn": "b", "option httpchk GET /": "b", "server x 1.2.3.4:5": "b", "timeout server 1m": "b", "http-check expect status 200": "b", "cookie c insert": "b",
		"http-check send meth GET": "b", "retry-on all-retryable-errors": "b", "option httpslog": "f", "http-after-response set-header a b": "fb",
	}
	for line, want := range lines {
		f, b, err := haproxy.Split([]string{line})
		got := ""
		if len(f) == 1 {
			got += "f"
		}
		if len(b) == 1 {
			got += "b"
		}
		if got != want || err != nil || slices.Contains(append(f, b...), strings.TrimSpace(line)) != (line == strings.TrimSpace(line)) {
			t.Errorf("%q: %s, %v, want %s", line, got, err, want)
		}
	}
}
