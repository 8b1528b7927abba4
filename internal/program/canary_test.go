package program_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"glia/api/glia/v1/gliav1connect"
	"glia/config"
	"glia/internal/cli"
	"glia/internal/daemon"
	"glia/internal/program/nerved"
	"glia/internal/program/repairerd"
	"glia/internal/program/synapsed"
	"glia/internal/testbed"
	"glia/internal/vault/vaulttest"
)

// asProgram makes this test binary one of the three programs, with its flags, log, signals and children.
const asProgram = "GLIA_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	switch os.Getenv(asProgram) {
	case "nerve":
		os.Exit(daemon.Main(daemon.Program[config.Nerve]{
			Name: "nerve", Load: nerved.Load, Log: func(c config.Nerve) config.Log { return c.Log },
			Run: func(ctx context.Context, p *daemon.Process[config.Nerve]) error {
				return nerved.Run(ctx, p.Config, nerved.Parts{Inventory: noDisks{}, Prober: noDisks{}, Started: p.Ready}, p.Log)
			},
		}))
	case "synapse":
		os.Exit(daemon.Main(daemon.Program[config.Synapse]{
			Name: "synapse", Load: synapsed.Load, Log: func(c config.Synapse) config.Log { return c.Log },
			Run: func(ctx context.Context, p *daemon.Process[config.Synapse]) error {
				return synapsed.Run(ctx, p.Config, synapsed.Parts{Started: p.Ready}, p.Log)
			},
		}))
	case "repairer":
		os.Exit(daemon.Main(daemon.Program[config.Repairer]{
			Name: "repairer", Load: repairerd.Load, Log: func(c config.Repairer) config.Log { return c.Log },
			Run: func(ctx context.Context, p *daemon.Process[config.Repairer]) error {
				return repairerd.Run(ctx, p.Config, p.Ready, p.Log)
			},
		}))
	}
	os.Exit(m.Run())
}

// cage is a folder with programs whose every secret is a canary, and with servers that do all that can make a program say what it
// should not: they refuse, and repeat what they were told.
type cage struct {
	*testing.T
	dir      string
	echo     string // host:port
	nobody   string // host:port that nobody serves
	certs    testbed.Certs
	canaries map[string]string // by what they are
	env      []string
	kv       map[string]string // in each Vault

	mu   sync.Mutex
	seen map[string][]byte
}

func newCage(t *testing.T) *cage {
	c := &cage{T: t, dir: t.TempDir(), nobody: testbed.Addr(t), certs: testbed.NewCerts(t), canaries: map[string]string{}, seen: map[string][]byte{}}
	for _, d := range []string{"secrets", "kept", "out"} {
		if err := os.Mkdir(filepath.Join(c.dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		said := fmt.Sprintf("you sent %s %s %v %s", r.Method, r.URL, r.Header, body)
		if user, password, ok := r.BasicAuth(); ok {
			said += " as " + user + " with " + password
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnprocessableEntity)
		_ = json.NewEncoder(w).Encode(map[string]any{map[bool]string{true: "errorMessages", false: "errors"}[strings.HasPrefix(r.URL.Path, "/rest/")]: []string{said}}) // Jira, and Redmine
	}))
	t.Cleanup(web.Close)
	c.echo = web.Listener.Addr().String()
	key, err := os.ReadFile(c.certs.Key)
	if err != nil {
		t.Fatal(err)
	}
	c.canaries["TLS key"] = strings.Split(string(key), "\n")[1]
	gossip := base64.StdEncoding.EncodeToString([]byte("canary-of-gossip-0123456789abcde"))
	c.canaries["gossip key"] = gossip
	c.kv = map[string]string{"gossip": gossip, "jira": c.canary("Jira password"), "consul": c.canary("Consul token")}
	return c
}

func (c *cage) canary(what string) string {
	c.canaries[what] = "CANARY+of/" + strings.ReplaceAll(what, " ", "-") + "=" + hex.EncodeToString([]byte{byte(len(c.canaries)), 7, 42})
	return c.canaries[what]
}

// newVault is one for one program, with its section of the configuration.
func (c *cage) newVault(t *testing.T, id string) (*vaulttest.Server, string) {
	v := vaulttest.Start(t)
	role, secretID := v.AppRole(time.Minute)
	v.Put("kv/glia", c.kv)
	c.mu.Lock()
	c.canaries["secret id of "+id] = secretID
	c.mu.Unlock()
	return v, fmt.Sprintf("[vault]\naddress = %q\nrole_id = %q\nsecret_id = %q\nrefresh = \"1s\"\ndir = %q\n", v.URL, role, "file:"+c.file("secret-id-"+id, secretID), filepath.Join(c.dir, "kept", id))
}

