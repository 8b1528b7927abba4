package haproxy_test

import (
	"maps"
	"reflect"
	"strings"
	"testing"
	"time"

	"glia/synapse/haproxy"
)

func TestDecide(t *testing.T) {
	t.Parallel()
	literal := func(host string) string { return strings.TrimPrefix(host, "name-of-") }
	never := func(string) string { return "" }
	up, down := haproxy.Running{ID: 1, Weight: 1}, haproxy.Running{ID: 1, Weight: 1, Maintenance: true}
	a, heavy, other := at("10.0.0.1", 80, "a"), at("10.0.0.1", 80, "a"), at("10.0.0.1", 80, "a")
	heavy.Weight, other.Options = ptr(7), "backup"
	const name = "web/a_10.0.0.1:80"
	for _, c := range []struct {
		name    string
		before  []haproxy.Server // that HAProxy has read
		after   []haproxy.Server
		has     map[string]haproxy.Running // nil: as before, and up
		gone    bool                       // we have put those before into maintenance
		resolve func(string) string
		want    string // commands, joined by ;
		reload  string
	}{
		{"nothing to do", []haproxy.Server{a}, []haproxy.Server{a}, nil, false, literal, "", ""},
		{"a new one", nil, []haproxy.Server{a}, nil, false, literal, "add server " + name + " 10.0.0.1:80 id 1 check;enable health " + name + ";set server " + name + " state ready", ""},
		{"a new one with a name", nil, []haproxy.Server{at("name-of-10.0.0.2", 80, "")}, nil, false, literal, "add server web/name-of-10.0.0.2:80 10.0.0.2:80 id 1 check;enable health web/name-of-10.0.0.2:80;set server web/name-of-10.0.0.2:80 state ready", ""},
		{"a new one that can not be added", nil, []haproxy.Server{a}, nil, false, never, "", "can not be added"},
		{"one vanishes", []haproxy.Server{a}, nil, nil, false, literal, "set server " + name + " state maint;del server " + name, ""},
		{"one vanishes that could not be added again", []haproxy.Server{a}, nil, nil, false, never, "set server " + name + " state maint", ""},
		{"it comes back", []haproxy.Server{a}, []haproxy.Server{a}, map[string]haproxy.Running{"a_10.0.0.1:80": down}, true, literal, "set server " + name + " state ready", ""},
		{"an operator has put it into maintenance", []haproxy.Server{a}, []haproxy.Server{a}, map[string]haproxy.Running{"a_10.0.0.1:80": down}, false, literal, "", ""},
		{"another weight", []haproxy.Server{a}, []haproxy.Server{heavy}, nil, false, literal, "set server " + name + " weight 7", ""},
		{"no weight any more", []haproxy.Server{heavy}, []haproxy.Server{a}, nil, false, literal, "set server " + name + " weight 1", ""},
		{"other options", []haproxy.Server{a}, []haproxy.Server{other}, nil, false, literal, "", "options of server " + name + " have changed"},
		{"of others", nil, nil, map[string]haproxy.Running{"static": up}, false, literal, "", ""},
		{"there already, by others", nil, []haproxy.Server{a}, map[string]haproxy.Running{"a_10.0.0.1:80": up}, false, literal, "", "not known how"},
	} {
		r, err := haproxy.NewRenderer(haproxy.Config{UseWeights: true}, []haproxy.Service{{Name: "web", ServerOptions: "check", Listen: []string{"mode tcp"}}})
		if err != nil {
			t.Fatal(err)
		}
		_ = r.Set("web", c.before)
		loaded := haproxy.LoadedOf(r, "web")
		if c.has == nil {
			c.has = map[string]haproxy.Running{}
			for n := range loaded {
				c.has[n] = up
			}
		}
		if c.gone {
			for n, l := range maps.Clone(loaded) {
				l.Gone = time.Unix(1, 0)
				loaded[n] = l
			}
		}
		_ = r.Set("web", c.after)
		got, reload := haproxy.Decide(r, "web", c.has, loaded, c.resolve)
		if s := strings.Join(got, ";"); s != c.want || (reload == "") != (c.reload == "") || !strings.Contains(reload, c.reload) {
			t.Errorf("%s: %q, reload %q; want %q, %q", c.name, s, reload, c.want, c.reload)
		}
	}
}

// From HAProxy 2.6.12.
const showServers = `1
# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr srv_agent_addr srv_agent_port
3 web 2 b:1 127.0.0.1 2 0 7 5 0 1 0 0 6 0 0 1 - 9 - 0 0 - - 0
3 web 77 v6 ::1 0 5 1 1 0 1 0 0 8 0 0 1 - 80 - 0 0 - - 0
`

func TestParseServers(t *testing.T) {
	t.Parallel()
	got, err := haproxy.ParseServers(showServers)
	want := map[string]map[string]haproxy.Running{"web": {"b:1": {ID: 2, Weight: 7}, "v6": {ID: 77, Weight: 1, Maintenance: true}}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	for in, want := range map[string]string{
		"":                                       "version",
		"2\n# x\n":                               "version",
		"1\nx\n":                                 "no head",
		"1\n# be_name srv_id\n":                  "no column srv_name",
		showServers[:len(showServers)-60] + "\n": "is cut",
	} {
		if _, err := haproxy.ParseServers(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: error %v, want %q", in, err, want)
		}
	}
	if _, err := haproxy.ParseInfo("Name: x\n"); err == nil {
		t.Error("no process, and no error")
	}
}

func FuzzParseServers(f *testing.F) {
	f.Add(showServers)
	f.Fuzz(func(t *testing.T, text string) {
		got, err := haproxy.ParseServers(text)
		for be, servers := range got {
			if err != nil || be == "" || len(servers) == 0 {
				t.Errorf("%q: %v, %v", be, servers, err)
			}
		}
	})
}
