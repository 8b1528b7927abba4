package migrate_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/BurntSushi/toml"

	"glia/config"
	"glia/internal/migrate"
)

// nerveYAML and synapseJSON are in the style of the examples that the originals ship.
const nerveYAML = `
instance_id: i-1
heartbeat_path: /var/run/nerve/heartbeat
defaults: &zk
  reporter_type: zookeeper
  zk_hosts: [zk2:2181, zk1:2181]
  check_interval: 2
services:
  web_3000:
    <<: *zk
    host: 10.0.0.1
    port: "3000"
    zk_path: /nerve/services/web/services
    use_path_encoding: true
    weight: 2
    haproxy_server_options: backup
    labels: {az: us-east-1a, "rack:": 7}
    rate_limiting: {average_rate: 0.5, max_burst: 10, shadow_mode: false}
    checks:
      - type: http
        uri: /health
        timeout: 0.2
        rise: 3
        fall: 2
        headers: {Host: web.example.com}
        expect: "\"ok\""
      - {type: tcp, port: 3001}
  queue:
    <<: *zk
    host: 10.0.0.1
    port: 5672
    zk_path: /nerve/services/queue/services
    node_type: persistent
    checks:
      - {type: rabbitmq, username: bob, password: hunter2}
`

const synapseJSON = `{
	"services": {
		"web": {
			"discovery": {"method": "zookeeper", "path": "/nerve/services/web/services", "hosts": ["zk1:2181"],
				"label_filters": [{"label": "az", "value": "a", "condition": "equals"}, {"label": "role", "value": "canary", "condition": "not-equals"}]},
			"default_servers": [{"name": "d", "host": "10.0.0.9", "port": 80}],
			"leader_election": true,
			"file_output": {},
			"haproxy": {"port": 3210, "server_options": "check inter 2s rise 3 fall 2", "listen": ["mode http", "option httpchk /health"], "cookie_value_method": "hash"}
		},
		"db": {
			"discovery": {"method": "base"},
			"discovery_multi": {"method": "multi", "watchers": {
				"b": {"method": "dns", "servers": [{"name": "m", "host": "db.example.com", "port": 3306}], "nameserver": "10.0.0.53"},
				"a": {"method": "zookeeper", "path": "/db", "hosts": ["zk1:2181"]}},
				"resolver": {"method": "sequential", "sequential_order": ["a", "b", "primary"]}},
			"default_servers": [{"host": "10.0.0.8", "port": 3306}],
			"haproxy": {"listen": "mode tcp", "bind_address": "127.0.0.2", "port": 3306}
		}
	},
	"haproxy": {
		"reload_command": "service haproxy reload", "config_file_path": "/etc/haproxy/haproxy.cfg", "socket_file_path": "/var/haproxy/stats.sock",
		"do_checks": true, "check_command": "haproxy -c -f /tmp/c.cfg", "candidate_config_file_path": "/tmp/c.cfg", "restart_interval": 5,
		"global": ["daemon", "user haproxy"], "defaults": ["mode http"], "server_order_seed": 1234,
		"extra_sections": {"listen stats": ["bind :3212", "stats enable"], "backend b": ["mode tcp"]}
	},
	"file_output": {"output_directory": "/var/lib/services"}
}`

