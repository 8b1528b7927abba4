package jiratest

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// issue serves the resources below issue.
func (s *Server) issue(w http.ResponseWriter, r *http.Request, p []string) {
	switch {
	case len(p) == 0 && r.Method == http.MethodPost:
		s.create(w, r)
		return
	case len(p) > 0 && p[0] == "createmeta":
		s.meta(w, r, p[1:])
		return
	}
	if len(p) == 0 {
		refuse(w, http.StatusMethodNotAllowed, "", nil)
		return
	}
	i := s.find(p[0])
	if i == nil {
		refuse(w, http.StatusNotFound, "Issue Does Not Exist", nil)
		return
	}
	switch what := strings.Join(append([]string{r.Method}, p[1:min(2, len(p))]...), " "); {
	case what == "GET":
		reply(w, http.StatusOK, s.show(i, r.URL.Query().Get("fields"), r.URL.Query().Get("properties")))
	case what == "PUT":
		s.edit(w, r, i)
	case what == "GET comment":
		s.listComments(w, r, i)
	case what == "POST comment":
		s.comment(w, r, i)
	case what == "GET transitions":
		reply(w, http.StatusOK, map[string]any{"expand": "transitions", "transitions": transitions(r.URL.Query().Get("expand"))})
	case what == "POST transitions":
		s.transit(w, r, i)
	case what == "POST attachments":
		s.attach(w, r, i)
	case len(p) == 3 && p[1] == "properties" && r.Method == http.MethodPut:
		s.setProperty(w, r, i, p[2])
	case len(p) == 3 && p[1] == "properties" && r.Method == http.MethodGet:
		v, ok := i.properties[p[2]]
		if !ok {
			refuse(w, http.StatusNotFound, fmt.Sprintf("The property with key '%s' does not exist.", p[2]), nil)
			return
		}
		reply(w, http.StatusOK, map[string]any{"key": p[2], "value": v})
	default:
		refuse(w, http.StatusMethodNotAllowed, "", nil)
	}
}

type draft struct {
	Fields     map[string]any `json:"fields"`
	Properties []struct {
		Key   string          `json:"key"`
		Value json.RawMessage `json:"value"`
	} `json:"properties"`
}

func (s *Server) create(w http.ResponseWriter, r *http.Request) {
	var d draft
	if err := json.NewDecoder(r.Body).Decode(&d); err != nil {
		refuse(w, http.StatusBadRequest, "Unexpected character in JSON", nil)
		return
	}
	wrong := s.judge(d.Fields, true)
	project, _ := d.Fields["project"].(map[string]any)
	if project["key"] != Project && project["id"] != "10000" {
		wrong = map[string]string{"project": "valid project is required"}
	}
	kind, _ := d.Fields["issuetype"].(map[string]any)
	if kind["id"] != "10002" && kind["name"] != "Task" {
		wrong["issuetype"] = "The issue type selected is invalid."
	}
	if len(wrong) > 0 {
		refuse(w, http.StatusBadRequest, "", wrong)
		return
	}
	i := &issue{fields: d.Fields, status: todo, created: time.Now(), updated: time.Now(), properties: map[string]json.RawMessage{}}
	for _, x := range d.Properties {
		i.properties[x.Key] = x.Value
	}
	s.add(i)
	reply(w, http.StatusCreated, map[string]any{"id": i.id, "key": i.key, "self": s.URL + "/rest/api/2/issue/" + i.id})
}

