package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/BurntSushi/toml"

	"glia"
	"glia/config"
	"glia/config/secret"
)

// lines parses one of the programs' configurations and gives its errors, a line each.
func lines(program, text string) []string {
	var err error
	switch program {
	case "nerve":
		_, err = config.ParseNerve("f.toml", []byte(text))
	case "synapse":
		_, err = config.ParseSynapse("f.toml", []byte(text))
	case "repairer":
		_, err = config.ParseRepairer("f.toml", []byte(text))
	}
	if err == nil {
		return nil
	}
	return strings.Split(err.Error(), "\n")
}

func TestExamples_ShowEveryDefault(t *testing.T) {
	t.Parallel()
	for name, parse := range map[string]func(string, []byte) (got, want any, err error){
		"nerve.toml": func(n string, d []byte) (any, any, error) {
			c, err := config.ParseNerve(n, d)
			return c, config.DefaultNerve(), err
		},
		"synapse.toml": func(n string, d []byte) (any, any, error) {
			c, err := config.ParseSynapse(n, d)
			return c, config.DefaultSynapse(), err
		},
		"repairer.toml": func(n string, d []byte) (any, any, error) {
			c, err := config.ParseRepairer(n, d)
			return c, config.DefaultRepairer(), err
		},
	} {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		got, want, err := parse(name, data)
		if err != nil {
			t.Errorf("%s:\n%v", name, err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s differs from the defaults:\n got %+v\nwant %+v", name, got, want)
		}

		// With the settings that are commented out, it has every key of the schema, explained.
		full := regexp.MustCompile(`(?m)^#(\S)`).ReplaceAllString(string(data), "$1")
		if _, _, err := parse(name, []byte(full)); err != nil {
			t.Errorf("%s with all settings:\n%v", name, err)
		}
		var doc map[string]any
		md, err := toml.Decode(full, &doc)
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range schemaKeys(reflect.TypeOf(want), nil) {
			if !md.IsDefined(key...) && (!slices.Contains([]string{"pool", "domain", "window", "rule", "notify", "ceph", "smartctl", "jira", "haproxy", "service", "template"}, key[0]) || !strings.Contains(full, "\n"+key[len(key)-1]+" = ")) {
				t.Errorf("%s does not show %s", name, strings.Join(key, "."))
			}
		}
	}
}

func schemaKeys(t reflect.Type, above []string) (keys [][]string) {
	for i := range t.NumField() {
		f := t.Field(i)
		key := append(above[:len(above):len(above)], f.Tag.Get("toml"))
		switch {
		case f.Type == reflect.TypeFor[secret.Ref]():
			keys = append(keys, key)
		case f.Type.Kind() == reflect.Struct:
			keys = append(keys, schemaKeys(f.Type, key)...)
		case f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Struct:
			keys = append(keys, schemaKeys(f.Type.Elem(), key)...)
		default:
			keys = append(keys, key)
		}
	}
	return keys
}

func TestParse_ReportsEverythingAtOnce(t *testing.T) {
	t.Parallel()
	got := strings.Join(lines("nerve", `hots = "node-1"
[probe]
interval = 60
  intervall = "60s"   # typo
read = "yes"
expiry = "10 minutes"
fall = 3
[log]
level = "inof"
[prob]
x = 1
y = { z = 2 }
[serf]
join = ["a", 7]
bind = "nowhere"
[hand]
drain_hook = "nodetool drain"
`), "\n")
	want := `f.toml:1:1: hots: unknown key; did you mean "host"?
f.toml:3:1: probe.interval: want a duration such as "60s", got an integer
f.toml:4:3: probe.intervall: unknown key; did you mean "interval"?
f.toml:5:1: probe.read: want true or false, got a string
f.toml:6:1: probe.expiry: "10 minutes" is not a duration such as "60s"
f.toml:7:1: probe.fall: unknown key; it belongs to [judge]
f.toml:9:1: log.level: "inof" is not one of "debug", "info", "warn" or "error"; did you mean "info"?
f.toml:10:2: prob: unknown key; did you mean "probe"?
f.toml:14:14: serf.join: want a string, got an integer
f.toml:15:1: serf.bind: "nowhere" is not host:port, such as "127.0.0.1:7411" or "[::1]:7411"
f.toml:17:1: hand.drain_hook: want a list such as ["a", "b"], got a string`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestParse_SyntaxErrorHasItsPlace(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"[log]\nlevel = \n":                        "f.toml:2:9: ",
		"host = \"a\"\nhost = \"b\"\n":             "f.toml:2:1: Key 'host' has already been defined.",
		"host = \"ä\" x":                           "f.toml:1:11: ",
		"\xff\xfeh\x00":                            "f.toml:1:1: the file is in UTF-16; save it as UTF-8",
		"\ufeffhots = \"a\"":                       "f.toml:1:1: hots: unknown key",
		"state_dir = \"x\"\n[log]\nlevel = debug'": "f.toml:3:9: ",
	} {
		got := lines("nerve", text)
		if len(got) != 1 || !strings.HasPrefix(got[0], want) {
			t.Errorf("%q: got %q, want one that starts with %q", text, got, want)
		}
	}
}

func TestParse_RefusesEachBadValue(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ program, text, want string }{
		{"nerve", "[api]\nlisten = \"0.0.0.0:7411\"",
			"f.toml:2:1: api.listen: 0.0.0.0:7411 is reachable from other hosts, and without [tls] anybody there could order repairs: set tls.cert, tls.key and tls.ca, or listen on loopback"},
		{"nerve", "[[smartctl]]\ndevice = \"/dev/sda\"\ntypes = [\"megaraid,0\", \"sat+megaraid,1\", \"areca,2/1\", \"sat,auto\"]", ""},
		{"nerve", "[[smartctl]]\ntypes = [\"sat\"]", "f.toml:1:3: smartctl.device: is missing"},
		{"nerve", "[[smartctl]]\ndevice = \"sda\"\ntypes = [\"sat\"]", `f.toml:2:1: smartctl.device: "sda" is not the absolute path of a device below /dev`},
		{"nerve", "[[smartctl]]\ndevice = \"/dev/../etc\"\ntypes = [\"sat\"]", "is not the absolute path"},
		{"nerve", "[[smartctl]]\ndevice = \"/dev/sda\"", `smartctl.types: is missing: name what "smartctl -d" needs`},
		{"nerve", "[[smartctl]]\ndevice = \"/dev/sda\"\ntypes = [\"sat\", \"megraid,0\"]", `"megraid,0" is not a type of smartctl`},
		{"nerve", "[[smartctl]]\ndevice = \"/dev/sda\"\ntypes = [\"sat -s off\"]", `"sat -s off" is not a type of smartctl`},
		{"nerve", "[[smartctl]]\ndevice = \"/dev/sda\"\ntypes = [\"sat\", \"sat\"]", `"sat" is there twice`},
		{"nerve", "[[smartctl]]\ndevice = \"/dev/sda\"\ntypes = [\"sat\"]\n[[smartctl]]\ndevice = \"/dev/sda\"\ntypes = [\"auto\"]", "there is another [[smartctl]] for /dev/sda"},
		{"nerve", "probe.smart = false\n[[smartctl]]\ndevice = \"/dev/sda\"\ntypes = [\"sat\"]", "with probe.smart = false none is asked"},
		{"nerve", "[[smartctl]]\ndevice = \"/dev/sda\"\ntypes = [\"sat\"]\ntype = \"sat\"", "smartctl.type: unknown key"},
		{"nerve", "api.listen = \":7411\"", "f.toml:1:5: api.listen: :7411 is reachable from other hosts"},
		{"nerve", "api.listen = \"[::]:7411\"", "is reachable from other hosts"},
		{"nerve", "api.listen = \"[::1]:7411\"", ""},
		{"nerve", "api.listen = \"localhost:0\"", ""},
		{"nerve", "api.listen = \"127.3.2.1:7411\"", ""},
		{"nerve", "api.listen = \"node-1:7411\"", "is reachable from other hosts"},
		{"nerve", "api.listen = \"127.0.0.1:http\"", `is not host:port`},
		{"nerve", "api.listen = \"127.0.0.1:70000\"", `is not host:port`},
		{"nerve", "api.listen = \"0.0.0.0:1\"\n[tls]\ncert=\"/c\"\nkey=\"/k\"\nca=\"/a\"", "f.toml:1:5: api.listen: 0.0.0.0:1 is no address that others can call: set api.advertise"},
		{"nerve", "api.listen = \"0.0.0.0:1\"\napi.advertise = \"node-1:1\"\n[tls]\ncert=\"/c\"\nkey=\"/k\"\nca=\"/a\"", ""},
		{"nerve", "api.advertise = \"0.0.0.0:1\"", "f.toml:1:5: api.advertise: 0.0.0.0:1 is no address"},
		{"nerve", "[tls]\ncert = \"/c\"\nkey = \"/k\"", "f.toml:1:2: tls.ca: is missing: set all of tls.cert, tls.key and tls.ca, or none"},
		{"nerve", "[tls]\ncert = \"c\"\nkey = \"/k\"\nca = \"/a\"", "f.toml:2:1: tls.cert: \"c\" is not an absolute path"},
		{"nerve", "serf.rpc = \"10.0.0.1:7373\"", "f.toml:1:6: serf.rpc: 10.0.0.1:7373 is reachable from other hosts, and Serf's RPC has no TLS"},
		{"nerve", "serf.rpc = \"\"", ""},
		{"nerve", "serf.agent = \"127.0.0.1:7373\"\nserf.agent_key_file = \"/k\"\nserf.drop_in = \"/etc/serf/zzz_nerve_glia.json\"", ""},
		{"nerve", "serf.keyring_file = \"keys\"", "f.toml:1:6: serf.keyring_file: \"keys\" is not an absolute path"},
		{"nerve", "serf.keyring_file = \"/k\"\nserf.encrypt_key_file = \"/e\"", "serf.encrypt_key is set, too: name one of the two"},
		{"nerve", "serf.agent = \"10.0.0.1:7373\"", "f.toml:1:6: serf.agent: 10.0.0.1:7373 is another host, and Serf's RPC has no TLS: use the agent of this host"},
		{"synapse", "serf.agent = \"7373\"", "f.toml:1:6: serf.agent: \"7373\" is not host:port"},
		{"nerve", "serf.drop_in = \"/etc/serf/glia.json\"", "f.toml:1:6: serf.drop_in: is of no use without serf.agent"},
		{"nerve", "serf.agent = \"localhost:7373\"\nserf.drop_in = \"/etc/serf/glia\"", "f.toml:2:6: serf.drop_in: \"/etc/serf/glia\" is no file that serf reads: its name must end with .json"},
		{"nerve", "serf.agent = \"localhost:7373\"\nserf.agent_key_file = \"key\"", "f.toml:2:6: serf.agent_key: is no reference to a secret"},
		{"nerve", "serf.bind = \":7946\"", "serf.bind"},
		{"nerve", "serf.node = \"a b\"", "f.toml:1:6: serf.node: \"a b\" can not be a name"},
		{"nerve", "serf.join = [\"a\",\n \"b c\"]", "f.toml:2:2: serf.join: \"b c\" is not the host or host:port"},
		{"nerve", "serf.profile = \"lam\"", `one of "lan", "wan" or "local"; did you mean "lan"?`},
		{"nerve", "host = \"a/b\"", "can not be a name"},
		{"nerve", "state_dir = \"state\"", "is not an absolute path"},
		{"nerve", "debug.socket = \"/" + strings.Repeat("x", 107) + "\"", "at most 107 bytes, this one has 108"},
		{"nerve", "probe.interval = \"0s\"", "f.toml:1:7: probe.interval: 0s is not possible: want more than 0"},
		{"nerve", "probe.interval = \"10m\"", "f.toml:1:7: probe.interval: verdicts that expire after 10m would be unknown between two probes"},
		{"nerve", "probe.expiry = \"90s\"", "which are 1m30s"},
		{"nerve", "probe.expiry = \"91s\"", ""},
		{"nerve", "probe.read_samples = 0", "0 is not possible: want 1 to 4096"},
		{"nerve", `probe.latency_window = "2h"`, "2h is not possible: want 1s to 1h"},
		{"nerve", "judge.fall = 0", "0 is not possible: want at least 1"},
		{"nerve", "inventory.loop = [\"disks/*.img\"]", "is not an absolute path"},
		{"nerve", "probe.ceph_sockets = [\"run/{id}.asok\"]", "is not an absolute path"},
		{"nerve", "probe.ceph_sockets = [\"/run/ceph/*.asok\"]", "has no {id}"},
		{"nerve", "inventory.loop = [\"/disks/[.img\"]", "is not a pattern"},
		{"nerve", "inventory.ignore = [\"/dev/sda\"]", "f.toml:1:21: inventory.ignore: \"/dev/sda\" has a slash"},
		{"nerve", "hand.drain_hook = [\"\"]", "the program to run is empty"},
		{"nerve", "hand.mount_timeout = \"-1s\"", "-1s is not possible"},
		{"nerve", "hand.burn_in_mb = 0", "0 is not possible: want 1 to 4096"},
		{"nerve", "hand.locate_command = [\"\"]", "the program to run is empty"},
		{"nerve", "hand.ceph.manager = \"upstart\"", "want \"systemd\", \"runit\", \"command\""},
		{"nerve", "hand.ceph.manager = \"command\"", "want start_command"},
		{"nerve", "hand.ceph = {manager = \"runit\", service = \"ceph-osd-{id}\"}", "absolute"},
		{"nerve", "hand.ceph.conf = \"ceph.conf\"", "absolute"},
		{"nerve", "hand.ceph.command_prefix = [\"\"]", "the program to run is empty"},
		{"nerve", "hand.ceph.stop_timeout = \"0s\"", "hand.ceph.stop_timeout"},
		{"nerve", "access.others = \"all\"", `f.toml:1:8: access.others: "all" is not one of "none", "read", "operate" or "destroy"`},
		{"nerve", "access.read = [\"ann\"]", `f.toml:1:16: access.read: "ann" is for certificates, and [tls] is not set`},
		{"nerve", "access.read = [\"user:ann\"]", `"user:ann" is for clients of the unix socket, and api.socket is not set`},
		{"nerve", "api.socket = \"/run/x\"\naccess.read = [\"user:ann\", \"group:ops\"]\naccess.loopback = \"none\"", ""},
		{"nerve", "api.socket = \"/run/x\"\naccess.read = [\"user:ann\"]\naccess.destroy = [\"user:ann\"]", `f.toml:2:16: access.read: "user:ann" is in access.destroy, too`},
		{"nerve", "api.socket = \"x\"", `f.toml:1:5: api.socket: "x" is not an absolute path`},
		{"nerve", "access.requests = 0", "0 is not possible: want 1 to 100000"},
		{"nerve", "access.streams = 0", "0 is not possible: want 1 to 100000"},
		{"nerve", "hand.repairers = [\"r-1\"]", `f.toml:1:19: hand.repairers: without [tls] nobody can prove to be "r-1"`},
		{"nerve", "hand.repairers = [\"user:root\"]", `"user:root" is no name in a certificate`},
		{"nerve", "hand.repairers = [\"r-[\"]", "is not a pattern"},
		{"nerve", "hand.repairers = [\"spiffe://x/repairer\"]\naccess.others = \"read\"\n[tls]\ncert=\"/c\"\nkey=\"/k\"\nca=\"/a\"", ""},
		{"synapse", "api.listen = \"10.0.0.1:1\"", "anybody there could read the state of the fleet"},
		{"synapse", "fleet.max_age = \"35s\"", "which are 35s"},
		{"repairer", "mode = \"atuo\"", `f.toml:1:1: mode: "atuo" is not one of "observe", "propose" or "auto"; did you mean "auto"?`},
		{"repairer", "database = \"glia.db\"", "is not an absolute path"},
		{"repairer", "synapse = \"127.0.0.1:7412\"", "is not an address such as"},
		{"repairer", "synapse = \"http://10.0.0.1:7412\"", "could make healthy disks look bad"},
		{"repairer", "synapse = \"https://repair-1:7412\"", "asks for a certificate of ours"},
		{"repairer", "[tls]\ncert=\"/c\"\nkey=\"/k\"\nca=\"/a\"", "f.toml:1:2: tls: http://127.0.0.1:7412 would be called without TLS although [tls] is set: write https://127.0.0.1:7412"},
		{"repairer", "synapse = \"https://repair-1:7412\"\n[tls]\ncert=\"/c\"\nkey=\"/k\"\nca=\"/a\"", ""},
		{"repairer", "repair.verdicts = [\"failed\", \"unknown\"]", "f.toml:1:30: repair.verdicts: unknown never leads to a repair"},
		{"repairer", "repair.verdicts = [\"missing\"]", "missing never leads to a repair"},
		{"repairer", "repair.verdicts = [\"broken\"]", `"broken" is not a verdict; known are unknown`},
		{"repairer", "repair.verdicts = []", "nothing would ever be repaired"},
		{"repairer", "repair.retry_min = \"11m\"", "the longest wait, 10m, is shorter than the first one, 11m"},
		{"repairer", "repair.attempts = 0", "want at least 1"},
		{"repairer", "repair.remind_after = [\"24h\", \"12h\"]", "12h is not later than 24h before it"},
		{"repairer", "repair.remind_after = [\"0s\"]", "0s is not possible: want more than 0"},
		{"repairer", "repair.escalate_after = \"-1h\"", "-1h is not possible"},
		{"repairer", "limits.host = 0", "want at least 1"},
		{"repairer", "limits.fleet = 1.5", "want a whole number, got a float"},
		{"repairer", "limits.floor = 0", "want at least 1"},
		{"repairer", "limits.afr = 1", ""},
		{"repairer", "limits.afr = 1.5", "limits.afr: 1.5 is not possible: want more than 0, at most 1"},
		{"repairer", "limits.afr = nan", "want more than 0, at most 1"},
		{"repairer", "limits.afr = \"0.1\"", "limits.afr: want a number, got a string"},
		{"repairer", "gates.stop_file = \"STOP\"", "is not an absolute path"},
		{"repairer", "gates.hook = [\"\"]", "the program to run is empty"},
		{"repairer", "gates.storm_host_share = 0", "want more than 0, at most 1"},
		{"repairer", "gates.cohort_disks = 1", "1 disks have nothing in common"},
		{"repairer", "gates.breaker_starts = 0", "want at least 1"},
		{"repairer", "gates.storm_cooldown = \"1m\"", `did you mean "storm_cool_down"?`},
		{"repairer", "[[domain]]\nname = \"r\"\nhosts = [\"*\"]\n[[domain]]\nname = \"r\"\nhosts = [\"*\"]", "there is another domain with the name \"r\""},
		{"repairer", "[[domain]]\nname = \"r\"", "domain.hosts: is missing"},
		{"repairer", "[[window]]\nfrom = \"22:00\"\nto = \"04:00\"\npools = [\"default\"]\ndays = [\"sun\"]", ""},
		{"repairer", "[[window]]\nfrom = \"22:00\"\nto = \"24:00\"", `f.toml:3:1: window.to: "24:00" is not a time of the day`},
		{"repairer", "[[window]]\nfrom = \"22:00\"\nto = \"22:00\"", "the window ends when it begins"},
		{"repairer", "[[window]]\nfrom = \"22:00\"\nto = \"23:00\"\ndays = [\"monday\"]", `"monday" is not a day`},
		{"repairer", "[[window]]\nfrom = \"22:00\"\nto = \"23:00\"\npools = [\"x\"]", `there is no pool with the name "x"`},
		{"repairer", "[[pool]]\nname = \"a\"\nhosts = [\"*\"]\n[[pool]]\nhosts = [\"*\"]\nname = \"a\"", "f.toml:6:1: pool.name: there is another pool with the name \"a\""},
		{"repairer", "[[pool]]\nname = \"default\"\nhosts = [\"*\"]", "f.toml:2:1: pool.name: \"default\" is the pool of"},
		{"repairer", "[[pool]]\nname = \"a\"\n", "f.toml:1:3: pool.hosts: is missing"},
		{"repairer", "[[pool]]\nname = \"a\"\nhosts = [\"[\"]", "f.toml:3:10: pool.hosts: \"[\" is not a pattern"},
		{"repairer", "pool = [{name = \"a\", hosts = [\"*\"], drivr = \"x\"}]", `f.toml:1:37: pool.drivr: unknown key; did you mean "driver"?`},
		{"repairer", "[[pool]]\nname = \"a\"\nhosts = [\"*\"]\ndriver = \"zfs\"", `"zfs" is not one of "filesystem" or "ceph"`},
		{"repairer", "[[pool]]\nname = \"a\"\nhosts = [\"*\"]\ndriver = \"ceph\"", "f.toml:4:1: pool.driver: no cluster is named: add [[ceph]]"},
		{"repairer", cephText, ""},
		{"repairer", cephText + "fisd = \"x\"", `f.toml:4:1: ceph.fisd: unknown key; did you mean "fsid"?`},
		{"repairer", "[[ceph]]\nname = \"a\"", `f.toml:1:3: ceph.fsid: "" is no fsid: write what ceph fsid prints`},
		{"repairer", cephText + strings.Replace(cephText, "main", "other", 1), "f.toml:6:1: ceph.fsid: there is another cluster with the fsid"},
		{"repairer", cephText + "drains = 0", "f.toml:4:1: ceph.drains: 0 is not possible: want at least 1"},
		{"repairer", cephText + "margin = 1", "f.toml:4:1: ceph.margin: 1 is not possible: want 0 to less than 1"},
		{"repairer", cephText + "deny = [\"slow ops\"]", `f.toml:4:9: ceph.deny: "slow ops" is no health check`},
		{"repairer", cephText + "user = \"client glia\"", `f.toml:4:1: ceph.user: "client glia" can not be a name`},
		{"repairer", cephText + "conf = \"ceph.conf\"", `f.toml:4:1: ceph.conf: "ceph.conf" is not an absolute path`},
		{"repairer", "[[rule]]\nname = \"a\"", "f.toml:1:3: rule.mode: is missing: want observe"},
		{"repairer", "[[rule]]\nname = \"a\"\nmode = \"auto\"\npools = [\"x\"]", `there is no pool with the name "x"`},
		{"repairer", "[[rule]]\nname = \"a\"\nmode = \"auto\"\n[[rule]]\nmode = \"auto\"\nname = \"a\"\npools = [\"default\"]", "f.toml:6:1: rule.name: another [[rule]] before gives a its mode"},
		{"repairer", "approvals = 0", "f.toml:1:1: approvals: 0 is not possible: want 1 to 9"},
		{"repairer", "[[pool]]\nname = \"a\"\nhosts = [\"*\"]\ndestroy_approvals = 10", "f.toml:4:1: pool.destroy_approvals: 10 is not possible: want 0 to 9"},
		{"repairer", "[pool]\nname = \"a\"", "f.toml:1:2: pool: want a list of tables, got a table"},
		{"repairer", "[repair]\n[log]\nmode = \"auto\"", "f.toml:3:1: log.mode: unknown key; it belongs before the first [table]"},
	} {
		got := lines(tt.program, tt.text)
		if tt.want == "" && got != nil || tt.want != "" && (len(got) != 1 || !strings.Contains(got[0], tt.want)) {
			t.Errorf("%s %q:\n got %q\nwant %q", tt.program, tt.text, got, tt.want)
		}
	}
}