func TestFiles_CarriesOver(t *testing.T) {
	t.Parallel()
	// A file of service_conf_dir is a service too.
	o, err := migrate.Files(migrate.File{Name: "nerve.yaml", Data: []byte(nerveYAML)}, migrate.File{Name: "/etc/synapse.json", Data: []byte(synapseJSON)},
		migrate.File{Name: "/etc/nerve/conf.d/ssh.yaml", Data: []byte("host: 10.0.0.1\nport: 22\nzk_hosts: [zk1]\nzk_path: /ssh\nchecks: []\n")})
	if err != nil {
		t.Fatal(err)
	}
	n, err := config.ParseNerve("nerve.toml", []byte(o.Nerve))
	if err != nil {
		t.Fatalf("%v\n%s", err, o.Nerve)
	}
	web := n.Services[0]
	if n.HeartbeatFile != "/var/run/nerve/heartbeat" || len(n.Services) != 3 || n.Services[2].Name != "ssh" || web.Name != "web_3000" || web.Host != "10.0.0.1" ||
		web.Port != 3000 || web.Instance != "i-1" || web.Weight != 2 || web.Options != "backup" || strings.Join(web.Labels, " ") != "az=us-east-1a rack:=7" ||
		time.Duration(web.Interval) != 2*time.Second || web.RateLimit != (config.RateLimit{AverageRate: 0.5, MaxBurst: 10}) {
		t.Errorf("web: %+v", web)
	}
	p := web.Places[0]
	if strings.Join(p.Servers, " ") != "zk1:2181 zk2:2181" || p.Path != "/nerve/services/web/services" || !p.PathEncoding || !p.Numbered || n.Services[1].Places[0].Numbered {
		t.Errorf("places: %+v %+v", p, n.Services[1].Places)
	}
	if c := web.Checks[0]; c.Type != "http" || c.URI != "/health" || time.Duration(c.Timeout) != 400*time.Millisecond || c.Rise != 3 || c.Fall != 2 || c.Headers[0] != "Host: web.example.com" || c.Expect != `"ok"` || web.Checks[1].Port != 3001 {
		t.Errorf("checks: %+v", web.Checks)
	}

	s, err := config.ParseSynapse("synapse.toml", []byte(o.Synapse))
	if err != nil {
		t.Fatalf("%v\n%s", err, o.Synapse)
	}
	use, db := s.Services[0], s.Services[1]
	if use.Sources[0].Path != "/nerve/services/web/services" || strings.Join(use.Filters, " ") != "az=a role!=canary" || use.DefaultServers[0] != "d=10.0.0.9:80" ||
		!use.LeaderElection || !use.File || use.HAProxy.Port != 3210 || !use.HAProxy.HashCookie || use.HAProxy.Listen[1] != "option httpchk /health" {
		t.Errorf("web: %+v", use)
	}
	if db.Combine != "sequential" || len(db.Sources) != 3 || db.Sources[0].Path != "/db" || db.Sources[1].Backends[0] != "m=db.example.com:3306" ||
		db.Sources[1].Servers[0] != "10.0.0.53:53" || db.Sources[2].Backends[0] != "10.0.0.8:3306" || db.HAProxy.Listen[0] != "mode tcp" {
		t.Errorf("db: %+v", db)
	}
	h := s.HAProxy
	if h.ConfigFile != "/etc/haproxy/haproxy.cfg" || h.Sockets[0] != "/var/haproxy/stats.sock" || h.CheckCommand[2] != "haproxy -c -f {file}" || h.ReloadCommand[2] != "service haproxy reload" ||
		time.Duration(h.ReloadInterval) != 5*time.Second || h.ServerOrderSeed != 1234 || len(h.Sections) != 2 || h.Sections[0].Title != "listen stats" || s.Files.Directory != "/var/lib/services" {
		t.Errorf("haproxy: %+v", h)
	}
	notes := strings.Join(o.Notes, "\n")
	for _, want := range []string{"nerve.yaml: defaults is not known", "service queue: node_type persistent: the node is ephemeral", "service queue: check rabbitmq: its password is not carried over", "service ssh: it has no checks", "leader_election: when a backend has no id"} {
		if !strings.Contains(notes, want) {
			t.Errorf("no note %q in\n%s", want, notes)
		}
	}
	if strings.Contains(o.Nerve+notes, "hunter2") {
		t.Error("a password is shown")
	}
}

func TestFiles_ReporterOfSerf(t *testing.T) {
	t.Parallel()
	o, err := migrate.Files(migrate.File{Name: "nerve.json", Data: []byte(`{"instance_id":"i","services":{"web_80":{"host":"h","port":80,"reporter_type":"serf","serf_config_dir":"/etc/serf","advertise_host":"e","checks":[{"type":"tcp"}]}}}`)})
	if err != nil {
		t.Fatal(err)
	}
	n, err := config.ParseNerve("n", []byte(o.Nerve))
	if err != nil || len(n.Services) != 1 || n.Services[0].Places[0].Registry != config.RegistrySerf {
		t.Errorf("%+v, %v", n.Services, err)
	}
	if notes := strings.Join(o.Notes, "\n"); !strings.Contains(notes, "advertise_host e is not carried over") {
		t.Errorf("no word of advertise_host in %s", notes)
	}
}

// What glia does not have is refused by the outcome, and never left out.
func TestFiles_BecomesNoLessStrict(t *testing.T) {
	t.Parallel()
	o, err := migrate.Files(migrate.File{Name: "nerve.json", Data: []byte(`{"instance_id":"i","services":{"a":{"host":"h","port":1,"reporter_type":"etcd","etcd_host":"e","checks":[{"type":"mysql","module":"x"},{"type":"disk"}]}}}`)},
		migrate.File{Name: "synapse.json", Data: []byte(`{"haproxy":{"do_writes":false},"services":{"a":{"discovery":{"method":"docker","image_name":"x"},"haproxy":{"port":1}}}}`)})
	if err != nil {
		t.Fatal(err)
	}
	_, nerr := config.ParseNerve("n", []byte(o.Nerve))
	_, serr := config.ParseSynapse("s", []byte(o.Synapse))
	for want, err := range map[string]error{`"disk" is not known`: nerr, `"etcd" is not one of`: nerr, `"docker" is not known`: serr} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	for text, want := range map[string]string{
		"a: b":               "neither a configuration of nerve nor one of synapse",
		"<%= x %>":           "it has ERB in it",
		"[1]":                "it is no configuration",
		"a: [":               "line 1",
		"":                   "it is empty",
		"a: &a [x]\nb: *a\n": "neither",
	} {
		if _, err := migrate.Files(migrate.File{Name: "f", Data: []byte(text)}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", text, err, want)
		}
	}
}

