package vault_test

import (
	"bufio"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v4"
	"github.com/hashicorp/vault/api"

	"glia/internal/testbed"
)

// TestKeeper_OverARealVault runs the same contract over the server that GLIA_VAULT names; see make test-vault.
func TestKeeper_OverARealVault(t *testing.T) {
	binary := os.Getenv("GLIA_VAULT")
	if binary == "" {
		t.Skip("no vault is named in GLIA_VAULT: make test-vault builds one, which takes minutes")
	}
	contract(t, func(t *testing.T) server { return startReal(t, binary) })
}

// real is a development server of HashiCorp's. What its operator does must succeed.
type real struct {
	t      *testing.T
	root   *api.Client
	unseal string
	jwt    string
}

func startReal(t *testing.T, binary string) *real {
	t.Helper()
	addr := testbed.Addr(t)
	cmd := exec.Command(binary, "server", "-dev", "-dev-root-token-id=root", "-dev-no-store-token", "-dev-listen-address="+addr)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	s := &real{t: t}
	for lines := bufio.NewScanner(out); s.unseal == "" && lines.Scan(); {
		if key, ok := strings.CutPrefix(lines.Text(), "Unseal Key: "); ok {
			s.unseal = key
		}
	}
	go func() { // a full pipe would stop it
		b := make([]byte, 4096)
		for {
			if _, err := out.Read(b); err != nil {
				return
			}
		}
	}()
	if s.root, err = api.NewClient(&api.Config{Address: "http://" + addr}); err != nil {
		t.Fatal(err)
	}
	s.root.SetToken("root")
	s.mount("kv", map[string]string{"version": "2"})
	s.mount("old", map[string]string{"version": "1"}, "kv")
	s.mount("pki", nil)
	s.write("pki/root/generate/internal", map[string]any{"common_name": "test authority", "ttl": "24h"})
	s.write("pki/roles/glia", map[string]any{"allowed_domains": "example.org", "allow_subdomains": true, "allow_localhost": true, "allow_bare_domains": true, "allow_ip_sans": true, "max_ttl": "24h", "key_type": "ec", "key_bits": 256})
	s.write("sys/policies/acl/glia", map[string]any{"policy": `path "kv/data/*" { capabilities = ["read"] }
path "old/*" { capabilities = ["read"] }
path "pki/issue/glia" { capabilities = ["update"] }`})
	for _, method := range []string{"approle", "kubernetes"} {
		if err := s.root.Sys().EnableAuthWithOptions(method, &api.EnableAuthOptions{Type: method}); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func (s *real) mount(path string, options map[string]string, kind ...string) {
	s.t.Helper()
	if err := s.root.Sys().Mount(path, &api.MountInput{Type: append(kind, path)[0], Options: options}); err != nil {
		s.t.Fatal(err)
	}
}

func (s *real) write(path string, data map[string]any) *api.Secret {
	s.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; { // version 2 of the key-value engine is upgraded after its mount
		r, err := s.root.Logical().Write(path, data)
		if err == nil {
			return r
		}
		var e *api.ResponseError
		if !errors.As(err, &e) || e.StatusCode != 400 && e.StatusCode != 503 || time.Now().After(deadline) {
			s.t.Fatal(err)
		}
	}
}

func (s *real) Address() string { return s.root.Address() }

func (s *real) Put(path string, data map[string]string) {
	s.t.Helper()
	all := map[string]any{}
	for k, v := range data {
		all[k] = v
	}
	name, versioned := strings.CutPrefix(path, "kv/")
	if !versioned {
		s.write(path, all)
		return
	}
	if data == nil {
		all["k"] = "v"
	}
	s.write("kv/data/"+name, map[string]any{"data": all})
	if data == nil {
		if _, err := s.root.Logical().Delete("kv/data/" + name); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *real) AppRole(ttl time.Duration) (roleID, secretID string) {
	s.t.Helper()
	s.write("auth/approle/role/glia", map[string]any{"token_policies": "glia", "token_ttl": ttl.String(), "token_max_ttl": "1h"})
	role, err := s.root.Logical().Read("auth/approle/role/glia/role-id")
	if err != nil {
		s.t.Fatal(err)
	}
	id := s.write("auth/approle/role/glia/secret-id", nil)
	return role.Data["role_id"].(string), id.Data["secret_id"].(string) //nolint:forcetypeassert // Vault's own
}

// Kubernetes lets Vault ask a server of ours whether the token of a pod is genuine, as it asks that of a cluster.
func (s *real) Kubernetes() (role, token string) {
	s.t.Helper()
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			Spec struct {
				Token string `json:"token"`
			} `json:"spec"`
		}
		_ = json.NewDecoder(r.Body).Decode(&in)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(w).Encode(map[string]any{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "status": map[string]any{
			"authenticated": in.Spec.Token == s.jwt, "audiences": []string{"vault"}, "user": map[string]any{"username": "system:serviceaccount:storage:glia", "uid": "uid-1", "groups": []string{"system:serviceaccounts"}},
		}})
	}))
	s.t.Cleanup(web.Close)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		s.t.Fatal(err)
	}
	claims := jwt.MapClaims{
		"iss": "kubernetes/serviceaccount", "sub": "system:serviceaccount:storage:glia", "aud": []string{"vault"}, "exp": time.Now().Add(time.Hour).Unix(), "nbf": time.Now().Add(-time.Minute).Unix(), "iat": time.Now().Unix(),
		"kubernetes.io": map[string]any{"namespace": "storage", "serviceaccount": map[string]any{"name": "glia", "uid": "uid-1"}},
	}
	if s.jwt, err = jwt.NewWithClaims(jwt.SigningMethodRS256, claims).SignedString(key); err != nil {
		s.t.Fatal(err)
	}
	s.write("auth/kubernetes/config", map[string]any{"kubernetes_host": web.URL, "disable_local_ca_jwt": true, "token_reviewer_jwt": s.jwt})
	s.write("auth/kubernetes/role/glia", map[string]any{"bound_service_account_names": "glia", "bound_service_account_namespaces": "storage", "token_policies": "glia", "token_ttl": "1m"})
	return "glia", s.jwt
}

