package script

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"glia/config/secret"
)

// The headers of a signed request. The signature is "sha256=" and the hex digits of HMAC-SHA256 over the timestamp (Unix
// seconds), a dot and the body, with the shared secret.
const (
	HeaderTime      = "X-Glia-Timestamp"
	HeaderSignature = "X-Glia-Signature"
	HeaderKey       = "X-Glia-Key" // SHA-256 of the key of the request; not Idempotency-Key, with which HTTP clients repeat by themselves
)

// Webhook is the way to a web address: requests are posted there, signed, and answered with status 200.
type Webhook struct {
	URL    string
	Secret secret.Value
	HTTP   *http.Client
	Now    func() time.Time
}

// Sign is the signature of a body.
func Sign(secret, timestamp string, body []byte) string {
	m := hmac.New(sha256.New, []byte(secret))
	m.Write([]byte(timestamp + "."))
	m.Write(body)
	return "sha256=" + hex.EncodeToString(m.Sum(nil))
}

// Carry posts the request.
func (w Webhook) Carry(ctx context.Context, key string, request []byte) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL, bytes.NewReader(request))
	if err != nil {
		return nil, errors.New("the address of the webhook is none")
	}
	stamp := strconv.FormatInt(w.Now().Unix(), 10)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set(HeaderTime, stamp)
	r.Header.Set(HeaderSignature, Sign(w.Secret.Reveal(), stamp, request))
	if key != "" {
		r.Header.Set(HeaderKey, hexOf(key))
	}
	a, err := w.HTTP.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = a.Body.Close() }() // it was read
	body, err := io.ReadAll(io.LimitReader(a.Body, largest+1))
	switch kind, _, _ := mime.ParseMediaType(a.Header.Get("Content-Type")); {
	case err != nil:
		return nil, fmt.Errorf("read the answer: %w", err)
	case a.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("the webhook answers with %s", a.Status)
	case kind != "application/json":
		return nil, fmt.Errorf("the webhook answers with %q, not application/json: this may be a proxy", kind)
	}
	return body, nil
}

// hexOf makes a key fit for a header.
func hexOf(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

const (
	// skew is how old a posted message may be, or how much too new.
	skew = 5 * time.Minute
	// longestMessage is in bytes.
	longestMessage = 1 << 20
)

// Changed serves the posts with which a tracker says that a ticket has changed. What is in them is not believed: it
// only makes glia look at once. They are signed as Sign does, or with X-Hub-Signature over the body alone, as Jira
// Cloud and GitHub do.
func Changed(shared secret.Value, now func() time.Time, look func()) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", http.MethodPost)
			http.Error(w, "only POST is served here", http.StatusMethodNotAllowed)
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, longestMessage))
		if err != nil {
			http.Error(w, "the message is too large", http.StatusRequestEntityTooLarge)
			return
		}
		if !genuine(r.Header, body, shared.Reveal(), now()) {
			http.Error(w, "the signature is wrong, missing or too old", http.StatusUnauthorized)
			return
		}
		look()
		w.WriteHeader(http.StatusNoContent)
	})
}

func genuine(h http.Header, body []byte, secret string, now time.Time) bool {
	if stamp := h.Get(HeaderTime); stamp != "" {
		n, err := strconv.ParseInt(stamp, 10, 64)
		age := now.Sub(time.Unix(n, 0))
		return err == nil && age < skew && age > -skew && hmac.Equal([]byte(h.Get(HeaderSignature)), []byte(Sign(secret, stamp, body)))
	}
	m := hmac.New(sha256.New, []byte(secret))
	m.Write(body)
	want := "sha256=" + hex.EncodeToString(m.Sum(nil))
	for _, name := range []string{"X-Hub-Signature-256", "X-Hub-Signature"} {
		if got := h.Get(name); strings.HasPrefix(got, "sha256=") && hmac.Equal([]byte(got), []byte(want)) {
			return true
		}
	}
	return false
}
