package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"glia/config"
)

func TestParse_ServicesOfNerve(t *testing.T) {
	t.Parallel()
	const head = "[[service]]\nname = \"web\"\nport = 80\n"
	const place = "[[service.place]]\nregistry = \"consul\"\n"
	const serf = "[[service.place]]\nregistry = \"serf\"\n"
	const zk = "[[service.place]]\nservers = [\"zk\"]\npath = "
	const check = "[[service.check]]\ntype = "
	for _, c := range []struct{ text, want string }{
		{head + "weight = 0\nlabels = [\"a=b\", \"c=\"]\n" + place, ""},
		{head + zk + "\"/web\"", ""},
		{head + zk + "\"web\"", `f.toml:6:1: service.place.path: "web" is not the absolute path`},
		{head + zk + "\"/web\"\npath_encoding = true\nnumbered = false", "only when it is numbered"},
		{head, "service.place: is missing"},
		{strings.Replace(head, "web", "", 1) + place, `"" can not be the name of a service`},
		{strings.Replace(head, "80", "65536", 1) + place, "service.port: 65536"},
		{head + "weight = -2\n" + place, "f.toml:4:1: service.weight: -2 is not possible"},
		{head + "instance = \"a/b\"\n" + place, "it has a slash"},
		{head + "labels = [\"a\"]\n" + place, `"a" is not of the form label=value`},
		{head + "interval = \"1ms\"\n" + place, "1ms is too short"},
		{head + "rate_limit = {average_rate = -1}\n" + place, "service.rate_limit.average_rate: -1 is not possible"},
		{head + "rate_limit = {max_burst = 0}\n" + place, "service.rate_limit.max_burst: 0 is not possible"},
		{head + place + head + place, "there is another service web"},
		{head + "[[service.place]]\nregistry = \"etcd\"\n", `"etcd" is not one of "serf", "zookeeper" or "consul"`},
		{head + serf, ""},
		{head + serf + "service = \"web 3\"\n", `"web 3" can not be the name of a service in Serf`},
		{head + serf + strings.Replace(head, "web", "other", 1) + serf + "service = \"web\"\n", "another service is announced in Serf as web: give each its own, such as web_80"},
		{"registries = [\"consul\"]\n" + head + serf, `"serf" is not among the registries of nerve`},
		{head + "[[service.place]]\npath = \"/a\"\n", "service.place.servers: is missing"},
		{head + check + "\"ping\"\n" + place, `service.check.type: "ping" is not known`},
		{head + check + "\"exec\"\n" + place, "service.check.command: is missing"},
		{head + check + "\"unix\"\npath = \"s\"\n" + place, `"s" is not an absolute path`},
		{head + check + "\"tcp\"\nrise = 0\n" + place, "f.toml:6:1: service.check.rise: 0 is not possible"},
		{head + check + "\"http\"\nheaders = [\"x\"]\n" + place, `"x" is no header`},
		{head + check + "\"http\"\nuri = \"x\"\n" + place, `"x" is not possible: want a path`},
		{head + check + "\"http\"\n" + place, ""},
		{"services_dir = \"x\"", `services_dir: "x" is not an absolute path`},
	} {
		n, err := config.ParseNerve("f.toml", []byte(c.text))
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s\ngot  %v\nwant %s", c.text, err, c.want)
		}
		if err == nil && len(n.Services[0].Checks) > 0 && (n.Services[0].Checks[0].Rise != 1 || n.Services[0].Checks[0].URI != "/" || !n.Services[0].Checks[0].Verify) {
			t.Errorf("defaults: %+v", n.Services[0].Checks[0])
		}
	}
}

func TestLoadNerve_ReadsOneServiceAFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "services"), 0o700); err != nil {
		t.Fatal(err)
	}
	write("nerve.toml", "services_dir = \""+dir+"/services\"\n[[service]]\nname = \"a\"\nport = 1\n[[service.place]]\nregistry = \"consul\"\n", 0o600)
	write("services/web.toml", "port = 80\ninterval = \"2s\"\n[[check]]\ntype = \"tcp\"\n[[place]]\nregistry = \"consul\"\n", 0o600)
	write("services/.hidden.toml", "x", 0o600)
	write("services/README", "x", 0o600)
	n, err := config.LoadNerve(filepath.Join(dir, "nerve.toml"))
	if err != nil || len(n.Services) != 2 || n.Services[1].Name != "web" || time.Duration(n.Services[1].Interval) != 2*time.Second || n.Services[1].Checks[0].Type != "tcp" {
		t.Fatalf("%+v, %v", n.Services, err)
	}
	write("secret", "x", 0o604)
	write("services/bad.toml", "name = \"a\"\nport = 70000\n[[check]]\ntype = \"mysql\"\npassword_file = \""+dir+"/secret\"\n", 0o600)
	write("services/worse.toml", "port = \n", 0o600)
	_, err = config.LoadNerve(filepath.Join(dir, "nerve.toml"))
	for _, want := range []string{"bad.toml:2:1: port: 70000 is not possible", "there is another service a", "place: is missing", "bad.toml:5:1: check.password: everybody on this host", "worse.toml:1"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v\nwant %q", err, want)
		}
	}
}
