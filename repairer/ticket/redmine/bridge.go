package redmine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"

	redmine "github.com/nixys/nxs-go-redmine/v5"
)

// The library asks by http.DefaultClient, without context, proxy or authority. So each call is given an address of its own, of a
// scheme that http.DefaultTransport hands to ways, which sends the request as the call's tracker and context want it.
const scheme = "glia-redmine"

// way is one call under way.
type way struct {
	ctx     context.Context
	tracker *Tracker
}

type wayTable struct {
	mu   sync.Mutex
	last uint64
	open map[string]way
}

var ways = &wayTable{open: map[string]way{}}

// bridge makes http.DefaultTransport know the scheme.
var bridge = sync.OnceValue(func() error {
	t, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return errors.New("http.DefaultTransport was replaced, so the client of Redmine can not work")
	}
	t.RegisterProtocol(scheme, ways)
	return nil
})

// ask makes one call of the library.
func (t *Tracker) ask(ctx context.Context, call func(*redmine.Context) error) error {
	id := ways.begin(way{ctx, t})
	defer ways.end(id)
	err := call(redmine.Init(redmine.Settings{Endpoint: scheme + "://" + id}))
	var e *Error
	var l *lost
	switch {
	case errors.As(err, &e):
		return e
	case errors.As(err, &l): // without the address that was made up
		return l.error
	}
	return err
}

func (w *wayTable) begin(y way) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last++
	id := strconv.FormatUint(w.last, 10)
	w.open[id] = y
	return id
}

func (w *wayTable) end(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.open, id)
}

// lost is an error of the way to Redmine.
type lost struct{ error }

func (l *lost) Unwrap() error { return l.error }

// RoundTrip is part of http.RoundTripper.
func (w *wayTable) RoundTrip(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	y, ok := w.open[r.URL.Host]
	w.mu.Unlock()
	if !ok {
		return nil, fmt.Errorf("no call has the address %s", r.URL)
	}
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		if err = r.Body.Close(); err != nil {
			return nil, err
		}
	}
	at := y.tracker.at
	at.Path, at.RawQuery = at.Path+r.URL.Path, r.URL.RawQuery
	out, err := http.NewRequestWithContext(y.ctx, r.Method, at.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	out.Header = r.Header.Clone()
	answer, err := y.tracker.way.RoundTrip(out)
	var e *Error
	if err != nil && !errors.As(err, &e) {
		err = &lost{err}
	}
	return answer, err
}
