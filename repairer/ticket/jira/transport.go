package jira

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"glia"
)

// Error is an answer of Jira that is no success.
type Error struct {
	Method, Path string
	Status       int
	Reason       string    // what Jira says, in one line; never a whole page
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

// Is says of an issue that does not exist, or may not be seen, that it is not found. Other things that are not
// found, such as a page of a proxy in front of Jira, say nothing about an issue.
func (e *Error) Is(target error) bool { return target == glia.ErrNotFound && e.missing }

const (
	largest = 8 << 20 // bytes of an answer

	// holdOff is the pause after a refused login: Jira locks users out who try wrong passwords.
	holdOff = 5 * time.Minute
	// longestWait bounds what a Retry-After may ask for.
	longestWait = time.Hour
)

// courier adds the credentials to requests, reads answers to their end, turns those that are no success into
// errors, and asks nothing while Jira wants to be left alone. It is safe for concurrent use.
type courier struct {
	base         http.RoundTripper
	user, secret string // no user: the secret is a personal token
	now          func() time.Time

	mu   sync.Mutex
	held *Error // nil, or why nothing is asked until held.Until
}

func (c *courier) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := c.free(r); err != nil {
		return nil, err
	}
	r = r.Clone(r.Context())
	if c.user != "" {
		r.SetBasicAuth(c.user, c.secret)
	} else {
		r.Header.Set("Authorization", "Bearer "+c.secret)
	}
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
	if answer.StatusCode >= 200 && answer.StatusCode <= 299 {
		if isJSON || len(body) == 0 || answer.StatusCode == http.StatusNoContent {
			return nil
		}
		e.Reason = "the answer is " + orNothing(kind) + ", not JSON: this is a login page or a proxy, not the API of Jira"
		return e
	}
	if isJSON {
		e.Reason = reasons(body)
		e.missing = answer.StatusCode == http.StatusNotFound && strings.Contains(r.URL.Path, "/rest/api/2/issue/")
	} else if kind != "" {
		e.Reason = "the answer is " + kind + ", which may be a proxy's"
	}
	switch {
	case answer.StatusCode == http.StatusUnauthorized:
		e.Reason = "Jira does not take this user and secret; see user, password_file and token_file"
		e.Until = c.now().Add(holdOff)
	case strings.Contains(answer.Header.Get("X-Authentication-Denied-Reason"), "CAPTCHA"):
		e.Reason = "Jira wants a CAPTCHA after too many wrong logins: log in once with a browser as the user of glia"
		e.Until = c.now().Add(holdOff)
	case answer.StatusCode == http.StatusTooManyRequests, answer.StatusCode == http.StatusServiceUnavailable:
		if wait := retryAfter(answer.Header.Get("Retry-After"), c.now()); wait > 0 {
			e.Until = c.now().Add(min(wait, longestWait))
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
		return max(at.Sub(now), 0)
	}
	return 0
}

// reasons are all messages of an error, of Jira or of a plugin, in one line.
func reasons(body []byte) string {
	var b struct {
		ErrorMessages []string          `json:"errorMessages"`
		Errors        map[string]string `json:"errors"`
		Message       string            `json:"message"`
	}
	if err := json.Unmarshal(body, &b); err != nil {
		return ""
	}
	out := b.ErrorMessages
	var fields []string
	for k, v := range b.Errors {
		fields = append(fields, k+": "+v)
	}
	slices.Sort(fields)
	out = append(out, fields...)
	if b.Message != "" {
		out = append(out, b.Message)
	}
	text := strings.Join(strings.Fields(strings.Join(out, "; ")), " ")
	const most = 400
	if r := []rune(text); len(r) > most {
		text = string(r[:most]) + "…"
	}
	return text
}

func orNothing(s string) string {
	if s == "" {
		return "of no type"
	}
	return s
}
