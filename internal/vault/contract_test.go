package vault_test

import (
	"context"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"glia/config/secret"
	"glia/internal/testbed"
	"glia/internal/vault"
	"glia/internal/vault/vaulttest"
)

// server is a Vault, as its operator sees it.
type server interface {
	Address() string
	Put(path string, data map[string]string)
	AppRole(ttl time.Duration) (roleID, secretID string)
	Kubernetes() (role, jwt string)
	Token(ttl time.Duration) string
	Tokens() int
	Revoke() // all tokens but the root's
	Seal()
	Unseal()
}

var _ server = (*vaulttest.Server)(nil)

func TestKeeper_OverAnEmulator(t *testing.T) {
	t.Parallel()
	contract(t, func(t *testing.T) server { return vaulttest.Start(t) })
}

// front stands before a Vault, counts what is asked, and can be cut off.
type front struct {
	URL   string
	mu    sync.Mutex
	down  bool
	calls map[string]int
}

func stand(t *testing.T, s server) *front {
	u, err := url.Parse(s.Address())
	if err != nil {
		t.Fatal(err)
	}
	to := httputil.NewSingleHostReverseProxy(u)
	f := &front{calls: map[string]int{}}
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		f.calls[r.Method+" "+strings.TrimPrefix(r.URL.Path, "/v1/")]++
		down := f.down
		f.mu.Unlock()
		if down {
			panic(http.ErrAbortHandler) // the connection ends without an answer
		}
		to.ServeHTTP(w, r)
	}))
	t.Cleanup(web.Close)
	f.URL = web.URL
	return f
}

func (f *front) cut(down bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.down = down
}

func (f *front) count(call string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[call]
}

// bed is one Vault with a client of it.
type bed struct {
	*testing.T
	server
	*front
	dir string
	log *testbed.Log
}

func contract(t *testing.T, start func(*testing.T) server) {
	s := start(t)
	for _, tt := range []struct {
		name string
		run  func(*bed)
	}{
		{"logs in and reads", logsIn}, {"refusals are told", refusals}, {"renews its token", renews}, {"logs in again", logsInAgain},
		{"survives a start without Vault", startsWithout}, {"survives a seal", sealed}, {"keeps little, for itself", keepsLittle},
		{"certificates", certificates}, {"certificates are renewed", renewedCertificates},
		{"certificates that are published", publishedCertificates}, {"a published certificate that is no good", badPublished},
	} {
		ok := t.Run(tt.name, func(t *testing.T) {
			s.Put("kv/glia", map[string]string{"jira": "in version 2", "other": "not-wanted-canary"})
			s.Put("old/glia", map[string]string{"jira": "in version 1"})
			tt.run(&bed{t, s, stand(t, s), t.TempDir(), &testbed.Log{}})
		})
		if !ok {
			return // one server for all: what follows would only confuse
		}
	}
}

var (
	v2 = vault.Name{Path: "kv/data/glia", Key: "jira"}
	v1 = vault.Name{Path: "old/glia", Key: "jira"}
)

// appRole is a login with its secret id in a file.
func (b *bed) appRole(ttl time.Duration) vault.Login {
	role, id := b.AppRole(ttl)
	return vault.Login{By: vault.ByAppRole, RoleID: role, SecretID: b.file(id)}
}

func (b *bed) file(text string) secret.Ref {
	path := filepath.Join(b.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
		b.Fatal(err)
	}
	return secret.MustParse(path)
}

func (b *bed) options(l vault.Login, names ...vault.Name) vault.Options {
	return vault.Options{Address: b.front.URL, Login: l, Secrets: names, Refresh: time.Second, Dir: filepath.Join(b.dir, "vault"), Now: time.Now, Log: slog.New(slog.NewTextHandler(b.log, nil))}
}

func (b *bed) open(o vault.Options) *vault.Keeper {
	b.Helper()
	k, err := vault.Open(b.Context(), o)
	if err != nil {
		b.Fatal(err)
	}
	return k
}

// run runs a keeper until the test ends.
func (b *bed) run(o vault.Options) *vault.Keeper {
	b.Helper()
	k := b.open(o)
	ctx, stop := context.WithCancel(b.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = k.Run(ctx) }()
	b.Cleanup(func() { stop(); <-ended })
	return k
}