func FuzzFiles(f *testing.F) {
	f.Add([]byte(nerveYAML))
	f.Add([]byte(synapseJSON))
	f.Add([]byte("a: &a [*a]\nservices: {}\n"))
	f.Add([]byte("services: {a: {discovery: {method: dns, servers: [{host: 1, port: 1e3}]}, haproxy: {port: -1}}}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		o, err := migrate.Files(migrate.File{Name: "f", Data: data})
		if err != nil {
			return
		}
		// Values may be refused; the text is TOML whatever was in the file.
		for _, text := range []string{o.Nerve, o.Synapse} {
			if _, err := toml.Decode(text, new(map[string]any)); err != nil {
				t.Errorf("%v\n%s", err, text)
			}
		}
		for _, err := range []error{parse(config.ParseNerve("n", []byte(o.Nerve))), parse(config.ParseSynapse("s", []byte(o.Synapse)))} {
			if err != nil && strings.Contains(err.Error(), "unknown key") {
				t.Errorf("%v\n%s\n%s", err, o.Nerve, o.Synapse)
			}
		}
	})
}

// What is read of Bynar's files is TOML that the repairer knows, whatever is in them; a password is never in it.
func FuzzBynar(f *testing.F) {
	f.Add([]byte(`{"manager_host": "h", "jira_host": "j", "jira_password": "hunter2", "slack_webhook": 3, "vault_endpoint": "v"}`))
	f.Add([]byte(`{"osd_config": [], "latency_cap": 1e99, "backfill_cap": "x", "user_id": "client.admin"}`))
	f.Add([]byte("backend: gluster\nvault_token: hunter2\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		o, err := migrate.Bynar(migrate.File{Name: "f", Data: data})
		if err != nil {
			return
		}
		if _, err := toml.Decode(o.Repairer, new(map[string]any)); err != nil {
			t.Errorf("%v\n%s", err, o.Repairer)
		}
		if err := parse(config.ParseRepairer("r", []byte(o.Repairer))); err != nil && strings.Contains(err.Error(), "unknown key") {
			t.Errorf("%v\n%s", err, o.Repairer)
		}
	})
}

func parse[C any](_ C, err error) error { return err }

// TestFiles_CarriesSettingsOfZnodesOver compares a service whose generator configuration is in its znode with one that has the same in its
// file: what is rendered comes of nothing else, and synapse 0.18.9 renders both alike.
func TestFiles_CarriesSettingsOfZnodesOver(t *testing.T) {
	t.Parallel()
	const (
		znode    = `{"haproxy":{"port":3210,"server_options":"check inter 2s rise 3 fall 2","listen":["mode http","option httpchk /health"],"backend_order":"asc","cookie_value_method":"hash"},"file_output":{}}`
		services = `{"services":{
"in_znode":{"discovery":{"method":"zookeeper","path":"/a","hosts":["zk1"]},"haproxy":{}},
"elsewhere":{"discovery":{"method":"zookeeper","path":"/a","hosts":["zk1"],"generator_config_path":"/b"},"haproxy":{}},
"in_file":{"discovery":{"method":"zookeeper","path":"/a","hosts":["zk1"],"generator_config_path":"disabled"},"haproxy":HAPROXY,"file_output":{}}},
"haproxy":{"config_file_path":"/h","reload_command":"r","global":["daemon"],"defaults":["mode http"]},"file_output":{"output_directory":"/f"}}`
	)
	inline, _, _ := strings.Cut(strings.TrimPrefix(znode, `{"haproxy":`), `,"file_output"`)
	o, err := migrate.Files(migrate.File{Name: "synapse.json", Data: []byte(strings.Replace(services, "HAPROXY", inline, 1))})
	if err != nil {
		t.Fatal(err)
	}
	c, err := config.ParseSynapse("synapse.toml", []byte(o.Synapse))
	if err != nil {
		t.Fatalf("%v\n%s", err, o.Synapse)
	}
	for i, want := range []string{"/a", "/b", ""} {
		if got := c.Services[i].Sources[0].Settings; got != want {
			t.Errorf("settings of %s are at %q, want %q", c.Services[i].Name, got, want)
		}
	}
	merged, err := c.Overlay(c.Services[0], znode)
	if err != nil {
		t.Fatal(err)
	}
	if want := c.Services[2]; !reflect.DeepEqual(merged.Service.HAProxy, want.HAProxy) || merged.Service.File != want.File || want.HAProxy.Port != 3210 {
		t.Errorf("in the znode:\n%+v\nin the file:\n%+v", merged.Service, want)
	}
	if notes := strings.Join(o.Notes, "\n"); !strings.Contains(notes, "settings.allow: ") {
		t.Errorf("notes:\n%s", notes)
	}
}
