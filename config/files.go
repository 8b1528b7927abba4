package config

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"

	"glia/config/secret"
)

func (t TLS) checkFiles(c *check) {
	if !t.Enabled() {
		return
	}
	cert, _ := c.read("tls.cert", t.Cert, false)
	key, _ := c.secret("tls.key", t.Key)
	ca, _ := c.read("tls.ca", t.CA, false)
	if cert != nil && !key.IsZero() {
		if _, err := tls.X509KeyPair(cert, []byte(key.Reveal())); err != nil {
			c.bad([]string{"tls.cert", "tls.key"}, "%s and %s are no pair: %s", t.Cert, t.Key, err)
		}
	}
	if ca != nil && !x509.NewCertPool().AppendCertsFromPEM(ca) {
		c.bad([]string{"tls.ca"}, "%s has no PEM certificate in it", t.CA)
	}
}

func (s Serf) checkFiles(c *check) {
	checkSecret(c, "serf.agent_key", s.AgentKey)
	s.checkKeyring(c)
	if key, ok := c.secret("serf.encrypt_key", s.EncryptKey); ok && !gossipKey(key.Reveal()) {
		c.bad([]string{"serf.encrypt_key"}, `%s is not base64 of 16, 24 or 32 bytes: make one with "serf keygen"`, s.EncryptKey)
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
func (c *check) read(key, path string, isSecret bool) ([]byte, bool) {
	if path == "" || c.refused(key) {
		return nil, false
	}
	if isSecret {
		data, err := secret.ReadFile(path)
		if err != nil {
			c.bad([]string{key}, "%s", err)
		}
		return data, err == nil
	}
	data, err := readFile(path)
	if err != nil {
		c.bad([]string{key}, "%s: %s", path, cause(err))
		return nil, false
	}
	return data, true
}

// secret reads a secret that is in a file of this host. Variables, credentials and Vault are those of the daemon, and whoever
// checks a configuration may have none of them: the daemon reads them when it starts.
func (c *check) secret(key string, r secret.Ref) (secret.Value, bool) {
	if _, _, elsewhere := r.Vault(); elsewhere || r.IsZero() || c.refused(key) {
		return secret.Value{}, false
	}
	if _, ok := r.Path(); !ok {
		return secret.Value{}, false
	}
	v, err := r.Read()
	if err != nil {
		c.bad([]string{key}, "%s", err)
	}
	return v, err == nil
}

func checkSecret(c *check, key string, r secret.Ref) { c.secret(key, r) }

// refused says whether a value was refused already.
func (c *check) refused(key string) bool {
	return slices.ContainsFunc(c.problems, func(p Problem) bool { return p.Key == plainKey(key) })
}
