package check

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// mostBody is how much of an answer is searched for a text.
const mostBody = 4 << 20

// mostRedirects is how many redirects are followed.
const mostRedirects = 10

// HTTP passes when a GET is answered with a status of 200 to 399, as nerve has it, and with the text if one is expected. Each probe is a
// connection of its own, and ends as a whole with its context.
type HTTP struct {
	Address
	URI     string      // path and query
	Headers http.Header // Host is the name that is asked for
	Expect  string      // in the body; empty for none
	TLS     *tls.Config // nil: not encrypted
	Follow  bool        // redirects, and judge the last answer; nerve does not
}

// Probe is part of Check.
func (c HTTP) Probe(ctx context.Context) error {
	scheme := "http"
	if c.TLS != nil {
		scheme = "https"
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+c.String()+c.URI, nil)
	if err != nil {
		return err
	}
	for name, values := range c.Headers {
		r.Header[name] = values
	}
	r.Host = r.Header.Get("Host")
	t := &http.Transport{DisableKeepAlives: true, DisableCompression: true, TLSClientConfig: c.TLS}
	defer t.CloseIdleConnections()
	client := http.Client{Transport: t, CheckRedirect: func(_ *http.Request, via []*http.Request) error {
		if c.Follow && len(via) < mostRedirects {
			return nil
		}
		return http.ErrUseLastResponse
	}}
	answer, err := client.Do(r)
	if err != nil {
		return plain(ctx, err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(answer.Body, mostBody))
	if answer.StatusCode < 200 || answer.StatusCode > 399 {
		return fmt.Errorf("GET %s is answered with %s: %q", c.URI, answer.Status, shown(body))
	}
	if c.Expect == "" {
		return nil
	}
	if err != nil {
		return plain(ctx, fmt.Errorf("GET %s: %w", c.URI, err))
	}
	if !bytes.Contains(body, []byte(c.Expect)) {
		return fmt.Errorf("GET %s: %w", c.URI, errors.Join(holds(body, c.Expect)))
	}
	return nil
}
