package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"glia/config"
	"glia/config/secret"
)

// sections are, for each secret that a configuration can name, the least that makes a program use it.
var sections = map[string]map[string]string{
	"nerve": {
		"vault.token":        "[vault]\naddress = \"https://v\"\nlogin = \"token\"\n",
		"vault.secret_id":    "[vault]\naddress = \"https://v\"\nrole_id = \"r\"\n",
		"tls.key":            "",
		"serf.encrypt_key":   "",
		"serf.agent_key":     "[serf]\nagent = \"127.0.0.1:7373\"\n",
		"zookeeper.password": "registries = [\"zookeeper\"]\n[zookeeper]\nservers = [\"z\"]\nuser = \"u\"\n",
		"zookeeper.key":      "registries = [\"zookeeper\"]\n[zookeeper]\nservers = [\"z\"]\nca = \"/ca\"\ncert = \"/cert\"\n",
		"consul.token":       "registries = [\"consul\"]\n",
		"consul.key":         "registries = [\"consul\"]\n[consul]\nca = \"/ca\"\ncert = \"/cert\"\n",

		"service.check.password": "[[service]]\nname = \"s\"\nport = 1\n[[service.check]]\ntype = \"mysql\"\n",
	},
	"repairer": {
		"vault.token":            "[vault]\naddress = \"https://v\"\nlogin = \"token\"\n",
		"vault.secret_id":        "[vault]\naddress = \"https://v\"\nrole_id = \"r\"\n",
		"tls.key":                "",
		"database_password":      "database = \"postgres:///glia\"\n",
		"zookeeper.password":     "database = \"postgres:///glia\"\nelection.by = \"zookeeper\"\n[zookeeper]\nservers = [\"z\"]\nuser = \"u\"\n",
		"zookeeper.key":          "database = \"postgres:///glia\"\nelection.by = \"zookeeper\"\n[zookeeper]\nservers = [\"z\"]\nca = \"/ca\"\ncert = \"/cert\"\n",
		"consul.token":           "database = \"postgres:///glia\"\nelection.by = \"consul\"\n",
		"consul.key":             "database = \"postgres:///glia\"\nelection.by = \"consul\"\n[consul]\nca = \"/ca\"\ncert = \"/cert\"\n",
		"tracker.changed_secret": "tracker.kind = \"script\"\nscript.command = [\"/bin/true\"]\n",
		"notify.token":           "[[notify]]\nname = \"a\"\nkind = \"slack\"\nchannel = \"c\"\n",
		"notify.webhook":         "[[notify]]\nname = \"a\"\nkind = \"slack-webhook\"\n",
		"notify.address":         "[[notify]]\nname = \"a\"\nkind = \"shoutrrr\"\n",
		"jira.password":          "tracker.kind = \"jira\"\n[jira]\nuser = \"u\"\nurl = \"https://j\"\nproject = \"P\"\n",
		"jira.token":             "tracker.kind = \"jira\"\n[jira]\nurl = \"https://j\"\nproject = \"P\"\n",
		"redmine.key":            "tracker.kind = \"redmine\"\n[redmine]\nurl = \"https://r\"\nproject = \"p\"\n",
		"webhook.secret":         "tracker.kind = \"webhook\"\n[webhook]\nurl = \"https://w\"\n",
	},
}

func load(program, path string) error {
	var err error
	switch program {
	case "nerve":
		_, err = config.LoadNerve(path)
	case "synapse":
		_, err = config.LoadSynapse(path)
	case "repairer":
		_, err = config.LoadRepairer(path, config.Known{})
	}
	return err
}

// TestLoad_RefusesEverySecretOfEverybody goes through the schemas, so that no secret is left out.
func TestLoad_RefusesEverySecretOfEverybody(t *testing.T) {
	t.Parallel()
	sections["synapse"] = sections["nerve"]
	dir := t.TempDir()
	open := filepath.Join(dir, "open")
	write(t, open, "hunter2")
	if err := os.Chmod(open, 0o604); err != nil {
		t.Fatal(err)
	}
	for program, schema := range map[string]any{"nerve": config.Nerve{}, "synapse": config.Synapse{}, "repairer": config.Repairer{}} {
		for _, name := range secretKeys(reflect.TypeOf(schema), "") {
			text, ok := sections[program][name]
			if !ok {
				t.Errorf("%s: the test does not know %s", program, name)
				continue
			}
			for _, ref := range []string{"file:" + open, open} {
				path := filepath.Join(dir, program+".toml")
				write(t, path, place(text, name, ref))
				if err := load(program, path); err == nil || !strings.Contains(err.Error(), name+": everybody on this host may access "+open) {
					t.Errorf("%s with %s = %q: %v", program, name, ref, err)
				}
			}
			path := filepath.Join(dir, program+".toml")
			write(t, path, place(text, name, "hunter2"))
			if err := load(program, path); err == nil || !strings.Contains(err.Error(), name+": is no reference to a secret") || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%s with %s as the secret itself: %v", program, name, err)
			}
		}
	}
}

// place puts a key into a text, in front of its tables or into the last of them.
func place(text, name, value string) string {
	if i := strings.LastIndex(name, "."); i > 0 && strings.Contains(text, "["+name[:i]+"]") {
		return text + fmt.Sprintf("%s = %q\n", name[i+1:], value)
	}
	return fmt.Sprintf("%s = %q\n", name, value) + text
}

func secretKeys(t reflect.Type, above string) (out []string) {
	for i := range t.NumField() {
		f := t.Field(i)
		name := strings.TrimPrefix(above+"."+f.Tag.Get("toml"), ".")
		switch {
		case f.Type == reflect.TypeFor[secret.Ref]():
			out = append(out, name)
		case f.Type.Kind() == reflect.Struct:
			out = append(out, secretKeys(f.Type, name)...)
		case f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Struct:
			out = append(out, secretKeys(f.Type.Elem(), name)...)
		}
	}
	return out
}

func TestParse_UnderstandsTheOldNamesOfSecrets(t *testing.T) {
	t.Parallel()
	const before = "database = \"postgres:///glia\"\n"
	r, err := config.ParseRepairer("f.toml", []byte(before+"database_password_file = \"/p\""))
	if err != nil || r.DatabasePassword != secret.MustParse("file:/p") {
		t.Errorf("read %v, %v", r.DatabasePassword, err)
	}
	both := strings.Join(lines("repairer", before+"database_password_file = \"/p\"\ndatabase_password = \"env:P\""), "\n")
	if want := "f.toml:2:1: database_password_file: is the old name of database_password, which is set, too: remove this one"; both != want {
		t.Errorf("got %q, want %q", both, want)
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "repairer.toml")
	write(t, path, before+"database_password_file = \"/absent\"\n")
	if err := os.Mkdir(filepath.Join(dir, "repairer.d"), 0o700); err != nil {
		t.Fatal(err)
	}
	later := filepath.Join(dir, "repairer.d", "a.toml")
	write(t, later, "database_password = \"/absent-too\"\n")
	if err := load("repairer", path); err == nil || err.Error() != later+":1:1: database_password: /absent-too: no such file or directory" {
		t.Errorf("a later file does not win, or is not named: %v", err)
	}
}