// until looks again and again for what must come true.
func (b *bed) until(what string, ok func() bool) {
	b.Helper()
	deadline := time.NewTimer(30 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			b.Fatalf("not within 30 s: %s; the log:\n%s", what, b.log)
		case <-tick.C:
		}
	}
}

func (b *bed) is(k *vault.Keeper, n vault.Name, want string) {
	b.Helper()
	if v, err := k.Secret(n.Path, n.Key); err != nil || v.Reveal() != want {
		b.Errorf("%s is %q, %v; want %q", n, v.Reveal(), err, want)
	}
}

func logsIn(b *bed) {
	before := b.Tokens()
	role, jwt := b.Kubernetes()
	for name, l := range map[string]vault.Login{
		"approle": b.appRole(time.Minute), "token": {By: vault.ByToken, Token: b.file(b.Token(time.Minute))},
		"kubernetes": {By: vault.ByKubernetes, Role: role, JWTFile: b.file(jwt).String()},
	} {
		k := b.open(b.options(l, v2, v1))
		b.is(k, v2, "in version 2")
		b.is(k, v1, "in version 1")
		if err := k.Ready(); err != nil {
			b.Errorf("%s: %v", name, err)
		}
		if _, err := k.Secret("kv/data/glia", "other"); err == nil {
			b.Errorf("%s: what nobody wanted was read", name)
		}
		k.Close(b.Context())
	}
	if after := b.Tokens(); after != before+1 { // the one that we were given
		b.Errorf("%d tokens are left of %d", after, before)
	}
}

func refusals(b *bed) {
	role, id := b.AppRole(time.Minute)
	b.Put("kv/deleted", nil)
	good := vault.Login{By: vault.ByAppRole, RoleID: role, SecretID: b.file(id)}
	b.open(b.options(good, v2)).Close(b.Context()) // what is kept must not be used against a no
	for _, tt := range []struct {
		login vault.Login
		name  vault.Name
		want  string
	}{
		{vault.Login{By: vault.ByAppRole, RoleID: role, SecretID: b.file("wrong-canary")}, v2, "log in by approle: vault answers 400: invalid role or secret ID"},
		{vault.Login{By: vault.ByToken, Token: b.file("hvs.wrong-canary")}, v2, "look at the token: vault answers 403"},
		{vault.Login{By: vault.ByToken, Token: secret.MustParse("/absent")}, v2, "/absent: no such file"},
		{vault.Login{By: vault.ByKubernetes, Role: "glia", JWTFile: "/absent"}, v2, "read the token of the pod"},
		{good, vault.Name{Path: "kv/data/glia", Key: "absent"}, "there is no text with the key absent"},
		{good, vault.Name{Path: "kv/data/absent", Key: "k"}, "read kv/data/absent: there is nothing"},
		{good, vault.Name{Path: "kv/data/deleted", Key: "k"}, "read kv/data/deleted: the newest version is deleted"},
	} {
		_, err := vault.Open(b.Context(), b.options(tt.login, tt.name))
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "canary") || strings.Contains(err.Error(), "\n") {
			b.Errorf("%v\nwant %q", err, tt.want)
		}
	}
}

func renews(b *bed) {
	k := b.run(b.options(b.appRole(2*time.Second), v2))
	b.until("the token is renewed twice", func() bool { return b.count("PUT auth/token/renew-self") >= 2 })
	if err := k.Ready(); err != nil {
		b.Error(err)
	}
}

func logsInAgain(b *bed) {
	k := b.run(b.options(b.appRole(time.Minute), v2))
	b.Put("kv/glia", map[string]string{"jira": "changed"})
	b.Revoke()
	b.until("the new value is read with a new token", func() bool { v, _ := k.Secret(v2.Path, v2.Key); return v.Is("changed") })
	if err := k.Ready(); err != nil {
		b.Error(err)
	}
	b.until("the change is told", func() bool { return strings.Contains(b.log.String(), "secret changed in vault") })
	if strings.Contains(b.log.String(), "changed\"\n") || strings.Contains(b.log.String(), "in version 2") {
		b.Errorf("the log tells the secret: %s", b.log)
	}
}

