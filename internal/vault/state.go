package vault

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"
)

// refusal is an answer of Vault by which it says no, or says what is of no use. Asking again does not help.
type refusal struct{ reason string }

func (r *refusal) Error() string { return r.reason }

// denial is an answer with a status.
type denial struct {
	status int
	reason string
}

func (d *denial) Error() string { return d.reason }

// away says whether Vault has not answered, or can not for now: it is sealed, starting, standing by or asked too much.
func away(err error) bool {
	var no *refusal
	var d *denial
	switch {
	case errors.As(err, &no):
		return false
	case errors.As(err, &d):
		return d.status >= 500 || d.status == http.StatusTooManyRequests || d.status == http.StatusPreconditionFailed
	}
	return true
}

func forbidden(err error) bool {
	var d *denial
	return errors.As(err, &d) && d.status == http.StatusForbidden
}

// mend is the error of the library in one line, without what we told Vault.
func (k *Keeper) mend(err error) error {
	var e *api.ResponseError
	if !errors.As(err, &e) {
		return errors.New(k.brief(err))
	}
	text := fmt.Sprintf("vault answers %d", e.StatusCode)
	if len(e.Errors) > 0 {
		text += ": " + strings.Join(strings.Fields(strings.Join(e.Errors, "; ")), " ")
	}
	return &denial{e.StatusCode, k.token.value.Hide(text)}
}

func (k *Keeper) brief(err error) string {
	return k.token.value.Hide(strings.Join(strings.Fields(err.Error()), " "))
}

// note keeps what became of the last step, and logs when that is news.
func (k *Keeper) note(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	was := k.problem
	if err == nil {
		if k.problem = ""; was != "" {
			k.Log.Info("vault is of use again", "address", k.Address)
		}
		return
	}
	if k.problem = err.Error(); was == "" {
		k.since = k.Now()
		k.Log.Warn("vault is of no use, what was read before is used", "address", k.Address, "error", err)
	}
}

// Ready says what is wrong, or nil.
func (k *Keeper) Ready() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.Certificate != nil && !k.expires.IsZero() && k.Now().After(k.expires) {
		return fmt.Errorf("the certificate has expired at %s, and vault at %s gives no new one: %s", stamp(k.expires), k.Address, k.problem)
	}
	if k.problem == "" {
		return nil
	}
	text := fmt.Sprintf("%s is of no use since %s: %s", k.Address, stamp(k.since), k.problem)
	var oldest time.Time
	for _, e := range k.known {
		if oldest.IsZero() || e.at.Before(oldest) {
			oldest = e.at
		}
	}
	if !oldest.IsZero() {
		text += "; secrets read at " + stamp(oldest) + " are used"
	}
	if !k.expires.IsZero() {
		text += "; the certificate is good until " + stamp(k.expires)
	}
	return errors.New(text)
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