// file is a secret in a file.
func (c *cage) file(name, text string) string {
	p := filepath.Join(c.dir, "secrets", name)
	if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
		c.Fatal(err)
	}
	return p
}

// variable is a secret in the environment of the programs.
func (c *cage) variable(name, what string) string {
	c.env = append(c.env, name+"="+c.canary(what))
	return "env:" + name
}

// keep keeps something that was to be seen, for the search.
func (c *cage) keep(where string, b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen[where] = append(c.seen[where], b...)
}

// output collects what a process says.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) bytes() []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	return bytes.Clone(o.b.Bytes())
}

func (c *cage) command(name, path string, flags ...string) (*exec.Cmd, *output) {
	self, err := os.Executable()
	if err != nil {
		c.Fatal(err)
	}
	out := &output{}
	cmd := exec.Command(self, append([]string{"-config", path}, flags...)...)
	cmd.Env = append(os.Environ(), asProgram+"="+name, "CREDENTIALS_DIRECTORY="+filepath.Join(c.dir, "secrets"))
	text, err := os.ReadFile(path)
	if err != nil {
		c.Fatal(err)
	}
	for _, v := range c.env { // none but its own: what is no secret of a program, it hands on
		if name, _, _ := strings.Cut(v, "="); bytes.Contains(text, []byte("env:"+name)) {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Stdout, cmd.Stderr = out, out
	return cmd, out
}

// live runs a program until it has said everything that is waited for, looks at all that it shows, and ends it.
func (c *cage) live(t *testing.T, name, id, text string, secure bool, said ...string) {
	addr, socket := testbed.Addr(t), filepath.Join(c.dir, id+".debug")
	vault, section := c.newVault(t, id)
	head, rest, _ := strings.Cut(text, "\n---\n") // keys of the root, and sections
	text = head + fmt.Sprintf("\n[log]\nlevel = \"debug\"\n[api]\nlisten = %q\n[debug]\nsocket = %q\n%s", addr, socket, section) + rest
	path := filepath.Join(c.dir, id+".toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	check, checked := c.command(name, path, "-check-config")
	if err := check.Run(); err != nil {
		t.Fatalf("%s: %v: %s", id, err, checked.bytes())
	}
	c.keep(id+" -check-config", checked.bytes())
	cmd, out := c.command(name, path)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	defer func() { c.keep(id+" log", out.bytes()) }()
	client, scheme := http.DefaultClient, "http"
	if secure {
		client, scheme = &http.Client{Transport: &http.Transport{TLSClientConfig: c.certs.Client(t, true)}}, "https"
	}
	ask := func(client *http.Client, method, url, body string) []byte {
		r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		answer, err := client.Do(r)
		if err != nil {
			return []byte(err.Error())
		}
		defer answer.Body.Close()
		b, _ := io.ReadAll(answer.Body)
		return b
	}
	get := func(client *http.Client, url string) []byte { return ask(client, http.MethodGet, url, "") }
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	wanted := [][]string{{"vault: ready"}, append(said, "vault answers 503: Vault is sealed")} // one after the other
	for len(wanted) > 0 {
		ready := get(client, scheme+"://"+addr+"/readyz")
		c.keep(id+" readyz", ready)
		now := string(out.bytes()) + string(ready) + string(ask(client, http.MethodPost, scheme+"://"+addr+gliav1connect.RepairServiceListCasesProcedure, "{}"))
		if !slices.ContainsFunc(wanted[0], func(s string) bool { return !strings.Contains(now, s) }) {
			wanted = wanted[1:]
			vault.Seal()
			continue
		}
		select {
		case err := <-ended:
			t.Fatalf("%s ended: %v\n%s", id, err, out.bytes())
		case <-deadline.C:
			_ = cmd.Process.Kill()
			<-ended
			t.Fatalf("%s has not said all of %q:\n%s", id, wanted[0], now)
		case <-tick.C:
		}
	}
	for _, page := range []string{"/metrics", "/healthz", "/", "/debug/pprof/cmdline"} {
		c.keep(id+" "+page, get(client, scheme+"://"+addr+page))
	}
	inside := &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", socket) }}}
	for _, page := range []string{"", "cmdline", "goroutine?debug=2", "heap?debug=1", "allocs?debug=1", "threadcreate?debug=1", "symbol"} {
		c.keep(id+" debug "+page, get(inside, "http://debug/debug/pprof/"+page))
	}
	c.bundle(t, name, id, scheme+"://"+addr, secure)
	if line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", cmd.Process.Pid)); err == nil {
		c.keep(id+" process list", line)
	}
	_ = cmd.Process.Signal(syscall.SIGHUP)
	_ = cmd.Process.Signal(syscall.SIGTERM)
	if err := <-ended; err != nil {
		t.Errorf("%s: %v\n%s", id, err, out.bytes())
	}
}

// bundle keeps what glia bundle collects of a program, with the configurations in dir.
func (c *cage) bundle(t *testing.T, name, id, url string, secure bool) {
	configs := filepath.Join(c.dir, "out", id+".configs")
	text, err := os.ReadFile(filepath.Join(c.dir, id+".toml"))
	if err = errors.Join(err, os.Mkdir(configs, 0o700), os.WriteFile(filepath.Join(configs, name+".toml"), text, 0o600)); err != nil {
		t.Fatal(err)
	}
	file, out := filepath.Join(c.dir, "out", id+".tgz"), &output{}
	args := []string{"bundle", file, "--configs", configs}
	for _, program := range []string{"nerve", "synapse", "repairer"} {
		at := "http://" + c.nobody
		if program == name {
			at = url
		}
		if secure {
			at = strings.Replace(at, "http://", "https://", 1)
		}
		args = append(args, "--"+program, at)
	}
	if secure {
		args = append(args, "--tls-cert", c.certs.Cert, "--tls-key", c.certs.Key, "--tls-ca", c.certs.CA)
	}
	if code := cli.Main(t.Context(), args, cli.Options{Out: out, Err: out, Env: func(string) string { return "" }}); code != cli.ExitDegraded {
		t.Errorf("glia bundle of %s: %d: %s", id, code, out.bytes())
	}
	c.keep(id+" glia bundle", out.bytes())
	all, err := exec.CommandContext(t.Context(), "tar", "-xzOf", file).Output()
	if err != nil || !bytes.Contains(all, []byte("go_goroutines")) || !bytes.Contains(all, []byte("[vault]")) {
		t.Errorf("the bundle of %s: %v\n%s", id, err, out.bytes())
	}
	c.keep(id+" bundle", all)
}

// search looks for every canary, in all its guises, in everything that was seen and in every file but those that secrets are kept in.
func (c *cage) search() {
	err := filepath.WalkDir(c.dir, func(path string, d fs.DirEntry, err error) error {
		switch rel, _ := filepath.Rel(c.dir, path); {
		case err != nil:
			return err
		case rel == "secrets" || rel == "kept": // kept is what [vault] says in its documentation
			return fs.SkipDir
		case d.Type().IsRegular():
			b, err := os.ReadFile(path)
			c.keep("file "+rel, b)
			return err
		}
		return nil
	})
	if err != nil {
		c.Fatal(err)
	}
	for what, secret := range c.canaries {
		guises := []string{secret, url.QueryEscape(secret), url.PathEscape(secret), hex.EncodeToString([]byte(secret)), strings.TrimRight(base64.StdEncoding.EncodeToString([]byte(secret)), "=")}
		guises = append(guises, base64.StdEncoding.EncodeToString([]byte("glia:"+secret)))
		for where, b := range c.seen {
			for _, g := range guises {
				if i := bytes.Index(b, []byte(g)); i >= 0 {
					c.Errorf("the %s is in %s: …%s…", what, where, b[max(0, i-200):min(len(b), i+len(g)+50)])
					break
				}
			}
		}
	}
	if len(c.seen) < 30 || len(c.canaries) < 10 {
		c.Errorf("%d places were searched for %d secrets", len(c.seen), len(c.canaries))
	}
}

func TestPrograms_ShowNoSecrets(t *testing.T) {
	t.Parallel()
	c := newCage(t)
	registries := fmt.Sprintf("[serf]\nbind = %q\nrpc = \"\"\nencrypt_key = \"vault:kv/data/glia#gossip\"\n[zookeeper]\nservers = [%q]\nuser = \"glia\"\npassword = %q\n[consul]\naddress = %q\ntoken = \"vault:kv/data/glia#consul\"\n",
		testbed.Addr(t), c.nobody, "file:"+c.file("zookeeper", c.canary("ZooKeeper password")), c.echo)
	c.file("postgres", c.canary("PostgreSQL password"))
	c.file("bot", c.canary("token of the bot"))
	c.file("hook", "http://"+c.echo+"/services/"+url.PathEscape(c.canary("path of the webhook")))
	c.file("other", "generic+http://"+c.echo+"/"+url.PathEscape(c.canary("path of the address"))+"?@X-Key="+url.QueryEscape(c.canary("header of the address")))
	environ := filepath.Join(c.dir, "out", "environ")
	mysql, told, database := c.variable("CANARY_MYSQL", "MySQL password"), c.variable("CANARY_CHANGED", "secret of those who tell"), c.variable("CANARY_DATABASE", "password of the database")
	t.Run("live", func(t *testing.T) {
		t.Run("nerve", func(t *testing.T) {
			t.Parallel()
			c.live(t, "nerve", "nerve", fmt.Sprintf("host = \"node-1\"\nstate_dir = %q\nregistries = [\"serf\", \"zookeeper\", \"consul\"]\n---\n", filepath.Join(c.dir, "state"))+registries+
				"[hand]\nenabled = false\n[tls]\ncert = \""+c.certs.Cert+"\"\nkey = \""+c.certs.Key+"\"\nca = \""+c.certs.CA+"\"\n"+
				fmt.Sprintf("[[service]]\nname = \"web\"\nport = 80\n[[service.place]]\nregistry = \"consul\"\n[[service.check]]\ntype = \"exec\"\ncommand = [\"/bin/sh\", \"-c\", \"cat /proc/self/environ > %s\"]\n"+
					"[[service.check]]\ntype = \"mysql\"\nhost = \"127.0.0.1\"\nport = 1\nuser = \"glia\"\npassword = %q\n[[service.check]]\ntype = \"postgres\"\nhost = \"127.0.0.1\"\nport = 1\nuser = \"glia\"\npassword = \"credential:postgres\"\n",
					environ, mysql), true, "consul: not ready", "zookeeper: not ready")
		})
		t.Run("synapse", func(t *testing.T) {
			t.Parallel()
			c.live(t, "synapse", "synapse", fmt.Sprintf("state_dir = %q\nregistries = [\"zookeeper\", \"consul\"]\n---\n", filepath.Join(c.dir, "state2"))+registries+
				"[[service]]\nname = \"web\"\n[[service.source]]\nmethod = \"consul\"\nservice = \"web\"\n", false, "consul: not ready", "zookeeper: not ready")
		})
		t.Run("jira", func(t *testing.T) {
			t.Parallel()
			c.live(t, "repairer", "jira", fmt.Sprintf("database = %q\nsynapse = \"http://%s\"\nmode = \"auto\"\n---\n[repair]\ntick = \"50ms\"\n[tracker]\nkind = \"jira\"\nchanged_secret = %q\n[jira]\nurl = \"http://%s\"\nproject = \"OPS\"\nuser = \"glia\"\npassword = \"vault:kv/data/glia#jira\"\n",
				filepath.Join(c.dir, "jira.db"), newBadHost(t).addr, told, c.echo), false, "Jira can not be asked", "you sent", "waits for the tracker: ")
		})
		t.Run("database", func(t *testing.T) {
			t.Parallel()
			c.live(t, "repairer", "database", fmt.Sprintf("database = \"postgres://glia@%s/glia?sslmode=disable\"\ndatabase_password = %q\n[lease]\nttl = \"2s\"\nrenew = \"500ms\"\n[election]\nby = \"consul\"\n---\n[consul]\naddress = %q\ntoken = \"vault:kv/data/glia#consul\"\n",
				c.nobody, database, c.echo)+fmt.Sprintf("[[notify]]\nname = \"bot\"\nkind = \"slack\"\nchannel = \"C1\"\napi = \"http://%s/api/\"\ntoken = \"credential:bot\"\n", c.echo)+
				"[[notify]]\nname = \"hook\"\nkind = \"slack-webhook\"\nwebhook = \"credential:hook\"\n[[notify]]\nname = \"other\"\nkind = \"shoutrrr\"\naddress = \"credential:other\"\n",
				false, "leader: not ready", "sink=bot", "sink=hook", "sink=other")
		})
	})
	for _, mistake := range []string{"database_password = \"" + c.canary("secret in the place of a reference") + "\"\ndatabase = \"postgres:///glia\"\n", "database = \"postgres://glia:" + c.canary("password in a URL") + "@db/glia\"\n"} {
		path := filepath.Join(c.dir, "secrets", "mistake.toml")
		if err := os.WriteFile(path, []byte(mistake), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd, out := c.command("repairer", path, "-check-config")
		if err := cmd.Run(); err == nil {
			t.Errorf("%s is taken", mistake)
		}
		c.keep("-check-config", out.bytes())
	}
	if b, err := os.ReadFile(environ); err != nil || !bytes.Contains(b, []byte("PATH=")) {
		t.Errorf("no command was run: %q, %v", b, err)
	}
	c.search()
}
