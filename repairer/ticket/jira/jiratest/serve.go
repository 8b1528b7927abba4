package jiratest

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
)

func pemOf(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// problem is the body of an error.
type problem struct {
	ErrorMessages []string          `json:"errorMessages"`
	Errors        map[string]string `json:"errors"`
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.calls = append(s.calls, r.Method+" "+r.URL.Path)
	fault, cut := s.fault, CutNot
	if s.cut != nil {
		cut = s.cut(len(s.calls))
	}
	s.mu.Unlock()
	if fault != nil && fault(w, r) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.authentic(w, r) {
		return
	}
	if cut == CutBefore {
		panic(http.ErrAbortHandler)
	}
	if cut == CutAfter || s.lose != nil && s.lose(r) {
		s.lose = nil
		s.route(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler)
	}
	s.route(w, r)
}

// authentic refuses as Jira does: with a page for people, not with JSON.
func (s *Server) authentic(w http.ResponseWriter, r *http.Request) bool {
	user, secret, basic := r.BasicAuth()
	if basic && user == s.o.User && secret == s.o.Secret || r.Header.Get("Authorization") == "Bearer "+s.o.Secret {
		return true
	}
	w.Header().Set("WWW-Authenticate", `OAuth realm="`+s.URL+`"`)
	w.Header().Set("X-Seraph-LoginReason", "AUTHENTICATED_FAILED")
	w.Header().Set("Content-Type", "text/html;charset=UTF-8")
	w.WriteHeader(http.StatusUnauthorized)
	fmt.Fprint(w, "<html><head><title>Unauthorized (401)</title></head><body><h1>Unauthorized (401)</h1></body></html>")
	return false
}

func (s *Server) route(w http.ResponseWriter, r *http.Request) {
	path, ok := strings.CutPrefix(r.URL.Path, "/rest/api/2/")
	if id, found := strings.CutPrefix(r.URL.Path, "/secure/attachment/"); found {
		id, _, _ = strings.Cut(id, "/")
		w.Header().Set("Content-Type", "application/octet-stream")
		_, _ = w.Write(s.files[id])
		return
	}
	p := strings.Split(path, "/")
	verb := r.Method + " " + p[0]
	switch {
	case !ok:
		s.page(w, http.StatusNotFound)
	case verb == "GET serverInfo":
		deployment, version := "Server", "9.12.0"
		if s.o.Cloud {
			deployment, version = "Cloud", "1001.0.0-SNAPSHOT"
		}
		reply(w, http.StatusOK, map[string]any{"baseUrl": s.URL, "version": version, "versionNumbers": []int{9, 12, 0}, "deploymentType": deployment, "buildNumber": 912000, "serverTitle": "Jira"})
	case verb == "GET myself":
		reply(w, http.StatusOK, s.person(s.o.User))
	case verb == "GET field":
		var out []map[string]any
		for _, f := range screen {
			out = append(out, map[string]any{"id": f.id, "name": f.name, "custom": strings.HasPrefix(f.id, "customfield"), "schema": f.schema, "clauseNames": []string{f.id}})
		}
		reply(w, http.StatusOK, out)
	case verb == "GET priority":
		var out []map[string]any
		for i, n := range []string{"High", "Medium", "Low"} {
			out = append(out, map[string]any{"id": fmt.Sprint(i + 1), "name": n})
		}
		reply(w, http.StatusOK, out)
	case verb == "GET project" && len(p) == 2:
		if !strings.EqualFold(p[1], Project) {
			refuse(w, http.StatusNotFound, fmt.Sprintf("No project could be found with key '%s'.", p[1]), nil)
			return
		}
		reply(w, http.StatusOK, map[string]any{"id": "10000", "key": Project, "name": "Operations"})
	case verb == "GET search" && len(p) == 1 && !s.o.Cloud, verb == "POST search" && len(p) == 1 && !s.o.Cloud:
		s.search(w, r)
	case verb == "GET search" && len(p) == 2 && p[1] == "jql" && s.o.Cloud:
		s.search(w, r)
	case p[0] == "search": // removed from Cloud in 2025
		refuse(w, http.StatusGone, "The requested API has been removed. Please migrate to the /rest/api/3/search/jql API.", nil)
	case p[0] == "issue":
		s.issue(w, r, p[1:])
	default:
		refuse(w, http.StatusNotFound, "null for uri: "+r.URL.Path, nil)
	}
}

func (s *Server) person(name string) map[string]any {
	if s.o.Cloud {
		return map[string]any{"accountId": name, "displayName": name, "active": true}
	}
	return map[string]any{"name": name, "key": "JIRAUSER10000", "displayName": name, "active": true}
}

// page is an error for people.
func (s *Server) page(w http.ResponseWriter, code int) {
	w.Header().Set("Content-Type", "text/html;charset=UTF-8")
	w.WriteHeader(code)
	fmt.Fprintf(w, "<!DOCTYPE html><html><body>Oops, you've found a dead link. %d</body></html>", code)
}

func reply(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json;charset=UTF-8")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body) // the client is gone
}

func refuse(w http.ResponseWriter, code int, message string, fields map[string]string) {
	b := problem{ErrorMessages: []string{}, Errors: map[string]string{}}
	if message != "" {
		b.ErrorMessages = append(b.ErrorMessages, message)
	}
	for k, v := range fields {
		b.Errors[k] = v
	}
	reply(w, code, b)
}
