// Package vault reads secrets from HashiCorp Vault, and gets the certificate of this host from its PKI engine, or one that somebody has
// published for it in the key-value engine.
//
// It guarantees that what was read stays usable while Vault does not answer or is sealed: in memory for as long as
// the process lives, and over a restart from a file for as long as Options allow. It says so by Ready. It reads again
// from time to time, keeps its token alive, logs in again when it ends, and has a new certificate well before the old one
// expires.
//
// What it keeps on the disk, in a folder that only its user may enter: the secrets that the configuration names, not others
// of the same path, and the certificate with its key. Its token, and what it logs in with, are never written.
//
// It fails at the start when Vault says no, because a right that was taken away must count, and when Vault does not
// answer and something that is needed was never read. After the start it fails by not being ready.
package vault

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/hashicorp/vault/api"

	"glia/config/secret"
)

// Options say where Vault is and what is wanted of it. Needed are Address, Login, Dir, Now and Log.
type Options struct {
	Address   string            // URL
	Namespace string            // empty for none
	Transport http.RoundTripper // nil: http.DefaultTransport
	Login     Login

	Secrets []Name        // that are wanted
	Refresh time.Duration // between two readings; 0 is 5 minutes

	Dir  string        // of what is kept; it is made when it is missing
	Keep time.Duration // how old what is kept may be at a start without Vault; 0 is 7 days

	Certificate *Certificate // nil for none

	Now func() time.Time
	Log *slog.Logger
}

// Name is one secret: the path as the API has it, with data/ behind the mount in version 2 of the key-value engine,
// and a key.
type Name struct{ Path, Key string }

// String is the name as it is in configurations.
func (n Name) String() string { return n.Path + "#" + n.Key }

// callWithin bounds one call. A Vault that hangs is one that does not answer.
const callWithin = 10 * time.Second

// entry is a secret with when Vault said it.
type entry struct {
	value secret.Value
	at    time.Time
}

// Keeper keeps secrets. It is safe for concurrent use.
type Keeper struct {
	Options
	api *api.Client // used by one goroutine at a time: Open, then Run, then Close

	// Of that goroutine.
	token   token
	read    time.Time // when all secrets were read last
	renewAt time.Time // of the certificate; zero: at once
	warned  time.Time // end of the published certificate that it was said of

	mu      sync.Mutex
	known   map[Name]entry
	problem string // why Vault was not of use last; empty: it was
	since   time.Time
	expires time.Time // of the certificate; zero: there is none
}

var _ secret.Source = (*Keeper)(nil)

// Open reads everything once. Where Vault does not answer, it takes what was kept.
func Open(ctx context.Context, o Options) (*Keeper, error) {
	if o.Refresh == 0 {
		o.Refresh = 5 * time.Minute
	}
	if o.Keep == 0 {
		o.Keep = 7 * 24 * time.Hour
	}
	if o.Transport == nil {
		o.Transport = http.DefaultTransport
	}
	k := &Keeper{Options: o, known: map[Name]entry{}}
	conf := &api.Config{Address: o.Address, HttpClient: &http.Client{
		Transport:     o.Transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // the library follows to the active server
	}, Timeout: callWithin, MaxRetries: 0}
	var err error
	if k.api, err = api.NewClient(conf); err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	k.api.ClearToken() // the environment is that of the service, not of a person at a terminal
	k.api.ClearNamespace()
	if o.Namespace != "" {
		k.api.SetNamespace(o.Namespace)
	}
	if err := k.makeDir(); err != nil {
		return nil, fmt.Errorf("vault: keep what is read: %w", err)
	}
	if err := k.loadCache(); err != nil {
		o.Log.Warn("what was kept of vault can not be used", "error", err)
	}
	k.loadCertificate()
	err = k.step(ctx)
	if err == nil {
		return k, nil
	}
	if missing := k.missing(); !away(err) || missing != "" {
		if missing != "" {
			err = fmt.Errorf("%w; and nothing usable is kept of %s", err, missing)
		}
		return nil, fmt.Errorf("vault at %s: %w", o.Address, err)
	}
	k.note(err)
	return k, nil
}

// missing names something that is not known.
func (k *Keeper) missing() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, n := range k.Secrets {
		if _, ok := k.known[n]; !ok {
			return n.String()
		}
	}
	if k.Certificate != nil && k.expires.IsZero() {
		return "the certificate"
	}
	return ""
}