const cephText = "[[ceph]]\nname = \"main\"\nfsid = \"acb17ac3-8ba2-45a7-a7af-ef5493882225\"\n"

func TestParse_BrokenValueHidesItsConflicts(t *testing.T) {
	t.Parallel()
	got := lines("nerve", "probe.interval = \"1h\"\nprobe.expiry = 2\n")
	if len(got) != 1 || !strings.Contains(got[0], "want a duration") {
		t.Errorf("got %q", got)
	}
}

func TestParse_ReadsEveryKind(t *testing.T) {
	t.Parallel()
	r, err := config.ParseRepairer("f", []byte(`mode = "auto"
[repair]
verdicts = ["worn"]
settle = "1m30s"
attempts = 9
[[pool]]
name = "a"
hosts = ["a-*", "b"]
[[pool]]
name = "rest"
hosts = ["*-1"]
mode = "propose"
`))
	if err != nil {
		t.Fatal(err)
	}
	r.Resolve("unused")
	want := config.DefaultRepairer()
	want.Mode = config.ModeAuto
	want.API.Advertise = want.API.Listen
	want.Repair.Verdicts = []glia.State{glia.StateWorn}
	want.Repair.Settle = config.Duration(90 * time.Second)
	want.Repair.Attempts = 9
	want.Pools = []config.Pool{
		{Name: "a", Hosts: []string{"a-*", "b"}, Mode: config.ModeAuto, Driver: config.DriverFilesystem, Approvals: 1},
		{Name: "rest", Hosts: []string{"*-1"}, Mode: config.ModePropose, Driver: config.DriverFilesystem, Approvals: 1},
	}
	if !reflect.DeepEqual(r, want) {
		t.Errorf("got %+v\nwant %+v", r, want)
	}
	for host, pool := range map[string]string{"a-1": "a", "b": "a", "c-1": "rest", "c-2": config.DefaultPool} {
		if got := r.PoolOf(host); got.Name != pool {
			t.Errorf("host %s is in pool %s, want %s", host, got.Name, pool)
		}
	}
	if got := r.PoolOf("c-2").Mode; got != config.ModeAuto {
		t.Errorf("default pool has mode %q", got)
	}
}

