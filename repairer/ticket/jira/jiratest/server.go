// Package jiratest is a Jira for tests: the resources of the REST API version 2 that a tracker needs, with
// the answers and the errors that Atlassian documents for Server and Data Center 9 and for Cloud. It keeps one
// project in memory. That it is like Jira is tested with a client that was not written for it.
//
// Sources: docs.atlassian.com/software/jira/docs/api/REST/9.12.0 and
// developer.atlassian.com/cloud/jira/platform/rest/v2.
package jiratest

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Options say what kind of Jira it is. The zero value is a Server with a project that asks for nothing special.
type Options struct {
	Cloud    bool     // people have account ids, and search is that of Cloud
	OldMeta  bool     // createmeta is the one of before 9.0
	Required []string // names of fields on the create screen that must be given, beside summary
	Lag      bool     // what is created is found only after Index
	User     string   // of basic authentication; default glia
	Secret   string   // password or token; default secret
	TLS      bool
}

// Project is the one project. Its key is also what ids of issues begin with.
const Project = "OPS"

// Server is the emulated Jira. Its methods are safe for concurrent use.
type Server struct {
	URL string

	o    Options
	http *httptest.Server

	mu      sync.Mutex
	issues  []*issue
	files   map[string][]byte // attachments by id
	next    int
	indexed int                                               // issues that search finds
	fault   func(w http.ResponseWriter, r *http.Request) bool // answers itself when it returns true
	lose    func(r *http.Request) bool
	cut     func(n int) Cut
	calls   []string
}

type issue struct {
	id, key    string
	fields     map[string]any // as they were set; those below are made when they are read
	status     status
	resolution string
	resolved   time.Time
	created    time.Time
	updated    time.Time
	comments   []comment
	attached   []attachment
	properties map[string]json.RawMessage
}

type status struct{ id, name, category string }

type comment struct {
	id      string
	body    string
	created time.Time
	author  string
}

type attachment struct {
	id, name string
	size     int
	created  time.Time
}

// The workflow: every status can be reached from each of the others.
var (
	todo       = status{"10000", "To Do", "new"}
	inProgress = status{"3", "In Progress", "indeterminate"}
	done       = status{"10001", "Done", "done"}
)

// resolutions are those of a new Jira.
var resolutions = []string{"Done", "Won't Do", "Duplicate", "Cannot Reproduce"}

// field is a field of the create screen.
type field struct {
	id, name string
	schema   map[string]any
	allowed  []string // names, or values of options
}

var screen = []field{
	{"summary", "Summary", map[string]any{"type": "string", "system": "summary"}, nil},
	{"description", "Description", map[string]any{"type": "string", "system": "description"}, nil},
	{"priority", "Priority", map[string]any{"type": "priority", "system": "priority"}, []string{"High", "Medium", "Low"}},
	{"components", "Component/s", map[string]any{"type": "array", "items": "component", "system": "components"}, []string{"Storage", "Network"}},
	{"labels", "Labels", map[string]any{"type": "array", "items": "string", "system": "labels"}, nil},
	{"assignee", "Assignee", map[string]any{"type": "user", "system": "assignee"}, nil},
	{"customfield_10010", "Data Centre", map[string]any{"type": "option", "custom": "com.atlassian.jira.plugin.system.customfieldtypes:select", "customId": 10010}, []string{"fra1", "ams2"}},
	{"customfield_10011", "Rack", map[string]any{"type": "string", "custom": "com.atlassian.jira.plugin.system.customfieldtypes:textfield", "customId": 10011}, nil},
	{"customfield_10012", "Floors", map[string]any{"type": "number", "custom": "com.atlassian.jira.plugin.system.customfieldtypes:float", "customId": 10012}, nil},
	{"customfield_10013", "Teams", map[string]any{"type": "array", "items": "option", "custom": "com.atlassian.jira.plugin.system.customfieldtypes:multiselect", "customId": 10013}, []string{"hands", "eyes"}},
}

// Start serves until the test ends.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	if o.User == "" {
		o.User = "glia"
	}
	if o.Secret == "" {
		o.Secret = "secret"
	}
	s := &Server{o: o, files: map[string][]byte{}, next: 10100}
	s.http = httptest.NewUnstartedServer(http.HandlerFunc(s.serve))
	s.http.Config.ErrorLog = log.New(io.Discard, "", 0) // clients that do not trust it are part of tests
	if o.TLS {
		s.http.StartTLS()
	} else {
		s.http.Start()
	}
	t.Cleanup(s.http.Close)
	s.URL = s.http.URL
	return s
}

// Certificate is what the server presents with Options.TLS, in PEM.
func (s *Server) Certificate() []byte { return pemOf(s.http.Certificate().Raw) }

// Fail lets f answer requests itself, while it returns true; nil ends that.
func (s *Server) Fail(f func(w http.ResponseWriter, r *http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = f
}

// Lose does what the next request of the method to a path that ends so wants, and cuts its connection before the answer.
func (s *Server) Lose(method, suffix string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lose = func(r *http.Request) bool { return r.Method == method && strings.HasSuffix(r.URL.Path, suffix) }
}

// Cut is what becomes of a request.
type Cut int

// A request is answered, or its connection is cut before it is done, or after.
const (
	CutNot Cut = iota
	CutBefore
	CutAfter
)

// Cut decides about each request by its number, from 1 on.
func (s *Server) Cut(f func(n int) Cut) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cut = f
}

// Index lets search find everything that is there.
func (s *Server) Index() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.indexed = len(s.issues)
}

// Calls are the methods and paths of the requests so far.
func (s *Server) Calls() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

// Count is how many issues there are.
func (s *Server) Count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.issues)
}

// Field is a field of an issue as it was set, in JSON.
func (s *Server) Field(key, name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.find(key)
	if i == nil {
		return "no issue " + key
	}
	b, err := json.Marshal(i.fields[name])
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// Attached are the contents of the attachments of an issue.
func (s *Server) Attached(key string) (out []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.find(key).attached {
		out = append(out, string(s.files[a.id]))
	}
	return out
}

// Resolve is what a person does at the screen.
func (s *Server) Resolve(key, resolution string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.find(key)
	i.status, i.resolution, i.resolved, i.updated = done, resolution, time.Now(), time.Now()
}

// Status is the name of the status of an issue.
func (s *Server) Status(key string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.find(key).status.name
}

// Clone copies an issue with its fields and without its properties, as people do at the screen.
func (s *Server) Clone(key string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := *s.find(key)
	n.properties = map[string]json.RawMessage{}
	return s.add(&n).key
}

func (s *Server) add(i *issue) *issue {
	s.next++
	i.id, i.key = fmt.Sprint(s.next), fmt.Sprintf("%s-%d", Project, len(s.issues)+1)
	s.issues = append(s.issues, i)
	if !s.o.Lag {
		s.indexed = len(s.issues)
	}
	return i
}

// find is an issue by its key or id, or nil.
func (s *Server) find(key string) *issue {
	for _, i := range s.issues {
		if strings.EqualFold(i.key, key) || i.id == key {
			return i
		}
	}
	return nil
}
