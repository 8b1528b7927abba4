// Package jira is a tracker in Jira, Server and Data Center from 8 on and Cloud, by its REST API version 2.
//
// It guarantees that an issue is searched for before it is created, by a label and a property that carry the
// key of the case, and that everything else that is said carries a mark by which it is found again, so that a
// call that is repeated changes nothing. Search may lag behind what was created: a creation is not repeated before
// the lag is over, whether its answer was lost or what came after it.
//
// It fails with *Error where Jira has answered, with glia.ErrNotFound for issues that do not exist, and with the
// transport's error otherwise. After a refused login, and while Jira asks to be left alone, it asks nothing and
// says until when.
package jira

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	jira "github.com/andygrunwald/go-jira"

	"glia/config/secret"
	"glia/repairer"
)

// Options say where tickets go and what they look like. Needed are URL, Secret, Project, Type and Now.
type Options struct {
	URL       string
	User      string // of basic authentication; empty: Secret is a personal token
	Secret    secret.Value
	Transport http.RoundTripper

	Project    string // key
	Type       string // of issue, by name
	Priority   string // by name; empty: Jira's own
	Components []string
	Labels     []string
	Assignee   string // name, in Cloud the account id; empty: Jira's own
	Fields     []Field

	Reopen  []string // names of transitions; empty: any that leads to a status that is not done
	Close   []string // empty: any that leads to one that is
	CloseAs string   // resolution to close with, where the screen asks for one

	// Resolutions are what people may choose in Jira, by lower-case name, and what each means.
	Resolutions map[string]string

	// IndexLag is how long search may not find what was created.
	IndexLag time.Duration

	Now func() time.Time
}

// Field is a field of the site's own, by its name in Jira, with one value or several.
type Field struct {
	Name   string
	Values []string
}

// Tracker is a project in Jira. It is safe for concurrent use.
type Tracker struct {
	Options
	api     *jira.Client
	started time.Time

	mu     sync.Mutex
	screen *screen              // nil until Jira has told it
	asked  map[string]time.Time // creations that search may not find yet, by key
}

var _ repairer.Tracker = (*Tracker)(nil)

// New makes the tracker. It asks nothing yet.
func New(o Options) (*Tracker, error) {
	u, err := url.Parse(o.URL)
	if err != nil || u.Host == "" || u.User != nil {
		return nil, errors.New("the address of Jira is none, or has credentials in it")
	}
	if o.Transport == nil {
		o.Transport = http.DefaultTransport
	}
	client := &http.Client{
		Transport: o.courier(),
		CheckRedirect: func(r *http.Request, _ []*http.Request) error { // it would lead to a login page, or carry the secret away
			return fmt.Errorf("refused: Jira redirects to %s://%s%s", r.URL.Scheme, r.URL.Host, r.URL.Path)
		},
	}
	api, err := jira.NewClient(client, o.URL)
	if err != nil {
		return nil, err
	}
	return &Tracker{Options: o, api: api, started: o.Now(), asked: map[string]time.Time{}}, nil
}

// do sends one request that the library has no method for, and decodes the answer into out unless it is nil.
func (t *Tracker) do(ctx context.Context, method, path string, query url.Values, in, out any) error {
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	r, err := t.api.NewRequestWithContext(ctx, method, path, in)
	if err != nil {
		return err
	}
	_, err = t.api.Do(r, out)
	return plain(err)
}

// plain takes Error out of what the HTTP client and the library have wrapped around it.
func plain(err error) error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return err
}
