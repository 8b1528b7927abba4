package program

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"glia/config"
	"glia/config/secret"
	"glia/internal/vault"
)

// Secrets is where a program has its secrets from, beside files; the zero value is that of one without a Vault.
type Secrets struct {
	keeper *vault.Keeper
	stop   func()
}

// OpenSecrets takes secrets out of the environment, reads what the configuration wants of Vault, binds its references, and lets tls name the files of the certificate that Vault
// issues. It keeps all that fresh until it is closed. into is the whole configuration, by a pointer.
func OpenSecrets(ctx context.Context, into any, v config.Vault, t *config.TLS, api config.API, host string, log *slog.Logger) (Secrets, error) {
	secret.TakeEnvironment(into)
	if !v.Used() {
		return Secrets{}, nil
	}
	way, err := Outward(v.Proxy, v.CA)
	if err != nil {
		return Secrets{}, fmt.Errorf("vault: %w", err)
	}
	o := vault.Options{
		Address: v.Address, Namespace: v.Namespace, Transport: way, Refresh: time.Duration(v.Refresh), Dir: v.Dir, Keep: time.Duration(v.Keep), Now: time.Now, Log: log,
		Login: vault.Login{By: string(v.Login), Mount: v.Mount, Token: v.Token, RoleID: v.RoleID, SecretID: v.SecretID, Role: v.Role, JWTFile: v.JWTFile},
	}
	seen := map[vault.Name]bool{}
	for _, r := range secret.Refs(into) {
		if path, key, ok := r.Vault(); ok && !seen[vault.Name{Path: path, Key: key}] {
			n := vault.Name{Path: path, Key: key}
			seen[n], o.Secrets = true, append(o.Secrets, n)
		}
	}
	if t.Vault != "" {
		o.Certificate = &vault.Certificate{Path: t.Vault, Name: host, Names: append(names(api), v.Names...), TTL: time.Duration(v.TTL)}
		if t.Published() {
			o.Certificate.Path, o.Certificate.Published = t.Vault+"/"+host, true
		}
	}
	k, err := vault.Open(ctx, o)
	if err != nil {
		return Secrets{}, err
	}
	secret.Bind(into, k)
	if t.Vault != "" {
		t.Cert, t.Key = k.CertFile(), secret.MustParse(k.CertFile())
		if t.CA == "" {
			t.CA = k.CAFile()
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() { defer close(ended); _ = k.Run(ctx) }() // it ends with the context, and never by an error
	return Secrets{k, sync.OnceFunc(func() {
		cancel()
		<-ended
		k.Close(context.WithoutCancel(ctx))
	})}, nil
}

// names are those under which the API is called.
func names(api config.API) []string {
	host, _, err := net.SplitHostPort(api.Advertise)
	if err != nil || host == "" {
		return nil
	}
	return []string{host}
}

// Hostname is that of this host, for a program whose configuration has none.
func Hostname() string {
	name, _ := os.Hostname() // without one, Vault says that the certificate has no name
	return name
}

// Close ends the renewals.
func (v Secrets) Close() {
	if v.keeper != nil {
		v.stop()
	}
}

// Checks are the readiness checks.
func (v Secrets) Checks(s *Shell) []func(context.Context) error {
	if v.keeper == nil {
		return nil
	}
	return []func(context.Context) error{s.Watch("vault", v.keeper.Ready)}
}

// Names adds the name of the readiness check.
func (v Secrets) Names(more ...string) []string {
	if v.keeper != nil {
		more = append(more, "vault")
	}
	return more
}

// Bind lets a later configuration be read. What it names anew in Vault is read after a restart.
func (v Secrets) Bind(into any) {
	secret.TakeEnvironment(into)
	if v.keeper != nil {
		secret.Bind(into, v.keeper)
	}
}
