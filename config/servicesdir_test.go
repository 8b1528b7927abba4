package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"glia/config"
)

func TestLoadSynapse_ReadsItsFolderOfServices(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("synapse.toml", `services_dir = "`+dir+`/services"
[[service]]
name = "first"
[[service.source]]
method = "static"
backends = ["a:1"]
[[template]]
source = "`+dir+`/synapse.toml"
destination = "/x"
services = ["web"]
`)
	load := func() (config.Synapse, error) { return config.LoadSynapse(filepath.Join(dir, "synapse.toml")) }
	if _, err := load(); err == nil || !strings.Contains(err.Error(), "services_dir") {
		t.Errorf("a folder that is not there: %v", err)
	}
	if err := os.Mkdir(filepath.Join(dir, "services"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := load(); err == nil || !strings.Contains(err.Error(), "there is no service web") {
		t.Errorf("a template of a service that is nowhere: %v", err)
	}
	const source = "[[source]]\nmethod = \"static\"\nbackends = [\"b:2\"]\n"
	write("services/web.toml", source)
	write("services/other.toml", "name = \"called\"\n"+source)
	write("services/.swp.toml", "torn")
	c, err := load()
	var names []string
	for _, s := range c.Services {
		names = append(names, s.Name)
	}
	if got := strings.Join(names, " "); err != nil || got != "first called web" || !c.Services[2].KeepPrevious || c.Services[2].Sources[0].Interval == 0 {
		t.Errorf("%s, %v", got, err)
	}
	write("services/twice.toml", "name = \"first\"\n"+source+"[haproxy]\nport = 70000\n")
	write("services/torn.toml", "name = \n")
	_, err = load()
	for _, want := range []string{"twice.toml:1:1: name: there is another service first", "twice.toml:6:1: haproxy.port: 70000", "torn.toml:1:"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %s in %v", want, err)
		}
	}
}
