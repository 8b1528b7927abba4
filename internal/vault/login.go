package vault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"

	"glia/config/secret"
)

// Login is how a token is got.
type Login struct {
	By    string // token, approle or kubernetes
	Mount string // of the method; empty: its name

	Token secret.Ref // with token; read again when that ends, because an agent may have renewed the file

	RoleID   string // with approle
	SecretID secret.Ref

	Role    string // with kubernetes
	JWTFile string // which Kubernetes makes readable for all in the pod
}

// The ways to log in.
const (
	ByToken      = "token"
	ByAppRole    = "approle"
	ByKubernetes = "kubernetes"
)

// token is what we are admitted with.
type token struct {
	value secret.Value
	ours  bool      // made by our login
	renew time.Time // zero: never
	ends  time.Time // zero: never
	can   bool      // be renewed
}

// admit makes sure that there is a token, and renews it when that is due. fresh: it was made just now.
func (k *Keeper) admit(ctx context.Context) (fresh bool, err error) {
	now := k.Now()
	t := k.token
	if t.value.IsZero() || !t.ends.IsZero() && !now.Before(t.ends) {
		return true, k.login(ctx)
	}
	if t.renew.IsZero() || now.Before(t.renew) {
		return false, nil
	}
	if !t.can {
		return true, k.login(ctx)
	}
	within, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	s, err := k.api.Auth().Token().RenewSelfWithContext(within, 0)
	switch {
	case err == nil && s != nil && s.Auth != nil:
		k.hold(t.value, t.ours, s.Auth.Renewable, time.Duration(s.Auth.LeaseDuration)*time.Second)
		return false, nil
	case err != nil && away(k.mend(err)):
		return false, fmt.Errorf("renew the token: %w", k.mend(err))
	}
	return true, k.login(ctx) // it was revoked, or has reached its longest life
}

// hold takes a token with so long to live; 0 is for ever. It is renewed after two thirds of that. One that can not be renewed
// is replaced then.
func (k *Keeper) hold(v secret.Value, ours, renewable bool, ttl time.Duration) {
	now := k.Now()
	k.token = token{value: v, ours: ours, can: renewable}
	if ttl > 0 {
		k.token.ends, k.token.renew = now.Add(ttl), now.Add(ttl*2/3)
	}
	k.api.SetToken(v.Reveal())
}

// login gets a token.
func (k *Keeper) login(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	k.token = token{}
	k.api.ClearToken()
	l := k.Login
	mount := l.Mount
	if mount == "" {
		mount = l.By
	}
	given := map[string]any{}
	var tell secret.Value // what must not come back in an error
	var err error
	switch l.By {
	case ByToken:
		return k.borrow(ctx)
	case ByAppRole:
		if tell, err = l.SecretID.Read(); err != nil {
			return &refusal{"read the secret id: " + err.Error()}
		}
		given["role_id"] = l.RoleID
		if !tell.IsZero() {
			given["secret_id"] = tell.Reveal()
		}
	case ByKubernetes:
		b, err := os.ReadFile(l.JWTFile)
		if err != nil {
			return &refusal{"read the token of the pod: " + err.Error()}
		}
		tell = secret.Of(strings.TrimSpace(string(b)))
		given["role"], given["jwt"] = l.Role, tell.Reveal()
	default:
		return &refusal{fmt.Sprintf("there is no login by %q", l.By)}
	}
	s, err := k.api.Logical().WriteWithContext(ctx, "auth/"+mount+"/login", given)
	if err != nil {
		err = k.mend(err)
		if d := (*denial)(nil); errors.As(err, &d) {
			d.reason = tell.Hide(d.reason)
		}
		return fmt.Errorf("log in by %s: %w", l.By, err)
	}
	if s == nil || s.Auth == nil || s.Auth.ClientToken == "" {
		return &refusal{"log in by " + l.By + ": the answer has no token"}
	}
	k.hold(secret.Of(s.Auth.ClientToken), true, s.Auth.Renewable, time.Duration(s.Auth.LeaseDuration)*time.Second)
	return nil
}

// borrow uses a token that somebody else has made.
func (k *Keeper) borrow(ctx context.Context) error {
	v, err := k.Login.Token.Read()
	if err != nil {
		return &refusal{"read the token: " + err.Error()}
	}
	k.token.value = v
	k.api.SetToken(v.Reveal())
	s, err := k.api.Auth().Token().LookupSelfWithContext(ctx)
	if err != nil {
		err = k.mend(err)
		k.token = token{}
		return fmt.Errorf("look at the token: %w", err)
	}
	ttl, renewable := lifeOf(s)
	k.hold(v, false, renewable, ttl)
	return nil
}

func lifeOf(s *api.Secret) (time.Duration, bool) {
	if s == nil {
		return 0, false
	}
	renewable, _ := s.Data["renewable"].(bool)
	n, _ := s.Data["ttl"].(json.Number)
	seconds, _ := n.Int64()
	return time.Duration(seconds) * time.Second, renewable
}
