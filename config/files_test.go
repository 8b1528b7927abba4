package config_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"glia/config"
)

func TestLoad_ChecksTheFilesItNames(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	pair(t, at("cert"), at("key"))
	pair(t, at("other-cert"), at("other-key"))
	pair(t, at("open-cert"), at("open-key"))
	write(t, at("empty"), "")
	write(t, at("serf-good"), "h8W1ed2p0MxBv8Zk0aDqJQ==\n")
	write(t, at("serf-bad"), "secret-passphrase")
	write(t, at("serf-open"), "h8W1ed2p0MxBv8Zk0aDqJQ==\n")
	for _, open := range []string{"open-key", "serf-open"} {
		if err := os.Chmod(at(open), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct{ name, cert, key, ca, serf, want string }{
		{"all good", "cert", "key", "cert", "serf-good", ""},
		{"no key", "cert", "none", "cert", "serf-good", ":3:1: tls.key: " + at("none") + ": no such file or directory"},
		{"a directory", "cert", "key", ".", "serf-good", ":4:1: tls.ca: " + dir + ": is not a regular file"},
		{"key for all", "open-cert", "open-key", "cert", "serf-good", ":3:1: tls.key: everybody on this host may access " + at("open-key") + ", which holds a secret (mode 0644): run chmod 0600 "},
		{"another key", "cert", "other-key", "cert", "serf-good", ":2:1: tls.cert: " + at("cert") + " and " + at("other-key") + " are no pair: "},
		{"empty authority", "cert", "key", "empty", "serf-good", ":4:1: tls.ca: " + at("empty") + " has no PEM certificate in it"},
		{"serf key for all", "cert", "key", "cert", "serf-open", ":6:1: serf.encrypt_key: everybody on this host may access"},
		{"no serf key", "cert", "key", "cert", "serf-bad", ":6:1: serf.encrypt_key: " + at("serf-bad") + ` is not base64 of 16, 24 or 32 bytes: make one with "serf keygen"`},
	} {
		path := at(tt.name + ".toml")
		write(t, path, "[tls]\ncert = \""+at(tt.cert)+"\"\nkey = \""+at(tt.key)+"\"\nca = \""+at(tt.ca)+"\"\n[serf]\nencrypt_key_file = \""+at(tt.serf)+"\"\n")
		_, err := config.LoadSynapse(path)
		switch {
		case err == nil && tt.want == "":
		case err == nil || tt.want == "":
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		case strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), path+tt.want):
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		case strings.Contains(err.Error(), "passphrase"):
			t.Errorf("%s: the secret is shown", tt.name)
		}
	}
}

// pair writes a self-signed certificate and its key.
func pair(t *testing.T, cert, key string) {
	t.Helper()
	priv, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, priv.Public(), priv)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(priv)
	if err != nil {
		t.Fatal(err)
	}
	write(t, cert, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	write(t, key, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})))
}
