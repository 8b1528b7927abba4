// Package courier carries requests to the API of a tracker over HTTP, with the manners that all such APIs ask for.
//
// It reads answers to their end, bounded; it turns every answer that is no success into an Error of one line; and it asks
// nothing while the tracker wants to be left alone: for the time of a Retry-After, and for a while after a refused login,
// because trackers lock users out who try wrong secrets.
package courier

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"sync"
	"time"

	"glia"
)

const (
	largest     = 8 << 20         // bytes of an answer
	holdOff     = 5 * time.Minute // after a refused login
	longestWait = time.Hour       // that a Retry-After may ask for
)

// Error is an answer of the tracker that is no success. It is glia.ErrNotFound when the tracker says of an issue that it
// does not exist, or may not be seen.
type Error struct {
	Method, Path string
	Status       int
	Reason       string    // what the tracker says, in one line; never a whole page
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

// Is is part of error.
func (e *Error) Is(target error) bool { return target == glia.ErrNotFound && e.missing }

// Answer is an answer that is no success.
type Answer struct {
	Method, Path string // of the request
	Status       int
	Header       http.Header
	Body         []byte
	JSON         bool   // what the body is
	Kind         string // its media type; may be empty
}

// Meaning is what a tracker means by such an answer.
type Meaning struct {
	Reason  string // for people, in one line
	Missing bool   // the issue of the request does not exist
	Refused bool   // the login is not taken
}

// Courier carries requests to one tracker. It is safe for concurrent use.
type Courier struct {
	Base http.RoundTripper
	Name string                 // of the tracker, for people
	Sign func(*http.Request)    // adds the credentials
	Read func(a Answer) Meaning // what an answer below 200, or from 400 on, means
	Now  func() time.Time

	mu   sync.Mutex
	held *Error // nil, or why nothing is asked until held.Until
}

// RoundTrip returns an answer that is a success, whose body is in memory; an *Error for another one; and the error of
// the way when there was none.
func (c *Courier) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := c.free(r); err != nil {
		return nil, err
	}
	r = r.Clone(r.Context())
	c.Sign(r)
	r.Header.Set("Accept", "application/json")
	answer, err := c.Base.RoundTrip(r)
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

func (c *Courier) free(r *http.Request) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held == nil || !c.Now().Before(c.held.Until) {
		c.held = nil
		return nil
	}
	e := *c.held
	e.Method, e.Path = r.Method, r.URL.Path
	return &e
}

// judge is nil for a success.
func (c *Courier) judge(r *http.Request, answer *http.Response, body []byte) error {
	kind, _, _ := mime.ParseMediaType(answer.Header.Get("Content-Type"))
	isJSON := kind == "application/json"
	e := &Error{Method: r.Method, Path: r.URL.Path, Status: answer.StatusCode}
	switch s := answer.StatusCode; {
	case s >= 200 && s <= 299 && (isJSON || len(bytes.TrimSpace(body)) == 0):
		return nil
	case s >= 200 && s <= 299:
		if kind == "" {
			kind = "of no type"
		}
		e.Reason = "the answer is " + kind + ", not JSON: this is a login page or a proxy, not the API of " + c.Name
	case s >= 300 && s <= 399:
		e.Reason = c.Name + " redirects, perhaps to another address of its own or to a login page; see url"
	default:
		m := c.Read(Answer{r.Method, r.URL.Path, s, answer.Header, body, isJSON, kind})
		e.Reason, e.missing = m.Reason, m.Missing
		if m.Refused {
			e.Until = c.Now().Add(holdOff)
		}
		if s == http.StatusTooManyRequests || s == http.StatusServiceUnavailable {
			if wait := retryAfter(answer.Header.Get("Retry-After"), c.Now()); wait > 0 {
				e.Until = c.Now().Add(wait)
			}
		}
	}
	if !e.Until.IsZero() {
		c.mu.Lock()
		c.held = e
		c.mu.Unlock()
	}
	return e
}

// retryAfter reads seconds or a date, as RFC 9110 has them; 0 when it is neither.
func retryAfter(text string, now time.Time) time.Duration {
	if n, err := strconv.Atoi(text); err == nil && n > 0 {
		return time.Duration(min(n, int(longestWait.Seconds()))) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return min(max(at.Sub(now), 0), longestWait)
	}
	return 0
}
