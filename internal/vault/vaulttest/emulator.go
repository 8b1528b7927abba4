// Package vaulttest is a Vault for tests: the endpoints that package vault uses, as HashiCorp's API documentation describes
// them (developer.hashicorp.com/vault/api-docs: auth/token, auth/approle, auth/kubernetes, secret/kv, secret/pki, and the
// status codes of api-docs/index). The contract in package vault's tests runs over it and over a real server.
package vaulttest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// Server is the emulator. It is safe for concurrent use.
type Server struct {
	URL string

	t testing.TB

	mu      sync.Mutex
	sealed  bool
	serial  int64
	tokens  map[string]*life
	secrets map[string]map[string]any // by path below /v1, without data/ of version 2
	roleID  string
	secret  string
	jwt     string
	caKey   *ecdsa.PrivateKey
	caCert  *x509.Certificate
	caPEM   string
	ttl     time.Duration // of tokens of logins
}

// life is how long a token may live. A zero end is never.
type life struct {
	ttl       time.Duration
	ends      time.Time
	renewable bool
	may       bool // read secrets
}

// Start starts one whose root token is "root".
func Start(t testing.TB) *Server {
	t.Helper()
	s := &Server{t: t, tokens: map[string]*life{"root": {may: true}}, secrets: map[string]map[string]any{}}
	s.makeCA()
	web := httptest.NewServer(s)
	t.Cleanup(web.Close)
	s.URL = web.URL
	return s
}

// Seal and Unseal are those of an operator.
func (s *Server) Seal() { s.set(func() { s.sealed = true }) }

// Unseal ends what Seal began.
func (s *Server) Unseal() { s.set(func() { s.sealed = false }) }

// Put sets a secret; kv/ is of version 2 and old/ of version 1. No data at all is a version that was deleted.
func (s *Server) Put(path string, data map[string]string) {
	s.set(func() {
		if data == nil {
			s.secrets[path] = nil
			return
		}
		all := map[string]any{}
		for k, v := range data {
			all[k] = v
		}
		s.secrets[path] = all
	})
}

// Address is that of the API.
func (s *Server) Address() string { return s.URL }

// AppRole makes a role whose tokens live for ttl, and returns what it logs in with.
func (s *Server) AppRole(ttl time.Duration) (roleID, secretID string) {
	s.set(func() { s.ttl = ttl; s.roleID, s.secret = "role-"+s.next(), "secret-id-"+s.next() })
	return s.roleID, s.secret
}

// Kubernetes makes a role for pods, and returns the token of one.
func (s *Server) Kubernetes() (role, jwt string) {
	s.set(func() { s.jwt = "jwt." + s.next() + ".x" })
	return "glia", s.jwt
}

// Token makes a token that may read.
func (s *Server) Token(ttl time.Duration) string {
	var id string
	s.set(func() { id = s.issue(ttl, true) })
	return id
}

// Revoke ends all tokens but the root's.
func (s *Server) Revoke() {
	s.set(func() { s.tokens = map[string]*life{"root": s.tokens["root"]} })
}

// Tokens are how many live beside the root's.
func (s *Server) Tokens() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.tokens) - 1
}

func (s *Server) set(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

func (s *Server) next() string {
	s.serial++
	return fmt.Sprintf("%04d-%s", s.serial, rand.Text())
}

func (s *Server) issue(ttl time.Duration, renewable bool) string {
	id := "hvs." + s.next()
	l := &life{ttl: ttl, renewable: renewable, may: true}
	if ttl > 0 {
		l.ends = time.Now().Add(ttl)
	}
	s.tokens[id] = l
	return id
}

// ServeHTTP is part of http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	path, ok := strings.CutPrefix(r.URL.Path, "/v1/")
	var in map[string]any
	if r.Body != nil && r.Method != http.MethodGet {
		_ = json.NewDecoder(r.Body).Decode(&in)
	}
	switch {
	case !ok:
		fail(w, http.StatusNotFound)
	case s.sealed:
		fail(w, http.StatusServiceUnavailable, "Vault is sealed")
	case r.Method == http.MethodPut && path == "auth/approle/login":
		if s.secret == "" || in["role_id"] != s.roleID || in["secret_id"] != s.secret {
			fail(w, http.StatusBadRequest, "invalid role or secret ID")
			return
		}
		s.admit(w, s.ttl, true)
	case r.Method == http.MethodPut && path == "auth/kubernetes/login":
		if s.jwt == "" || in["role"] != "glia" || in["jwt"] != s.jwt {
			fail(w, http.StatusForbidden, "permission denied")
			return
		}
		s.admit(w, s.ttl, true)
	default:
		s.inside(w, r, path, in)
	}
}

