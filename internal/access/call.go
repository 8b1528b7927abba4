package access

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"regexp"
	"time"
)

// RequestID is the header that names a request: of the client's choice, or of the server's.
const RequestID = "X-Request-Id"

// call is one request on its way. Only its own goroutines use it, one after the other.
type call struct {
	id        string
	who       Identity
	from      string // address
	procedure string
	verb      verb
	known     bool
	client    *client

	control *http.ResponseController
	body    *body
	reached bool // the service was asked
}

type callKey struct{}

func with(ctx context.Context, c *call) context.Context { return context.WithValue(ctx, callKey{}, c) }

func from(ctx context.Context) *call {
	c, _ := ctx.Value(callKey{}).(*call)
	return c
}

// From says who makes the request that a context is of, and what it is called; ok is false when it is of none.
func From(ctx context.Context) (who Identity, request string, ok bool) {
	c := from(ctx)
	if c == nil {
		return Identity{}, "", false
	}
	return c.who, c.id, true
}

var goodID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// requestID is the name that the client has given to the request, if that can stand in a log, or a new one.
func requestID(r *http.Request) string {
	if id := r.Header.Get(RequestID); goodID.MatchString(id) {
		return id
	}
	return NewRequestID()
}

// NewRequestID is a name for a request that no other one has.
func NewRequestID() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// bound limits size and time of what is read of a request.
func (g *Guard) bound(w http.ResponseWriter, r *http.Request, c *call) {
	c.control = http.NewResponseController(w)
	// Not every connection has deadlines; those of the servers of this module do.
	_ = c.control.SetReadDeadline(time.Now().Add(g.Receive))
	c.body = &body{ReadCloser: http.MaxBytesReader(w, r.Body, mostBytes), ended: func() { _ = c.control.SetReadDeadline(time.Time{}) }}
	r.Body = c.body
}

// body is that of a request. It notes why it could not be read, and lifts the deadline when it has been read.
type body struct {
	io.ReadCloser
	ended func()
	err   error
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && b.err == nil {
		b.err = err
		b.ended()
	}
	return n, err
}

// broken is the reason for which a request that was let in was not understood; empty when it was, and when
// nobody has looked at it.
func (c *call) broken() string {
	var large *http.MaxBytesError
	switch err := c.body.err; {
	case c.reached || err == nil:
		return ""
	case errors.As(err, &large):
		return "size"
	case errors.Is(err, io.EOF):
		return "malformed"
	}
	return "truncated"
}