func startsWithout(b *bed) {
	o := b.options(b.appRole(time.Minute), v2)
	b.cut(true)
	if _, err := vault.Open(b.Context(), o); err == nil || !strings.Contains(err.Error(), "nothing usable is kept of kv/data/glia#jira") {
		b.Errorf("started with nothing: %v", err)
	}
	b.cut(false)
	b.open(o).Close(b.Context())
	b.cut(true)
	b.Put("kv/glia", map[string]string{"jira": "newer"})
	k := b.run(o)
	b.is(k, v2, "in version 2")
	if err := k.Ready(); err == nil || !strings.Contains(err.Error(), "is of no use since") || !strings.Contains(err.Error(), "secrets read at") {
		b.Errorf("ready: %v", err)
	}
	more := o
	more.Secrets = []vault.Name{v2, v1}
	if _, err := vault.Open(b.Context(), more); err == nil || !strings.Contains(err.Error(), "nothing usable is kept of old/glia#jira") {
		b.Errorf("started without one that was never read: %v", err)
	}
	late, other := o, o
	late.Now = func() time.Time { return time.Now().Add(8 * 24 * time.Hour) }
	other.Address = "http://127.0.0.1:1"
	for _, o := range []vault.Options{late, other} {
		if _, err := vault.Open(b.Context(), o); err == nil || !strings.Contains(err.Error(), "nothing usable is kept") {
			b.Errorf("what is too old or of another Vault is used: %v", err)
		}
	}
	b.cut(false)
	b.until("the new value is read", func() bool { v, _ := k.Secret(v2.Path, v2.Key); return v.Is("newer") })
	b.until("it is ready", func() bool { return k.Ready() == nil })
}

func sealed(b *bed) {
	o := b.options(b.appRole(time.Minute), v2)
	k := b.run(o)
	b.Seal()
	b.until("it says that Vault is sealed", func() bool {
		err := k.Ready()
		return err != nil && strings.Contains(err.Error(), "503: Vault is sealed") && strings.Contains(err.Error(), "secrets read at")
	})
	b.is(k, v2, "in version 2")
	again := b.open(o)
	b.is(again, v2, "in version 2")
	b.Unseal()
	b.until("it is ready", func() bool { return k.Ready() == nil })
}

func keepsLittle(b *bed) {
	l := b.appRole(time.Minute)
	o := b.options(l, v2)
	b.open(o)
	id, err := l.SecretID.Read()
	if err != nil {
		b.Fatal(err)
	}
	files := 0
	err = filepath.WalkDir(o.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if info.Mode().Perm()&0o077 != 0 {
			b.Errorf("%s has mode %04o", path, info.Mode().Perm())
		}
		if d.IsDir() {
			return nil
		}
		files++
		text, err := os.ReadFile(path)
		for what, never := range map[string]string{"a token": "hvs.", "the secret id": id.Reveal(), "what nobody wanted": "not-wanted-canary"} {
			if strings.Contains(string(text), never) {
				b.Errorf("%s has %s in it", path, what)
			}
		}
		return err
	})
	if err != nil || files == 0 {
		b.Fatal(files, err)
	}
	file := filepath.Join(o.Dir, "secrets.json")
	b.cut(true)
	for what, spoil := range map[string]func() error{
		"readable for all": func() error { return os.Chmod(file, 0o604) },
		"torn":             func() error { return os.WriteFile(file, []byte("{"), 0o600) },
	} {
		if err := spoil(); err != nil {
			b.Fatal(err)
		}
		if _, err := vault.Open(b.Context(), o); err == nil || !strings.Contains(err.Error(), "nothing usable is kept") {
			b.Errorf("%s: %v", what, err)
		}
	}
	if err := os.Chmod(o.Dir, 0o705); err != nil {
		b.Fatal(err)
	}
	if _, err := vault.Open(b.Context(), o); err == nil || !strings.Contains(err.Error(), "everybody on this host may enter") {
		b.Errorf("a folder for all: %v", err)
	}
}
