package config_test

import (
	"strconv"
	"strings"
	"testing"

	"glia/config"
)

func TestParse_Services(t *testing.T) {
	t.Parallel()
	const head = "[[service]]\nname = \"web\"\n"
	const static = "[[service.source]]\nmethod = \"static\"\nbackends = [\"a:1\"]\n"
	for text, want := range map[string]string{
		head + "[[service.source]]\nmethod = \"serf\"\n":                                                    "service.source.service: \"\" is not the name of a service",
		head + "[[service.source]]\nmethod = \"serf\"\nservice = \"web\"\n":                                 "name the RPC of an agent on this host",
		head + "[[service.source]]\nmethod = \"serf\"\nservice = \"web\"\nservers = [\"127.0.0.1:7373\"]\n": "",
		head + static:                                                            "",
		"[[service]]\nname = \"a b\"\n" + static:                                 `f.toml:2:1: service.name: "a b" can not be the name`,
		head + static + head + static:                                            "f.toml:7:1: service.name: there is another service web",
		head:                                                                     "service.source: is missing",
		head + "combine = \"first\"\n" + static:                                  `f.toml:3:1: service.combine: "first" is not known`,
		head + "filters = [\"az\"]\n" + static:                                   `f.toml:3:12: service.filters: "az" is no filter`,
		head + "default_servers = [\"a\"]\n" + static:                            `"a" is not host:port`,
		head + "file = true\n" + static:                                          "set files.directory",
		head + "panic_percent = 101\n" + static:                                  "want 0 to 100",
		head + static + "[service.haproxy]\nport = 70000\n":                      "f.toml:7:1: service.haproxy.port: 70000 is not possible",
		head + "[[service.source]]\nmethod = \"etcd\"\n":                         `service.source.method: "etcd" is not known`,
		head + "[[service.source]]\nmethod = \"zookeeper\"\npath = \"/a\"\n":     "service.source.servers: is missing",
		head + "[[service.source]]\nmethod = \"zookeeper\"\nservers = [\"z\"]\n": "is not the absolute path",
		head + "[[service.source]]\nmethod = \"dns\"\nbackends = [\"_x._tcp.example.com\"]\n":                 "",
		"[haproxy]\nconfig_file = \"/x\"\n":                                                                   "haproxy.global and haproxy.defaults are needed",
		"[haproxy]\nconfig_file = \"/x\"\nglobal = [\"a\"]\ndefaults = [\"b\"]\ncheck_command = [\"true\"]\n": "does not say where the file goes",
	} {
		_, err := config.ParseSynapse("f.toml", []byte(text))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s\ngot  %v\nwant %s", text, err, want)
		}
	}
}

func TestParsePlace(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"a:1": "|a|1|true", "n=a:1": "n|a|1|true", "[::1]:5": "|::1|5|true", "a": "|a|0|true", "a:0": "|a|0|false", "a b": "|a b|0|false", "": "||0|false", "a:x": "|a|0|false"} {
		name, host, port, ok := config.ParsePlace(in)
		if got := strings.Join([]string{name, host, strconv.Itoa(port), strconv.FormatBool(ok)}, "|"); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}
