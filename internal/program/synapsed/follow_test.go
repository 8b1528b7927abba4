package synapsed_test

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"glia/config"
	"glia/internal/program/synapsed"
)

// chance writes configurations of synapse.
type chance struct {
	*rand.Rand
	dir string
}

func (r chance) pick(list ...string) string { return list[r.IntN(len(list))] }

// text is a configuration whose outputs are below out. What it says depends on the seed alone.
func (r chance) text(out string) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("state_dir = %q\n[files]\ndirectory = %q", out+"/state", out+"/files")
	line("[haproxy]\nconfig_file = %q\ncheck_command = [\"true\", \"{file}\"]\nreload_command = [\"true\"]\nreload_interval = \"1ms\"", out+"/haproxy.cfg")
	line("global = [\"daemon\"]\ndefaults = [%s]", r.pick(`"mode http"`, `"mode http", "retries 2"`))
	if r.IntN(2) == 0 {
		line("[[haproxy.section]]\ntitle = \"listen stats\"\nlines = [\"bind 127.0.0.1:%d\"]", 3000+r.IntN(3))
	}
	names := []string{"a", "b", "c", "d"}
	r.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	names = names[:1+r.IntN(len(names))]
	for i, name := range names {
		line("[[service]]\nname = %q\nfile = %v\nbackend_port = %d", name, r.IntN(2) == 0, 80*r.IntN(2))
		line("default_servers = [%s]\nkeep_default_servers = %v", r.pick("", `"d=10.1.1.1:9"`), r.IntN(2) == 0)
		line("[service.haproxy]\ndisabled = %v\nport = %d\nserver_options = %q", r.IntN(4) == 0, (4000+i)*r.IntN(2), r.pick("check", "check inter 3s", ""))
		line("listen = [%s]\nbackend_order = %q\nhash_cookie = %v", r.pick("", `"mode tcp"`, `"balance leastconn"`), r.pick("asc", "desc", "no_shuffle"), r.IntN(2) == 0)
		for range 1 + r.IntN(2) {
			place := fmt.Sprintf("10.0.0.%d:%d", 1+r.IntN(3), 1000+r.IntN(3))
			if r.IntN(2) == 0 {
				line("[[service.source]]\nmethod = \"static\"\nbackends = [\"s=%s\"]", place)
			} else {
				line("[[service.source]]\nmethod = \"file\"\npath = %q", filepath.Join(r.dir, fmt.Sprintf("backends-%d.json", r.IntN(2))))
			}
		}
	}
	line("[[template]]\nsource = %q\ndestination = %q\nquiet = \"1ms\"\nservices = [%s]", r.dir+"/t.tmpl", out+"/made", r.pick("", fmt.Sprintf("%q", names[0])))
	return b.String()
}

var (
	ids  = regexp.MustCompile(` id \d+`)
	gone = regexp.MustCompile(`(?m)^\tserver .* disabled\n`)
)

// outputs is what is written, but for what a start can not know: ids that servers had before, and servers that are gone.
func outputs(dir string) string {
	var all []string
	paths, _ := filepath.Glob(dir + "/files/*.json")
	for _, p := range append(paths, dir+"/haproxy.cfg", dir+"/made") {
		b, err := os.ReadFile(p)
		if err != nil {
			return ""
		}
		text := gone.ReplaceAllString(ids.ReplaceAllString(string(b), ""), "")
		all = append(all, strings.TrimPrefix(p, dir)+":\n"+text)
	}
	slices.Sort(all)
	return strings.Join(all, "\n")
}

// TestFollow_AfterAReloadIsAsAfterAStart gives synapse one configuration by chance after the other, and compares with a start.
func TestFollow_AfterAReloadIsAsAfterAStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"backends-0.json": `[{"name":"f","host":"10.2.0.1","port":1}]`, "backends-1.json": `[{"name":"f","host":"10.2.0.1","port":1},{"name":"g","host":"10.2.0.2","port":2}]`,
		"t.tmpl": "{{range .Services}}{{.Name}}:{{range .Backends}} {{.Address}}{{end}}\n{{end}}",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	log := slog.New(slog.DiscardHandler)
	long := filepath.Join(dir, "long")
	load := func(seed uint64, out string) config.Synapse {
		t.Helper()
		if err := os.MkdirAll(out, 0o700); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(out, "synapse.toml")
		text := chance{rand.New(rand.NewPCG(seed, 0)), dir}.text(out) //nolint:gosec // not for secrets
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := synapsed.Load(file)
		if err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, text)
		}
		return c
	}
	first := rand.Uint64N(1 << 40)
	later := synapsed.Follow(t, load(first, long), log)
	for seed := first + 1; seed <= first+12; seed++ {
		if err := later(load(seed, long)); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		fresh := filepath.Join(dir, fmt.Sprint("fresh-", seed))
		synapsed.Follow(t, load(seed, fresh), log)
		for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			got, want := outputs(long), outputs(fresh)
			if got == want && got != "" {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("seed %d after %d (of %d):\n%s\nafter the reload:\n%s\nafter a start:\n%s", seed, seed-1, first, chance{rand.New(rand.NewPCG(seed, 0)), dir}.text(long), got, want) //nolint:gosec // not for secrets
			}
		}
	}
}