// Secret is part of secret.Source: what Vault said last.
func (k *Keeper) Secret(path, key string) (secret.Value, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	e, ok := k.known[Name{path, key}]
	if !ok {
		return secret.Value{}, errors.New("it was never read: what is named there is read at the start")
	}
	return e.value, nil
}

// Run keeps everything fresh until the context ends.
func (k *Keeper) Run(ctx context.Context) error {
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = time.Second, min(time.Minute, k.Refresh)
	due := k.due()
	if k.Ready() != nil {
		due = k.Now().Add(wait.NextBackOff())
	}
	for {
		t := time.NewTimer(due.Sub(k.Now()))
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-t.C:
		}
		err := k.step(ctx)
		if ctx.Err() != nil {
			return nil
		}
		k.note(err)
		if err != nil {
			due = k.Now().Add(wait.NextBackOff())
			continue
		}
		wait.Reset()
		due = k.due()
	}
}

// Close gives the token back, when it was made for us.
func (k *Keeper) Close(ctx context.Context) {
	if !k.token.ours || k.token.value.IsZero() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if err := k.api.Auth().Token().RevokeSelfWithContext(ctx, ""); err != nil {
		k.Log.Info("the token of vault lives until it expires", "error", k.brief(err))
	}
	k.api.ClearToken()
}

// due is when something is to be done next, a little earlier or later so that a fleet does not come at once.
func (k *Keeper) due() time.Time {
	at := k.read.Add(k.Refresh - k.Refresh/10 + rand.N(k.Refresh/5))
	if t := k.token.renew; !t.IsZero() && t.Before(at) {
		at = t
	}
	if k.Certificate != nil && !k.Certificate.Published && k.renewAt.Before(at) {
		at = k.renewAt
	}
	return at
}

// step does what is due. A token that Vault refuses is replaced once.
func (k *Keeper) step(ctx context.Context) error {
	fresh, err := k.admit(ctx)
	if err != nil {
		return err
	}
	err = k.fetch(ctx)
	if !forbidden(err) || fresh {
		return err
	}
	k.token = token{}
	if _, err := k.admit(ctx); err != nil {
		return err
	}
	return k.fetch(ctx)
}

// fetch reads the secrets and gets a certificate, when one is due.
func (k *Keeper) fetch(ctx context.Context) error {
	found := map[Name]entry{}
	byPath := map[string][]Name{}
	for _, n := range k.Secrets {
		byPath[n.Path] = append(byPath[n.Path], n)
	}
	for _, path := range slices.Sorted(maps.Keys(byPath)) {
		data, err := k.keyValue(ctx, path)
		if err != nil {
			return fmt.Errorf("read %s: %w", path, err)
		}
		for _, n := range byPath[path] {
			text, ok := data[n.Key].(string)
			if !ok || text == "" {
				return &refusal{fmt.Sprintf("read %s: there is no text with the key %s", path, n.Key)}
			}
			found[n] = entry{secret.Of(text), k.Now()}
		}
	}
	k.take(found)
	k.read = k.Now()
	if len(k.Secrets) > 0 {
		if err := k.saveCache(found); err != nil {
			k.Log.Error("secrets can not be kept for a start without vault", "error", err)
		}
	}
	return k.certify(ctx)
}

// take makes what was read known.
func (k *Keeper) take(found map[Name]entry) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for n, e := range found {
		if was, ok := k.known[n]; ok && !was.value.Is(e.value.Reveal()) {
			k.Log.Info("secret changed in vault; what was started with the old one keeps it", "path", n.Path, "key", n.Key)
		}
		k.known[n] = e
	}
}

// keyValue reads a path of the key-value engine, of either version.
func (k *Keeper) keyValue(ctx context.Context, path string) (map[string]any, error) {
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	s, err := k.api.Logical().ReadWithContext(ctx, path)
	if err != nil {
		return nil, k.mend(err)
	}
	if s == nil || s.Data == nil {
		return nil, &refusal{"there is nothing; with version 2 of the engine data/ follows the mount, as in kv/data/glia"}
	}
	if _, versioned := s.Data["metadata"].(map[string]any); !versioned {
		return s.Data, nil
	}
	data, ok := s.Data["data"].(map[string]any)
	if !ok {
		return nil, &refusal{"the newest version is deleted"}
	}
	return data, nil
}
