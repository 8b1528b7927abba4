package redmine

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"glia"
	"glia/repairer/ticket"
)

// Error is an answer of Redmine that is no success.
type Error struct {
	Method, Path string
	Status       int
	Reason       string    // what Redmine says, in one line; never a whole page
	Until        time.Time // nothing is asked before; zero when it may be asked at once
	missing      bool
}

// Error is part of error.
func (e *Error) Error() string {
	text := fmt.Sprintf("%s %s: %d %s", e.Method, e.Path, e.Status, http.StatusText(e.Status))
	if e.Reason != "" {
		text += ": " + e.Reason
	}
	if !e.Until.IsZero() {
		text += "; asked again after " + e.Until.UTC().Format(time.RFC3339)
	}
	return text
}

// Is says of an issue that does not exist, or may not be seen, that it is not found.
func (e *Error) Is(target error) bool { return target == glia.ErrNotFound && e.missing }

const (
	largest = 8 << 20 // bytes of an answer

	holdOff     = 5 * time.Minute // after a refused key
	longestWait = time.Hour       // that a Retry-After may ask for
	longestSaid = 400             // characters of a reason
)

// courier sends requests with the key, reads answers to their end, turns those that are no success into errors, and
// asks nothing while Redmine wants to be left alone. It is safe for concurrent use.
type courier struct {
	base http.RoundTripper
	at   url.URL // of Redmine
	key  string
	now  func() time.Time

	mu   sync.Mutex
	held *Error // nil, or why nothing is asked until held.Until
}

func (c *courier) send(r *http.Request) (*http.Response, error) {
	if err := c.free(r); err != nil {
		return nil, err
	}
	r.Header.Set("X-Redmine-API-Key", c.key)
	r.Header.Set("Accept", "application/json")
	answer, err := c.base.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, largest+1))
	if closed := answer.Body.Close(); err == nil {
		err = closed
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the answer to %s %s: %w", r.Method, r.URL.Path, err)
	case len(body) > largest:
		return nil, fmt.Errorf("the answer to %s %s is larger than %d bytes", r.Method, r.URL.Path, largest)
	}
	if err := c.judge(r, answer, body); err != nil {
		return nil, err
	}
	answer.Body = io.NopCloser(bytes.NewReader(body))
	return answer, nil
}

func (c *courier) free(r *http.Request) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held == nil || !c.now().Before(c.held.Until) {
		c.held = nil
		return nil
	}
	e := *c.held
	e.Method, e.Path = r.Method, r.URL.Path
	return &e
}

// judge is nil for a success.
func (c *courier) judge(r *http.Request, answer *http.Response, body []byte) error {
	kind, _, _ := mime.ParseMediaType(answer.Header.Get("Content-Type"))
	isJSON := kind == "application/json"
	e := &Error{Method: r.Method, Path: r.URL.Path, Status: answer.StatusCode}
	switch s := answer.StatusCode; {
	case s >= 200 && s <= 299 && (isJSON || len(bytes.TrimSpace(body)) == 0):
		return nil
	case s >= 200 && s <= 299:
		e.Reason = "the answer is not JSON but " + kind + ": this is a login page or a proxy, not the API of Redmine"
	case s >= 300 && s <= 399:
		e.Reason = "Redmine redirects, perhaps to another address of its own or to a login page; see url"
	case s == http.StatusUnauthorized:
		e.Reason = "Redmine does not take this key; see key_file, and whether its REST API is switched on"
		e.Until = c.now().Add(holdOff)
	case s == http.StatusForbidden:
		e.Reason = "the user of the key may not do that; see the permissions of its role in the project"
	case s == http.StatusNotFound:
		e.missing = strings.Contains(r.URL.Path, "/issues/") && (isJSON || len(bytes.TrimSpace(body)) == 0)
	case isJSON:
		e.Reason = reasons(body)
	}
	if s := answer.StatusCode; s == http.StatusTooManyRequests || s == http.StatusServiceUnavailable {
		if wait, err := strconv.Atoi(answer.Header.Get("Retry-After")); err == nil && wait > 0 {
			e.Until = c.now().Add(min(time.Duration(min(wait, int(longestWait.Seconds())))*time.Second, longestWait))
		}
	}
	if !e.Until.IsZero() {
		c.mu.Lock()
		c.held = e
		c.mu.Unlock()
	}
	return e
}

// reasons are all messages of an error in one line.
func reasons(body []byte) string {
	var b struct {
		Errors []string `json:"errors"`
	}
	if err := json.Unmarshal(body, &b); err != nil {
		return ""
	}
	return ticket.Line(strings.Join(b.Errors, "; "), longestSaid)
}
