package config

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"os"
	"slices"
	"strings"
)

func (t TLS) checkFiles(c *check) {
	if !t.Enabled() {
		return
	}
	read := map[string][]byte{}
	for _, f := range t.files() {
		if data, ok := c.read(f.key, f.path, f.key == "tls.key"); ok {
			read[f.key] = data
		}
	}
	cert, key, ca := read["tls.cert"], read["tls.key"], read["tls.ca"]
	if cert != nil && key != nil {
		if _, err := tls.X509KeyPair(cert, key); err != nil {
			c.bad([]string{"tls.cert", "tls.key"}, "%s and %s are no pair: %s", t.Cert, t.Key, err)
		}
	}
	if ca != nil && !x509.NewCertPool().AppendCertsFromPEM(ca) {
		c.bad([]string{"tls.ca"}, "%s has no PEM certificate in it", t.CA)
	}
}

func (s Serf) checkFiles(c *check) {
	checkSecret(c, "serf.agent_key_file", s.AgentKeyFile)
	s.checkKeyring(c)
	if s.EncryptKeyFile == "" {
		return
	}
	data, ok := c.read("serf.encrypt_key_file", s.EncryptKeyFile, true)
	if !ok {
		return
	}
	if !gossipKey(string(data)) {
		c.bad([]string{"serf.encrypt_key_file"}, `%s is not base64 of 16, 24 or 32 bytes: make one with "serf keygen"`, s.EncryptKeyFile)
	}
}

func (s Serf) checkKeyring(c *check) {
	data, ok := c.read("serf.keyring_file", s.KeyringFile, true)
	if !ok {
		return
	}
	var keys []string
	if json.Unmarshal(data, &keys) != nil || len(keys) == 0 || slices.ContainsFunc(keys, func(k string) bool { return !gossipKey(k) }) {
		c.bad([]string{"serf.keyring_file"}, `%s is not a JSON list of keys as "serf keygen" prints them, such as ["…"]`, s.KeyringFile)
	}
}

// gossipKey says whether a text is a key of Serf. What it is instead is never shown.
func gossipKey(text string) bool {
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	n := len(key)
	return err == nil && (n == 16 || n == 24 || n == 32)
}

// read reads a small file that a key names. A secret must not be open to everybody on the host. What
// was refused as a value already is not looked at.
func (c *check) read(key, path string, secret bool) ([]byte, bool) {
	for _, p := range c.problems {
		if p.Key == key {
			return nil, false
		}
	}
	if path == "" {
		return nil, false
	}
	info, err := os.Stat(path)
	if err == nil && secret && info.Mode().Perm()&0o007 != 0 {
		c.bad([]string{key}, "everybody on this host may access %s, which holds a secret (mode %04o): run chmod 0600 %s", path, info.Mode().Perm(), path)
		return nil, false
	}
	data, err := readFile(path)
	if err != nil {
		c.bad([]string{key}, "%s: %s", path, cause(err))
		return nil, false
	}
	return data, true
}
