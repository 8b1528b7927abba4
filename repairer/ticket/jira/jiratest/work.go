package jiratest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// transitions are those of the workflow. The screen of Done asks for a resolution.
func transitions(expand string) []any {
	var out []any
	for _, t := range []struct {
		id, name string
		to       status
	}{{"11", "To Do", todo}, {"21", "In Progress", inProgress}, {"31", "Done", done}} {
		m := map[string]any{"id": t.id, "name": t.name, "to": t.to.show()}
		if strings.Contains(expand, "transitions.fields") {
			fields := map[string]any{}
			if t.to == done {
				fields["resolution"] = map[string]any{"required": true, "name": "Resolution"}
			}
			m["fields"] = fields
		}
		out = append(out, m)
	}
	return out
}

func (s *Server) transit(w http.ResponseWriter, r *http.Request, i *issue) {
	var d struct {
		Transition struct {
			ID string `json:"id"`
		} `json:"transition"`
		Fields struct {
			Resolution *struct {
				Name string `json:"name"`
			} `json:"resolution"`
		} `json:"fields"`
	}
	if err := json.NewDecoder(r.Body).Decode(&d); err != nil {
		refuse(w, http.StatusBadRequest, "Unexpected character in JSON", nil)
		return
	}
	to, ok := map[string]status{"11": todo, "21": inProgress, "31": done}[d.Transition.ID]
	switch {
	case !ok:
		refuse(w, http.StatusBadRequest, "It seems that you have tried to perform an illegal workflow operation.", nil)
		return
	case to == done && d.Fields.Resolution == nil:
		refuse(w, http.StatusBadRequest, "", map[string]string{"resolution": "Resolution is required."})
		return
	case to == done && !slices.Contains(resolutions, d.Fields.Resolution.Name):
		refuse(w, http.StatusBadRequest, "", map[string]string{"resolution": fmt.Sprintf("The resolution '%s' is not valid.", d.Fields.Resolution.Name)})
		return
	}
	i.status, i.resolution, i.updated = to, "", time.Now()
	if to == done {
		i.resolution, i.resolved = d.Fields.Resolution.Name, time.Now()
	}
	w.WriteHeader(http.StatusNoContent)
}

func (s *Server) meta(w http.ResponseWriter, r *http.Request, p []string) {
	fields := func() (list []any, byID map[string]any) {
		byID = map[string]any{}
		for _, f := range screen {
			m := map[string]any{"fieldId": f.id, "key": f.id, "name": f.name, "schema": f.schema, "hasDefaultValue": false, "operations": []string{"set"},
				"required": f.id == "summary" || slices.Contains(s.o.Required, f.name)}
			if f.allowed != nil {
				values := []any{}
				for n, v := range f.allowed {
					k := "name"
					if strings.HasPrefix(f.id, "customfield") {
						k = "value"
					}
					values = append(values, map[string]any{"id": fmt.Sprint(n + 1), k: v})
				}
				m["allowedValues"] = values
			}
			list, byID[f.id] = append(list, m), m
		}
		return list, byID
	}
	kind := map[string]any{"id": "10002", "name": "Task", "subtask": false}
	page := func(list []any) map[string]any {
		start, _ := strconv.Atoi(r.URL.Query().Get("startAt"))
		most, err := strconv.Atoi(r.URL.Query().Get("maxResults"))
		if err != nil || most > 5 { // small, so that clients have to turn pages
			most = 5
		}
		part := list[min(start, len(list)):min(start+most, len(list))]
		name := "values"
		if s.o.Cloud {
			name = "fields"
			if len(p) == 2 {
				name = "issueTypes"
			}
		}
		return map[string]any{"startAt": start, "maxResults": most, "total": len(list), "isLast": start+most >= len(list), name: part}
	}
	list, byID := fields()
	switch {
	case len(p) == 0 && s.o.OldMeta:
		projects := []any{}
		if strings.EqualFold(r.URL.Query().Get("projectKeys"), Project) {
			if strings.Contains(r.URL.Query().Get("expand"), "projects.issuetypes.fields") {
				kind["fields"] = byID
			}
			projects = append(projects, map[string]any{"id": "10000", "key": Project, "name": "Operations", "issuetypes": []any{kind}})
		}
		reply(w, http.StatusOK, map[string]any{"expand": "projects", "projects": projects})
	case s.o.OldMeta || len(p) == 0:
		refuse(w, http.StatusNotFound, "Issue Does Not Exist", nil) // createmeta is taken for the key of an issue
	case !strings.EqualFold(p[0], Project):
		refuse(w, http.StatusBadRequest, fmt.Sprintf("No project could be found with key '%s'.", p[0]), nil)
	case len(p) == 2:
		reply(w, http.StatusOK, page([]any{map[string]any{"id": "10003", "name": "Story", "subtask": false}, kind}))
	case len(p) == 3 && p[2] == "10002":
		reply(w, http.StatusOK, page(list))
	default:
		refuse(w, http.StatusBadRequest, "The issue type is not valid.", nil)
	}
}