// inside serves those who have a token.
func (s *Server) inside(w http.ResponseWriter, r *http.Request, path string, in map[string]any) {
	id := r.Header.Get("X-Vault-Token")
	l := s.tokens[id]
	if l == nil || !l.ends.IsZero() && time.Now().After(l.ends) {
		delete(s.tokens, id)
		fail(w, http.StatusForbidden, "permission denied")
		return
	}
	switch {
	case r.Method == http.MethodGet && path == "auth/token/lookup-self":
		ttl := 0
		if !l.ends.IsZero() {
			ttl = int(time.Until(l.ends).Seconds())
		}
		answer(w, map[string]any{"data": map[string]any{"id": id, "ttl": ttl, "renewable": l.renewable}})
	case r.Method == http.MethodPut && path == "auth/token/renew-self":
		if !l.renewable {
			fail(w, http.StatusBadRequest, "lease is not renewable")
			return
		}
		l.ends = time.Now().Add(l.ttl)
		auth(w, id, l)
	case r.Method == http.MethodPut && path == "auth/token/revoke-self":
		delete(s.tokens, id)
		w.WriteHeader(http.StatusNoContent)
	case !l.may:
		fail(w, http.StatusForbidden, "1 error occurred:\n\t* permission denied\n\n")
	case r.Method == http.MethodPut && path == "pki/issue/glia":
		s.certify(w, in)
	case r.Method == http.MethodGet && strings.HasPrefix(path, "kv/data/"):
		data, ok := s.secrets["kv/"+strings.TrimPrefix(path, "kv/data/")]
		if !ok {
			fail(w, http.StatusNotFound)
			return
		}
		if data == nil {
			w.WriteHeader(http.StatusNotFound)
		}
		answer(w, map[string]any{"data": map[string]any{"data": data, "metadata": map[string]any{"version": 1, "deletion_time": "", "destroyed": false}}})
	case r.Method == http.MethodGet && strings.HasPrefix(path, "old/"):
		data, ok := s.secrets[path]
		if !ok {
			fail(w, http.StatusNotFound)
			return
		}
		answer(w, map[string]any{"lease_duration": 2764800, "data": data})
	default:
		fail(w, http.StatusNotFound, "no handler for route")
	}
}

func (s *Server) admit(w http.ResponseWriter, ttl time.Duration, renewable bool) {
	id := s.issue(ttl, renewable)
	auth(w, id, s.tokens[id])
}

func auth(w http.ResponseWriter, id string, l *life) {
	answer(w, map[string]any{"auth": map[string]any{"client_token": id, "renewable": l.renewable, "lease_duration": int(l.ttl.Seconds()), "policies": []string{"glia"}}})
}

func answer(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(body)
}

func fail(w http.ResponseWriter, status int, errors ...string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"errors": append([]string{}, errors...)})
}

func (s *Server) makeCA() {
	var err error
	if s.caKey, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		s.t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &s.caKey.PublicKey, s.caKey)
	if err != nil {
		s.t.Fatal(err)
	}
	s.caCert, s.caPEM = c, block("CERTIFICATE", der)
}

func block(kind string, der []byte) string {
	return strings.TrimSpace(string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})))
}

// certify signs for names below example.org, the names of this host, and any address.
func (s *Server) certify(w http.ResponseWriter, in map[string]any) {
	text := func(key string) string { t, _ := in[key].(string); return t }
	ttl, err := time.ParseDuration(text("ttl"))
	if err != nil {
		ttl = time.Hour
	}
	c := &x509.Certificate{
		Subject: pkix.Name{CommonName: text("common_name")}, NotBefore: time.Now().Add(-30 * time.Second), NotAfter: time.Now().Add(ttl),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for n := range strings.SplitSeq(text("alt_names"), ",") {
		if n != "localhost" && !strings.HasSuffix(n, ".example.org") && n != "" {
			fail(w, http.StatusBadRequest, fmt.Sprintf("subject alternate name %s not allowed by this role", n))
			return
		}
		if n != "" {
			c.DNSNames = append(c.DNSNames, n)
		}
	}
	for a := range strings.SplitSeq(text("ip_sans"), ",") {
		if ip := net.ParseIP(a); ip != nil {
			c.IPAddresses = append(c.IPAddresses, ip)
		}
	}
	s.serial++
	c.SerialNumber = big.NewInt(s.serial + 1)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		fail(w, http.StatusInternalServerError, err.Error())
		return
	}
	der, err := x509.CreateCertificate(rand.Reader, c, s.caCert, &key.PublicKey, s.caKey)
	if err != nil {
		fail(w, http.StatusInternalServerError, err.Error())
		return
	}
	k, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		fail(w, http.StatusInternalServerError, err.Error())
		return
	}
	answer(w, map[string]any{"data": map[string]any{
		"certificate": block("CERTIFICATE", der), "private_key": block("EC PRIVATE KEY", k), "private_key_type": "ec",
		"issuing_ca": s.caPEM, "ca_chain": []string{s.caPEM}, "expiration": c.NotAfter.Unix(), "serial_number": fmt.Sprint(c.SerialNumber),
	}})
}