func (s *real) Token(ttl time.Duration) string {
	s.t.Helper()
	renewable := true
	r, err := s.root.Auth().Token().Create(&api.TokenCreateRequest{Policies: []string{"glia"}, TTL: ttl.String(), Renewable: &renewable})
	if err != nil {
		s.t.Fatal(err)
	}
	return r.Auth.ClientToken
}

// accessors are those of all tokens but the root's.
func (s *real) accessors() (out []any) {
	s.t.Helper()
	own, err := s.root.Auth().Token().LookupSelf()
	if err != nil {
		s.t.Fatal(err)
	}
	r, err := s.root.Logical().List("auth/token/accessors")
	if err != nil {
		s.t.Fatal(err)
	}
	for _, a := range r.Data["keys"].([]any) { //nolint:forcetypeassert // Vault's own
		if a != own.Data["accessor"] {
			out = append(out, a)
		}
	}
	return out
}

func (s *real) Tokens() int { return len(s.accessors()) }

func (s *real) Revoke() {
	s.t.Helper()
	for _, a := range s.accessors() {
		if err := s.root.Auth().Token().RevokeAccessor(a.(string)); err != nil { //nolint:forcetypeassert // Vault's own
			s.t.Fatal(err)
		}
	}
}

func (s *real) Seal() {
	s.t.Helper()
	if err := s.root.Sys().Seal(); err != nil {
		s.t.Fatal(err)
	}
}

func (s *real) Unseal() {
	s.t.Helper()
	if r, err := s.root.Sys().Unseal(s.unseal); err != nil || r.Sealed {
		s.t.Fatal(r, err)
	}
}

var _ server = (*real)(nil)
