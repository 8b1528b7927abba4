package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"glia/config/secret"
)

// ServiceCheck is one [[service.check]] of nerve.
type ServiceCheck struct {
	Type    string   `toml:"type"`
	Name    string   `toml:"name"` // empty: made of type and address
	Host    string   `toml:"host"` // empty: that of the service
	Port    int      `toml:"port"` // 0: that of the service
	Timeout Duration `toml:"timeout"`
	Rise    int      `toml:"rise"` // probes in a row, 1 to 1000
	Fall    int      `toml:"fall"`

	URI        string   `toml:"uri"`
	Headers    []string `toml:"headers"` // Name: value
	Expect     string   `toml:"expect"`
	Redirects  bool     `toml:"redirects"` // http and https: followed, up to ten
	TLS        bool     `toml:"tls"`       // grpc
	Verify     bool     `toml:"verify"`
	CA         string   `toml:"ca"`          // absolute; empty: those of the host
	ServerName string   `toml:"server_name"` // empty: the host

	User     string     `toml:"user"`
	Password secret.Ref `toml:"password" old:"password_file"`
	Database string     `toml:"database"`
	MaxLag   Duration   `toml:"max_lag"` // mysql-replication; 0 is any

	Send    string   `toml:"send"`    // udp
	Path    string   `toml:"path"`    // unix and ceph: of the socket
	Ask     string   `toml:"ask"`     // ceph
	Service string   `toml:"service"` // grpc
	Command []string `toml:"command"` // exec
}

// checkTypes are those that there are.
var checkTypes = []string{
	"tcp", "udp", "http", "https", "grpc", "redis", "rabbitmq", "mysql", "mysql-replication", "postgres", "zookeeper", "unix", "exec", "ceph", "noop",
}

func (k *ServiceCheck) setDefaults() {
	k.Timeout, k.Rise, k.Fall, k.URI, k.Verify, k.MaxLag, k.Ask = seconds(1), 1, 1, "/", true, minutes(5), "version"
}

// validate calls bad with what is wrong, by keys of the check.
func (k ServiceCheck) validate(bad func(key, format string, args ...any)) {
	absolute := func(key, name string) {
		if !filepath.IsAbs(name) {
			bad(key, "%q is not an absolute path", name)
		}
	}
	switch {
	case !slices.Contains(checkTypes, k.Type):
		bad("type", `%q is not known: want one of %s`, k.Type, strings.Join(checkTypes, ", "))
	case k.Type == "unix" || k.Type == "ceph":
		absolute("path", k.Path)
	case k.Type == "exec" && (len(k.Command) == 0 || k.Command[0] == ""):
		bad("command", "is missing: name the command as a list of words")
	}
	if k.Port < 0 || k.Port > 65535 {
		bad("port", "%d is not possible: want 0 for that of the service, or 1 to 65535", k.Port)
	}
	if k.Timeout <= 0 {
		bad("timeout", "%s is not possible: want more than 0", k.Timeout)
	}
	for key, n := range map[string]int{"rise": k.Rise, "fall": k.Fall} {
		if n < 1 || n > 1000 {
			bad(key, "%d is not possible: want 1 to 1000", n)
		}
	}
	if !strings.HasPrefix(k.URI, "/") {
		bad("uri", `%q is not possible: want a path, such as "/health"`, k.URI)
	}
	if i := slices.IndexFunc(k.Headers, func(h string) bool { name, _, ok := strings.Cut(h, ":"); return !ok || strings.TrimSpace(name) == "" }); i >= 0 {
		bad(element("headers", i), `%q is no header, such as "Host: web.example.com"`, k.Headers[i])
	}
	if k.CA != "" {
		absolute("ca", k.CA)
	}
	if k.MaxLag < 0 {
		bad("max_lag", "%s is not possible: want 0 for any, or more", k.MaxLag)
	}
}

// checkFiles calls bad with files that do not hold what they must, by keys of the service.
func (s AnnouncedService) checkFiles(bad func(key, format string, args ...any)) {
	for i, k := range s.Checks {
		at := element("check", i)
		if k.CA != "" {
			if _, err := os.Stat(k.CA); err != nil {
				bad(at+".ca", "%s: %s", k.CA, cause(err))
			}
		}
		if path, ok := k.Password.Path(); ok {
			if _, err := secret.ReadFile(path); err != nil {
				bad(at+".password", "%s", err)
			}
		}
	}
}
