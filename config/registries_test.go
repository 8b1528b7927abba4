package config_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"glia/config"
)

func TestRegistries_Errors(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`registries = []`:               `f.toml:1:1: registries: is empty: name at least one of "serf", "zookeeper" and "consul"`,
		`registries = ["serf", "serf"]`: `"serf" is named twice`,
		`registries = ["zookeper"]`:     `did you mean "zookeeper"?`,
		`registries = ["zookeeper"]`:    `zookeeper.servers: is missing`,
		"registries = [\"zookeeper\"]\n[zookeeper]\nservers = [\"a b\"]":                            `zookeeper.servers: "a b" is not the host`,
		"registries = [\"zookeeper\"]\n[zookeeper]\nservers = [\"a\"]\npath = \"/\"":                `zookeeper.path: "/" is not the absolute path`,
		"registries = [\"zookeeper\"]\n[zookeeper]\nservers = [\"a\"]\nuser = \"u\"":                `zookeeper.user: has no password`,
		"registries = [\"zookeeper\"]\n[zookeeper]\nservers = [\"a\"]\npassword_file = \"/p\"":      `zookeeper.password: is of no use without zookeeper.user`,
		"registries = [\"zookeeper\"]\n[zookeeper]\nservers = [\"a\"]\nca = \"/ca\"\ncert = \"/c\"": `set zookeeper.cert and zookeeper.key, or none`,
		"registries = [\"zookeeper\"]\n[zookeeper]\nservers = [\"a\"]\nsession_timeout = \"0s\"":    `zookeeper.session_timeout`,
		"registries = [\"consul\"]\n[consul]\naddress = \"a\"":                                      `consul.address: "a" is not host:port`,
		"registries = [\"consul\"]\n[consul]\npath = \"/glia\"":                                     `consul.path: "/glia" is not a prefix`,
		"registries = [\"consul\"]\n[consul]\ntoken_file = \"token\"":                               `consul.token: is no reference to a secret`,
		"registries = [\"consul\"]\n[consul]\ncert = \"/c\"\nkey = \"/k\"":                          `consul.cert: is of no use without consul.ca`,
	} {
		for _, program := range []string{"nerve", "synapse"} {
			got := lines(program, text)
			if !slices.ContainsFunc(got, func(l string) bool { return strings.Contains(l, want) }) {
				t.Errorf("%s, %q:\ngot  %q\nwant %q", program, text, got, want)
			}
		}
	}
}

func TestElection_Errors(t *testing.T) {
	t.Parallel()
	const postgres = "database = \"postgres://glia@/glia\"\n[election]\n"
	for text, want := range map[string]string{
		postgres + `by = "serf"`:      "Serf has no consensus, so it can not elect",
		postgres + `by = "zookeper"`:  `did you mean "zookeeper"?`,
		postgres + `by = "zookeeper"`: "zookeeper.servers: is missing",
		postgres + `name = ""`:        `election.name: "" is not the name of an election`,
		"[election]\nby = \"consul\"": "consul would elect among repairers that share no cases",
	} {
		got := lines("repairer", text)
		if !slices.ContainsFunc(got, func(l string) bool { return strings.Contains(l, want) }) {
			t.Errorf("%q:\ngot  %q\nwant %q", text, got, want)
		}
	}
}

func TestRegistries_Files(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(p, mode); err != nil {
			t.Fatal(err)
		}
		return p
	}
	open, empty, bad := write("open", "secret", 0o604), write("empty", "\n", 0o600), write("bad", "secret", 0o600)
	file := write("nerve.toml", `
registries = ["zookeeper", "consul"]
[zookeeper]
servers = ["a"]
user = "u"
password_file = "`+open+`"
ca = "`+bad+`"
[consul]
token_file = "`+empty+`"
`, 0o600)
	_, err := config.LoadNerve(file)
	if err == nil {
		t.Fatal("loaded")
	}
	for _, want := range []string{open + ", which holds a secret", bad + " has no PEM certificate", empty + " is empty"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if strings.Contains(err.Error(), `"secret"`) {
		t.Errorf("the secret is told: %v", err)
	}
}
