package daemon_test

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"glia/config"
	"glia/config/secret"
	"glia/internal/daemon"
	"glia/internal/testbed"
)

func TestTLS_BothSidesMustBeKnown(t *testing.T) {
	t.Parallel()
	ours, theirs := newAuthority(t), newAuthority(t)
	load := func(a *authority, ca string) *daemon.TLS {
		a.issue(a.dir+"/cert", a.dir+"/key")
		c, err := daemon.LoadTLS(a.dir+"/cert", secret.MustParse(a.dir+"/key"), ca, quiet)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	server := load(ours, ours.file)
	hello := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "hello") })
	addr, _, _ := serve(t, daemon.Server{Handler: hello, TLS: server.Server(), Log: quiet})

	ours.issue(ours.dir+"/cert2", ours.dir+"/key2")
	mistrust, err := daemon.LoadTLS(ours.dir+"/cert2", secret.MustParse(ours.dir+"/key2"), theirs.file, quiet)
	if err != nil {
		t.Fatal(err)
	}
	noCert, old := server.Client("127.0.0.1"), server.Client("127.0.0.1")
	noCert.Certificates = nil
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	for _, tt := range []struct {
		name   string
		client *tls.Config
		want   string
	}{
		{"one of ours", server.Client("127.0.0.1"), ""},
		{"a stranger who trusts us", load(theirs, ours.file).Client("127.0.0.1"), "unknown certificate authority"},
		{"one of ours who does not trust us", mistrust.Client("127.0.0.1"), "signed by unknown authority"},
		{"another name than we asked for", server.Client("127.0.0.2"), "not 127.0.0.2"},
		{"no certificate", noCert, "certificate required"},
		{"TLS 1.2", old, "protocol version"},
	} {
		if err := handshake(addr, tt.client); (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
}

// handshake connects and waits for the first byte, because in TLS 1.3 a client learns only by then that
// its certificate was refused.
func handshake(addr string, cfg *tls.Config) error {
	cfg.NextProtos = []string{"http/1.1"}
	conn, err := tls.Dial("tcp", addr, cfg)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET / HTTP/1.0\r\n\r\n"); err != nil {
		return err
	}
	_, err = conn.Read(make([]byte, 1))
	return err
}

func TestTLS_TakesUpChangedFilesAndKeepsTheLastGoodOnes(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	certFile, keyFile := filepath.Join(ca.dir, "cert"), filepath.Join(ca.dir, "key")
	first := ca.issue(certFile, keyFile)
	var log testbed.Log
	creds, err := daemon.LoadTLS(certFile, secret.MustParse(keyFile), ca.file, daemon.NewLogger(&log, config.LevelInfo, config.FormatText))
	if err != nil {
		t.Fatal(err)
	}
	serial := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, daemon.Fingerprint(r.TLS.PeerCertificates[0]))
	}
	addr, _, _ := serve(t, daemon.Server{Handler: http.HandlerFunc(serial), TLS: creds.Server(), Log: quiet})

	// call tells the fingerprints that server and client showed in a new connection.
	call := func() (server, client string) {
		c := daemon.HTTPClient(creds)
		defer c.CloseIdleConnections()
		resp, err := c.Get("https://" + addr)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return daemon.Fingerprint(resp.TLS.PeerCertificates[0]), string(body)
	}
	expect := func(when, want string) {
		t.Helper()
		if server, client := call(); server != want || client != want || creds.Fingerprint() != want {
			t.Errorf("%s: server %s, client %s, own %s, want %s", when, server, client, creds.Fingerprint(), want)
		}
	}
	sum := sha256.Sum256(first.Raw)
	expect("at first", hex.EncodeToString(sum[:]))

	second := daemon.Fingerprint(ca.issue(certFile, keyFile))
	expect("after a change", second)

	if err := os.WriteFile(certFile, []byte("half a certif"), 0o600); err != nil {
		t.Fatal(err)
	}
	expect("with a broken file", second)
	if err := os.Remove(keyFile); err != nil {
		t.Fatal(err)
	}
	expect("with a file missing", second)
	expect("and again", second)
	if n := strings.Count(log.String(), "can not be used"); n != 2 {
		t.Errorf("logged %d times, want once for each state of the files:\n%s", n, &log)
	}

	third := ca.issue(certFile, keyFile)
	if err := os.Chmod(keyFile, 0o604); err != nil {
		t.Fatal(err)
	}
	expect("with a key for everybody", second)
	if err := os.Chmod(keyFile, 0o600); err != nil {
		t.Fatal(err)
	}
	expect("once all is well", daemon.Fingerprint(third))

	// A changed authority shuts out those it did not issue.
	other := newAuthority(t)
	if err := os.Rename(other.file, ca.file); err != nil {
		t.Fatal(err)
	}
	c := daemon.HTTPClient(creds)
	defer c.CloseIdleConnections()
	if resp, err := c.Get("https://" + addr); err == nil {
		_ = resp.Body.Close()
		t.Error("the old authority is still trusted")
	}
}

func TestLoadTLS_SaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	at := func(name string) string { return filepath.Join(ca.dir, name) }
	ca.issue(at("cert"), at("key"))
	ca.issue(at("cert2"), at("key2"))
	if err := os.Chmod(at("key2"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ cert, key, ca, want string }{
		{"none", "key", "ca.pem", "none: no such file"},
		{"cert", "key", "key", "no PEM certificate in it"},
		{"cert2", "key", "ca.pem", "private key does not match public key"},
		{"cert2", "key2", "ca.pem", "everybody on this host may access"},
	} {
		_, err := daemon.LoadTLS(at(tt.cert), secret.MustParse(at(tt.key)), at(tt.ca), quiet)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: got %v", tt, err)
		}
	}
}
