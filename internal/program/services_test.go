package program_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"glia/config"
	"glia/internal/program/synapsed"
	"glia/internal/testbed"
)

// TestSynapse_BringsServicesIntoHAProxyAndFiles starts a whole synapse on two services: one that a file tells of, one that never changes.
func TestSynapse_BringsServicesIntoHAProxyAndFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	text := fmt.Sprintf(`state_dir = %q
[api]
listen = %q
[serf]
bind = %q
[haproxy]
config_file = %q
check_command = ["grep", "-q", "^backend web", "{file}"]
reload_command = ["touch", %q]
global = ["daemon"]
defaults = ["mode http"]
[files]
directory = %q
[[template]]
source = %q
destination = %q
quiet = "10ms"
[[service]]
name = "web"
filters = ["az=a"]
backend_port = 8080
file = true
[service.haproxy]
port = 3210
server_options = "check"
[[service.source]]
method = "file"
path = %q
[[service]]
name = "db"
[service.haproxy]
listen = ["mode tcp"]
[[service.source]]
method = "static"
backends = ["master=10.0.0.9:3306"]
`, at("state"), testbed.Addr(t), testbed.Addr(t), at("haproxy.cfg"), at("reloaded"), at("files"), at("hosts.tmpl"), at("hosts"), at("backends.json"))
	backends := `[{"name":"a","host":"10.0.0.1","port":1,"labels":{"az":"a"}},{"name":"b","host":"10.0.0.2","port":1,"labels":{"az":"b"}}]`
	for name, data := range map[string]string{"synapse.toml": text, "backends.json": backends, "hosts.tmpl": "{{range .Services}}{{range .Backends}}{{.Address}}\n{{end}}{{end}}"} {
		if err := os.WriteFile(at(name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := synapsed.Load(at("synapse.toml"))
	if err != nil {
		t.Fatal(err)
	}
	run(t, func(ctx context.Context, started func()) error {
		return synapsed.Run(ctx, c, synapsed.Parts{Started: started}, slog.New(slog.DiscardHandler))
	})
	for file, want := range map[string]string{
		"haproxy.cfg":    "frontend web\n\tbind localhost:3210\n\tdefault_backend web\n\nbackend web\n\tserver a_10.0.0.1:8080 10.0.0.1:8080 id 1 cookie a_10.0.0.1:8080 check\n\nbackend db\n\tmode tcp\n\tserver master_10.0.0.9:3306 10.0.0.9:3306 id 1 \n",
		"files/web.json": `[{"name":"a","host":"10.0.0.1","port":8080,"id":null,"weight":null,"haproxy_server_options":null,"labels":{"az":"a"}}]`,
		"reloaded":       "",
		"hosts":          "10.0.0.1:8080\n10.0.0.9:3306\n",
	} {
		var got []byte
		for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
			if got, err = os.ReadFile(at(file)); err == nil && strings.Contains(string(got), want) {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: %v\n%s", file, err, got)
			}
		}
	}
	if left, _ := os.ReadDir(at("files")); len(left) != 1 {
		t.Errorf("files: %v", left)
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		r, err := http.Get("http://" + c.API.Listen + "/metrics")
		if err == nil {
			_ = r.Body.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

func TestLoadSynapse_RendersBeforeItRuns(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "synapse.toml")
	if err := os.WriteFile(file, []byte(`[haproxy]
config_file = "/x/haproxy.cfg"
global = ["daemon"]
defaults = ["mode http"]
[[service]]
name = "web"
[service.haproxy]
listen = ["modehttp"]
[[service.source]]
method = "static"
backends = ["a:1"]
`), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := synapsed.Load(file)
	if bad := (*config.Errors)(nil); !errors.As(err, &bad) || !strings.Contains(err.Error(), `service web: "modehttp" is no directive whose place is known`) {
		t.Errorf("error %v", err)
	}
}