func TestLoad_DropInsWinAndKeepTheirPlace(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	main := filepath.Join(dir, "repairer.toml")
	write(t, main, "mode = \"propose\"\n[limits]\nfleet = 7\n[[pool]]\nname = \"a\"\nhosts = [\"*\"]\n[[pool]]\nname = \"b\"\nhosts = [\"*\"]\n")
	write(t, filepath.Join(dir, "repairer.d/20-b.toml"), "mode = \"auto\"\n")
	write(t, filepath.Join(dir, "repairer.d/10-a.toml"), "mode = \"observe\"\n[limits]\nhost = 3\n[[pool]]\nname = \"c\"\nhosts = [\"*\"]\n")
	write(t, filepath.Join(dir, "repairer.d/30.toml.bak"), "nonsense")
	write(t, filepath.Join(dir, "repairer.d/.#20-b.toml"), "nonsense")
	r, err := config.LoadRepairer(main, config.Known{})
	if err != nil {
		t.Fatal(err)
	}
	if r.Mode != config.ModeAuto || r.Limits.Fleet != 7 || r.Limits.Host != 3 || len(r.Pools) != 1 || r.Pools[0].Name != "c" {
		t.Errorf("got %+v", r)
	}

	write(t, filepath.Join(dir, "repairer.d/10-a.toml"), "[limits]\n\nhost = 0\nfleeet = 1\n[[pool]]\nhosts = [\"*\"]\n")
	write(t, filepath.Join(dir, "repairer.d/20-b.toml"), "mode = 3\n")
	_, err = config.LoadRepairer(main, config.Known{})
	var errs *config.Errors
	if !errors.As(err, &errs) {
		t.Fatalf("got %v, want *config.Errors", err)
	}
	var got []string
	for _, p := range errs.Problems {
		got = append(got, strings.TrimPrefix(p.String(), dir+"/repairer.d/"))
	}
	want := []string{
		"10-a.toml:3:1: limits.host: 0 is not possible: want at least 1",
		`10-a.toml:4:1: limits.fleeet: unknown key; did you mean "fleet"?`,
		`10-a.toml:5:3: pool.name: "" is not the name of a pool`,
		`20-b.toml:1:1: mode: want one of "observe", "propose" or "auto", got an integer`,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestLoad_SyntaxErrorInOneFileStillShowsTheOthers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	main := filepath.Join(dir, "nerve.toml")
	write(t, main, "hots = 1\njudge.fall = 0\n")
	write(t, filepath.Join(dir, "nerve.d/a.toml"), "x = = 2\n")
	_, err := config.LoadNerve(main)
	got := strings.Split(strings.ReplaceAll(err.Error(), dir+"/", ""), "\n")
	if len(got) != 2 || !strings.HasPrefix(got[0], "nerve.toml:1:1: hots:") || !strings.HasPrefix(got[1], "nerve.d/a.toml:1:5: ") {
		t.Errorf("got %q", got)
	}
}

func TestLoad_FillsInWhatIsDerived(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "nerve.toml")
	write(t, path, "")
	n, err := config.LoadNerve(path)
	if err != nil {
		t.Fatal(err)
	}
	name, _ := os.Hostname()
	if n.Host != name || n.Serf.Node != name || n.API.Advertise != n.API.Listen {
		t.Errorf("got host %q, node %q, advertise %q", n.Host, n.Serf.Node, n.API.Advertise)
	}
	s := config.DefaultSynapse()
	s.Host, s.Serf.Node, s.API.Advertise = "h", "n", "a:1"
	s.Resolve("other")
	if s.Host != "h" || s.Serf.Node != "n" || s.API.Advertise != "a:1" {
		t.Errorf("what is set was changed: %+v", s)
	}
}