var clause = regexp.MustCompile(`(?i)^(labels|project|key|issuekey)\s*(=|in)\s*(.+)$`)

// search knows the JQL that is needed: labels, project and key, with = or in, joined by AND.
func (s *Server) search(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	jql, fields := q.Get("jql"), q.Get("fields")
	start, _ := strconv.Atoi(q.Get("startAt"))
	most, _ := strconv.Atoi(q.Get("maxResults"))
	if r.Method == http.MethodPost {
		var b struct {
			JQL        string   `json:"jql"`
			StartAt    int      `json:"startAt"`
			MaxResults int      `json:"maxResults"`
			Fields     []string `json:"fields"`
		}
		if err := json.NewDecoder(r.Body).Decode(&b); err != nil {
			refuse(w, http.StatusBadRequest, "Unexpected character in JSON", nil)
			return
		}
		jql, fields, start, most = b.JQL, strings.Join(b.Fields, ","), b.StartAt, b.MaxResults
	}
	if most <= 0 || most > 100 {
		most = 50
	}
	where, _, _ := strings.Cut(jql, " ORDER BY ")
	found := slices.Clone(s.issues[:s.indexed])
	for _, part := range strings.Split(where, " AND ") {
		m := clause.FindStringSubmatch(strings.TrimSpace(part))
		if m == nil {
			refuse(w, http.StatusBadRequest, fmt.Sprintf("Error in the JQL Query: '%s' is not understood.", part), nil)
			return
		}
		var values []string
		for _, v := range strings.Split(strings.Trim(m[3], "()"), ",") {
			values = append(values, strings.Trim(strings.TrimSpace(v), `"`))
		}
		if strings.HasSuffix(strings.ToLower(m[1]), "key") && !s.o.Cloud && q.Get("validateQuery") != "none" && q.Get("validateQuery") != "warn" {
			for _, v := range values {
				if s.find(v) == nil {
					refuse(w, http.StatusBadRequest, fmt.Sprintf("An issue with key '%s' does not exist for field 'key'.", v), nil)
					return
				}
			}
		}
		found = slices.DeleteFunc(found, func(i *issue) bool { return !i.has(strings.ToLower(m[1]), values) })
	}
	out := []any{}
	for _, i := range found[min(start, len(found)):min(start+most, len(found))] {
		if s.o.Cloud && fields == "" {
			fields = "id"
		}
		out = append(out, s.show(i, fields, q.Get("properties")))
	}
	if s.o.Cloud {
		reply(w, http.StatusOK, map[string]any{"issues": out, "isLast": start+most >= len(found)})
		return
	}
	reply(w, http.StatusOK, map[string]any{"expand": "schema,names", "startAt": start, "maxResults": most, "total": len(found), "issues": out})
}

func (i *issue) has(field string, values []string) bool {
	switch field {
	case "labels":
		list, _ := i.fields["labels"].([]any)
		return slices.ContainsFunc(list, func(l any) bool { return slices.Contains(values, fmt.Sprint(l)) })
	case "project":
		return slices.Contains(values, Project)
	}
	return slices.ContainsFunc(values, func(v string) bool { return strings.EqualFold(v, i.key) })
}
