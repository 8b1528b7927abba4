package check

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
)

const (
	mostBody      = 4 << 20 // how much of an answer is searched for a text
	mostRedirects = 10      // how many are followed
	mostInterim   = 5       // answers of 100 to 199 before the one that counts
)

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

// buffers are kept, as a nerve may ask hundreds of times a second.
var buffers = sync.Pool{New: func() any { return bufio.NewReadWriter(bufio.NewReader(nil), bufio.NewWriter(nil)) }}

// Probe is part of Check.
func (c HTTP) Probe(ctx context.Context) error {
	scheme := "http"
	if c.TLS != nil {
		scheme = "https"
	}
	at, err := url.Parse(scheme + "://" + c.String() + c.URI)
	if err != nil {
		return err
	}
	for hop := 0; ; hop++ {
		next, err := c.get(ctx, at)
		if err != nil || next == nil {
			return err
		}
		if hop == mostRedirects {
			return fmt.Errorf("GET %s: more than %d redirects", c.URI, mostRedirects)
		}
		at = next
	}
}

// get asks once, and judges the answer, or returns where it leads to if that is to be followed.
func (c HTTP) get(ctx context.Context, at *url.URL) (next *url.URL, err error) {
	r := &http.Request{Method: http.MethodGet, URL: at, Host: c.Headers.Get("Host"), Header: c.Headers, Close: true}
	port := at.Port()
	if port == "" {
		port = at.Scheme
	}
	err = conversation(ctx, "tcp", net.JoinHostPort(at.Hostname(), port), func(conn net.Conn) error {
		if at.Scheme == "https" {
			t := &tls.Config{MinVersion: tls.VersionTLS12}
			if c.TLS != nil {
				t = c.TLS
			}
			if t.ServerName == "" {
				t = t.Clone()
				t.ServerName = at.Hostname()
			}
			conn = tls.Client(conn, t)
		}
		both := buffers.Get().(*bufio.ReadWriter)
		b, out := both.Reader, both.Writer
		b.Reset(conn)
		out.Reset(conn)
		defer func() { b.Reset(nil); out.Reset(nil); buffers.Put(both) }()
		if err := errors.Join(r.Write(out), out.Flush()); err != nil {
			return err
		}
		// Closing the body would read the rest of it, which may have no end; the connection ends instead.
		answer, err := http.ReadResponse(b, r) //nolint:bodyclose // see above
		for n := 0; err == nil && answer.StatusCode < 200 && n < mostInterim; n++ {
			answer, err = http.ReadResponse(b, r) //nolint:bodyclose // see above
		}
		if err != nil {
			return err
		}
		if c.Follow && answer.StatusCode >= 300 && answer.StatusCode < 400 {
			if next, err = answer.Location(); err == nil {
				return nil
			} else if !errors.Is(err, http.ErrNoLocation) {
				return err
			}
		}
		return c.judge(answer)
	})
	return next, err
}

func (c HTTP) judge(answer *http.Response) error {
	bad := answer.StatusCode < 200 || answer.StatusCode > 399
	if !bad && c.Expect == "" {
		return nil
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, mostBody))
	switch {
	case bad:
		return fmt.Errorf("GET %s is answered with %s: %q", c.URI, answer.Status, shown(body))
	case !bytes.Contains(body, []byte(c.Expect)):
		if err != nil {
			return fmt.Errorf("GET %s: %w", c.URI, err)
		}
		return fmt.Errorf("GET %s: %w", c.URI, holds(body, c.Expect))
	}
	return nil
}