// judge finds what the screen does not take.
func (s *Server) judge(fields map[string]any, whole bool) map[string]string {
	wrong := map[string]string{}
	for id, v := range fields {
		if id == "project" || id == "issuetype" {
			continue
		}
		n := slices.IndexFunc(screen, func(f field) bool { return f.id == id })
		if n < 0 {
			wrong[id] = fmt.Sprintf("Field '%s' cannot be set. It is not on the appropriate screen, or unknown.", id)
			continue
		}
		if why := s.taken(screen[n], v); why != "" {
			wrong[id] = why
		}
	}
	if text, _ := fields["summary"].(string); text == "" && whole {
		wrong["summary"] = "You must specify a summary of the issue."
	} else if strings.ContainsAny(text, "\r\n") {
		wrong["summary"] = "The summary is invalid because it contains newline characters."
	} else if len([]rune(text)) > 255 {
		wrong["summary"] = "Summary must be less than 255 characters."
	}
	for _, f := range screen {
		if _, given := fields[f.id]; whole && !given && slices.Contains(s.o.Required, f.name) {
			wrong[f.id] = f.name + " is required."
		}
	}
	return wrong
}

// taken says why a value is none for the field.
func (s *Server) taken(f field, v any) string {
	one := func(v any) (string, bool) {
		m, ok := v.(map[string]any)
		for _, k := range []string{"name", "value", "accountId"} {
			if text, is := m[k].(string); is {
				return text, ok
			}
		}
		return "", false
	}
	switch typ, items := f.schema["type"], f.schema["items"]; {
	case typ == "string":
		text, ok := v.(string)
		if !ok {
			return "Operation value must be a string"
		}
		if f.id == "description" && len([]rune(text)) > 32767 {
			return "The entered text is too long. It exceeds the allowed limit of 32,767 characters."
		}
	case typ == "number":
		if _, ok := v.(float64); !ok {
			return "Operation value must be a number"
		}
	case typ == "array" && items == "string":
		list, ok := v.([]any)
		for _, x := range list {
			if text, is := x.(string); !is || strings.ContainsAny(text, " \t") {
				return fmt.Sprintf("The label '%v' contains spaces which is invalid.", x)
			}
		}
		if !ok {
			return "data was not an array"
		}
	case typ == "array":
		list, ok := v.([]any)
		if !ok {
			return "data was not an array"
		}
		for _, x := range list {
			if n, ok := one(x); !ok || !slices.Contains(f.allowed, n) {
				return fmt.Sprintf("Component name '%v' is not valid", n)
			}
		}
	case typ == "user":
		m, _ := v.(map[string]any)
		if _, byName := m["name"]; byName == s.o.Cloud {
			return "User '' does not exist."
		}
		if n, _ := one(v); n == "nobody" {
			return "User 'nobody' does not exist."
		}
	default:
		if n, ok := one(v); !ok || !slices.Contains(f.allowed, n) {
			return fmt.Sprintf("Option value '%s' is not valid", n)
		}
	}
	return ""
}

func (s *Server) edit(w http.ResponseWriter, r *http.Request, i *issue) {
	var d draft
	if err := json.NewDecoder(r.Body).Decode(&d); err != nil {
		refuse(w, http.StatusBadRequest, "Unexpected character in JSON", nil)
		return
	}
	if wrong := s.judge(d.Fields, false); len(wrong) > 0 {
		refuse(w, http.StatusBadRequest, "", wrong)
		return
	}
	i.fields = maps.Clone(i.fields)
	maps.Copy(i.fields, d.Fields)
	i.updated = time.Now()
	w.WriteHeader(http.StatusNoContent)
}

const clock = "2006-01-02T15:04:05.000-0700"