func TestLoad_RefusesWhatIsNoConfiguration(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	big := filepath.Join(dir, "big.toml")
	write(t, big, strings.Repeat("#\n", 1<<20))
	for path, want := range map[string]string{
		filepath.Join(dir, "none.toml"): "none.toml: no such file or directory",
		dir:                             "is not a regular file",
		big:                             "is larger than 1 MiB",
	} {
		_, err := config.LoadSynapse(path)
		var errs *config.Errors
		if !errors.As(err, &errs) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", path, err, want)
		}
	}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestLoadRepairer_TellsOfUnknownRules(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "repairer.toml")
	names := func(files []string) ([]string, error) {
		if slices.Contains(files, "/absent") {
			return nil, errors.New("open /absent: no such file")
		}
		return append([]string{"read-errors", "ata-pending"}, files...), nil
	}
	write(t, path, "[[rule]]\nname = \"ata-pendng\"\nmode = \"propose\"\n[[rule]]\nname = \"read-errors\"\nmode = \"auto\"\n[[rule]]\nmode = \"auto\"\nname = \"cosmic-rays\"\n")
	_, err := config.LoadRepairer(path, config.Known{Rules: names})
	want := path + ":2:1: rule.name: there is no rule with the name \"ata-pendng\"; did you mean \"ata-pending\"? Files with rules of your own belong into rule_files\n" +
		path + ":9:1: rule.name: there is no rule with the name \"cosmic-rays\"; is it one of read-errors, ata-pending? Files with rules of your own belong into rule_files"
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	write(t, path, "rule_files = [\"/site-rule\"]\n[[rule]]\nname = \"/site-rule\"\nmode = \"propose\"\n")
	if _, err = config.LoadRepairer(path, config.Known{Rules: names}); err != nil {
		t.Error("a rule of a site: ", err)
	}
	write(t, path, "rule_files = [\"/absent\", \"relative\"]\n")
	if _, err = config.LoadRepairer(path, config.Known{Rules: names}); err == nil || !strings.Contains(err.Error(), "no such file") && !strings.Contains(err.Error(), "absolute") {
		t.Error("files with rules that are not there: ", err)
	}
	write(t, path, "approvals = 2\n[[pool]]\nname = \"a\"\nhosts = [\"a\"]\n[[pool]]\nname = \"b\"\nhosts = [\"b\"]\napprovals = 1\n[[rule]]\nname = \"read-errors\"\nmode = \"auto\"\n")
	r, err := config.LoadRepairer(path, config.Known{Rules: names})
	if err != nil || r.PoolOf("a").Approvals != 2 || r.PoolOf("b").Approvals != 1 || r.PoolOf("c").Approvals != 2 || r.Rules[0].Mode != config.ModeAuto {
		t.Errorf("%+v, %v", r, err)
	}
}
