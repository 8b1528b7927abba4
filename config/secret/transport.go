package secret

import (
	"bytes"
	"io"
	"net/http"
)

// longestComplaint bounds the body of an answer that is looked through, in bytes. What is behind it is cut off.
const longestComplaint = 64 << 10

// Quiet carries requests by another RoundTripper, and takes the secret out of answers that are no success: clients put those into
// their errors, and servers and what is in front of them may repeat the headers of the request.
type Quiet struct {
	Base   http.RoundTripper // nil: http.DefaultTransport
	Secret Value
}

// RoundTrip is part of http.RoundTripper.
func (q Quiet) RoundTrip(r *http.Request) (*http.Response, error) {
	base := q.Base
	if base == nil {
		base = http.DefaultTransport
	}
	a, err := base.RoundTrip(r)
	if err != nil || a.StatusCode < http.StatusBadRequest || q.Secret.IsZero() {
		return a, err
	}
	body, err := io.ReadAll(io.LimitReader(a.Body, longestComplaint))
	if closed := a.Body.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return nil, err
	}
	body = []byte(q.Secret.Hide(string(body)))
	a.Body, a.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	a.Header.Del("Content-Length")
	return a, nil
}

var _ http.RoundTripper = Quiet{}