func (s *Server) show(i *issue, fields, properties string) map[string]any {
	f := maps.Clone(i.fields)
	f["project"], f["issuetype"] = map[string]any{"id": "10000", "key": Project}, map[string]any{"id": "10002", "name": "Task"}
	f["status"] = i.status.show()
	f["created"], f["updated"] = i.created.Format(clock), i.updated.Format(clock)
	f["resolution"], f["resolutiondate"] = nil, nil
	if i.resolution != "" {
		f["resolution"] = map[string]any{"id": "1", "name": i.resolution}
	}
	if i.status == done {
		f["resolutiondate"] = i.resolved.Format(clock)
	}
	list := []any{}
	for _, c := range i.comments {
		list = append(list, s.showComment(c))
	}
	f["comment"] = map[string]any{"comments": list, "maxResults": len(list), "total": len(list), "startAt": 0}
	files := []any{}
	for _, a := range i.attached {
		files = append(files, s.showFile(a))
	}
	f["attachment"] = files
	if fields != "" && fields != "*all" {
		maps.DeleteFunc(f, func(k string, _ any) bool { return !slices.Contains(strings.Split(fields, ","), k) })
	}
	out := map[string]any{"id": i.id, "key": i.key, "self": s.URL + "/rest/api/2/issue/" + i.id, "fields": f}
	if properties != "" {
		have := map[string]any{}
		for _, k := range strings.Split(properties, ",") {
			if v, ok := i.properties[k]; ok {
				have[k] = v
			}
		}
		out["properties"] = have
	}
	return out
}

func (x status) show() map[string]any {
	category := map[string]any{"new": 2, "indeterminate": 4, "done": 3}[x.category]
	return map[string]any{"id": x.id, "name": x.name, "statusCategory": map[string]any{"id": category, "key": x.category, "name": x.name}}
}

func (s *Server) showComment(c comment) map[string]any {
	return map[string]any{"id": c.id, "body": c.body, "author": s.person(c.author), "created": c.created.Format(clock), "updated": c.created.Format(clock)}
}

func (s *Server) showFile(a attachment) map[string]any {
	return map[string]any{"id": a.id, "filename": a.name, "size": a.size, "created": a.created.Format(clock), "content": s.URL + "/secure/attachment/" + a.id + "/" + a.name, "author": s.person(s.o.User)}
}

// listComments gives at most 50 comments at a time.
func (s *Server) listComments(w http.ResponseWriter, r *http.Request, i *issue) {
	start, _ := strconv.Atoi(r.URL.Query().Get("startAt"))
	most, err := strconv.Atoi(r.URL.Query().Get("maxResults"))
	if err != nil || most > 50 {
		most = 50
	}
	list := []any{}
	for n := start; n < len(i.comments) && n < start+most; n++ {
		list = append(list, s.showComment(i.comments[n]))
	}
	reply(w, http.StatusOK, map[string]any{"startAt": start, "maxResults": most, "total": len(i.comments), "comments": list})
}

func (s *Server) comment(w http.ResponseWriter, r *http.Request, i *issue) {
	var c struct {
		Body string `json:"body"`
	}
	if err := json.NewDecoder(r.Body).Decode(&c); err != nil || c.Body == "" {
		refuse(w, http.StatusBadRequest, "", map[string]string{"comment": "Comment body can not be empty!"})
		return
	}
	s.next++
	n := comment{id: fmt.Sprint(s.next), body: c.Body, created: time.Now(), author: s.o.User}
	i.comments, i.updated = append(i.comments, n), time.Now()
	reply(w, http.StatusCreated, s.showComment(n))
}

func (s *Server) attach(w http.ResponseWriter, r *http.Request, i *issue) {
	if t := r.Header.Get("X-Atlassian-Token"); t != "nocheck" && t != "no-check" {
		http.Error(w, "XSRF check failed", http.StatusForbidden)
		return
	}
	f, head, err := r.FormFile("file")
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error(), nil)
		return
	}
	data, _ := io.ReadAll(f) // in memory already
	s.next++
	a := attachment{id: fmt.Sprint(s.next), name: head.Filename, size: len(data), created: time.Now()}
	s.files[a.id] = data
	i.attached, i.updated = append(i.attached, a), time.Now()
	reply(w, http.StatusOK, []any{s.showFile(a)})
}

func (s *Server) setProperty(w http.ResponseWriter, r *http.Request, i *issue, key string) {
	b, err := io.ReadAll(r.Body)
	if err != nil || !json.Valid(b) {
		refuse(w, http.StatusBadRequest, "The property value must be valid JSON.", nil)
		return
	}
	i.properties[key] = b
	w.WriteHeader(http.StatusCreated)
}
