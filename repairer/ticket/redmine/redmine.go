// Package redmine is a tracker in Redmine, from version 5 on, by its REST API.
//
// It guarantees that an issue is searched for before it is created, by a mark in its description that stands for the key of the case,
// and that everything else that is said carries such a mark, so that a call that is repeated changes nothing. What is said with a change
// of status goes in one request with it. A creation whose answer was lost is not repeated before Redmine had time to finish it.
//
// It fails with *Error where Redmine has answered, with *Mismatch where the configuration does not fit the project, with
// glia.ErrNotFound for issues that do not exist, and with the transport's error otherwise. After a refused key, and while Redmine asks to
// be left alone, it asks nothing and says until when.
package redmine

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"glia/config/secret"
	"glia/repairer"
	"glia/repairer/ticket/courier"
)

// Options say where tickets go and what they look like. Needed are URL, Key, Project, Type, Close and Now.
type Options struct {
	URL       string
	Key       secret.Value // of the API
	Transport http.RoundTripper

	Project  string // identifier
	Type     string // of issue, which Redmine calls a tracker, by name
	Priority string // by name; empty: Redmine's own
	Assignee string // member of the project, by name; empty: Redmine's own

	Reopen string // status by name; empty: that of new issues of the type
	Close  string // status by name

	// Resolutions are the statuses in which people leave an issue, by lower-case name, and what each means.
	Resolutions map[string]string

	// Settle is how long Redmine may work on a request whose answer was lost.
	Settle time.Duration

	Now func() time.Time
}

// Tracker is a project in Redmine. It is safe for concurrent use.
type Tracker struct {
	Options
	way     *courier.Courier
	at      url.URL // of Redmine
	started time.Time

	mu    sync.Mutex
	rules *rules               // nil until Redmine has told them
	asked map[string]time.Time // creations whose answer has not come, by key
}

var _ repairer.Tracker = (*Tracker)(nil)

// New makes the tracker. It asks nothing yet.
func New(o Options) (*Tracker, error) {
	u, err := url.Parse(o.URL)
	if err != nil || u.Host == "" || u.User != nil {
		return nil, errors.New("the address of Redmine is none, or has credentials in it")
	}
	if err := bridge(); err != nil {
		return nil, err
	}
	if o.Transport == nil {
		o.Transport = http.DefaultTransport
	}
	u.Path = strings.TrimRight(u.Path, "/")
	return &Tracker{Options: o, way: o.courier(), at: *u, started: o.Now(), asked: map[string]time.Time{}}, nil
}

// Mismatch says that the configuration does not fit what is in Redmine. Waiting does not mend it.
type Mismatch struct{ Problems []string }

// Error is part of error.
func (m *Mismatch) Error() string { return strings.Join(m.Problems, "; ") }

func (m *Mismatch) add(format string, args ...any) {
	m.Problems = append(m.Problems, fmt.Sprintf(format, args...))
}
