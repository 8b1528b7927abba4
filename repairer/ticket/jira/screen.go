package jira

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// screen is what Jira asks for when an issue is created, and the values that the configuration has for it.
type screen struct {
	cloud  bool
	fields map[string]any // for a new issue, but for what the ticket says
}

// metaField is a field of the create screen.
type metaField struct {
	ID       string `json:"fieldId"`
	Name     string `json:"name"`
	Required bool   `json:"required"`
	Default  bool   `json:"hasDefaultValue"`
	Schema   struct {
		Type  string `json:"type"`
		Items string `json:"items"`
	} `json:"schema"`
	Allowed []struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	} `json:"allowedValues"`
}

// Mismatch is what the configuration wants and the project does not have, all of it.
type Mismatch struct{ Problems []string }

// Error is part of error.
func (m *Mismatch) Error() string { return strings.Join(m.Problems, "; ") }

// Check compares the configuration with the create screen of the project. A *Mismatch needs a person; another
// error says that Jira could not be asked.
func (t *Tracker) Check(ctx context.Context) error {
	_, err := t.learn(ctx)
	return err
}

// learn is the screen, asked for until Jira has told it once.
func (t *Tracker) learn(ctx context.Context) (*screen, error) {
	t.mu.Lock()
	s := t.screen
	t.mu.Unlock()
	if s != nil {
		return s, nil
	}
	var info struct {
		Deployment string `json:"deploymentType"`
	}
	if err := t.do(ctx, http.MethodGet, "rest/api/2/serverInfo", nil, nil, &info); err != nil {
		return nil, err
	}
	s = &screen{cloud: info.Deployment == "Cloud"}
	kind, fields, err := t.meta(ctx)
	if err != nil {
		return nil, err
	}
	if s.fields, err = t.fill(s.cloud, kind, fields); err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.screen = s
	return s, nil
}

// meta asks for the create screen: the id of the issue type, and its fields.
func (t *Tracker) meta(ctx context.Context) (kind string, fields []metaField, err error) {
	type issueType struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	}
	base := "rest/api/2/issue/createmeta/" + url.PathEscape(t.Project) + "/issuetypes"
	types, err := pages[issueType](ctx, t, base, "issueTypes")
	var e *Error
	switch {
	case errors.As(err, &e) && e.Status == http.StatusNotFound: // before Jira 8.4
		return t.oldMeta(ctx)
	case errors.As(err, &e) && e.Status == http.StatusBadRequest:
		return "", nil, &Mismatch{[]string{fmt.Sprintf("project %q: %s", t.Project, e.Reason)}}
	case err != nil:
		return "", nil, err
	}
	var names []string
	for _, x := range types {
		if names = append(names, x.Name); strings.EqualFold(x.Name, t.Type) {
			kind = x.ID
		}
	}
	if kind == "" {
		return "", nil, t.noType(names)
	}
	fields, err = pages[metaField](ctx, t, base+"/"+url.PathEscape(kind), "fields")
	return kind, fields, err
}

func (t *Tracker) noType(names []string) error {
	return &Mismatch{[]string{fmt.Sprintf("issue type %q: project %s has %s", t.Type, t.Project, strings.Join(names, ", "))}}
}

// pages reads a list to its end. Server calls every list values, Cloud by what is in it.
func pages[T any](ctx context.Context, t *Tracker, path, cloudName string) ([]T, error) {
	var out []T
	for {
		var page map[string]any
		q := url.Values{"startAt": {strconv.Itoa(len(out))}, "maxResults": {"100"}}
		if err := t.do(ctx, http.MethodGet, path, q, nil, &page); err != nil {
			return nil, err
		}
		name := "values"
		if _, ok := page[name]; !ok {
			name = cloudName
		}
		part, err := convert[[]T](page[name])
		if err != nil {
			return nil, fmt.Errorf("read the list %s: %w", path, err)
		}
		out = append(out, part...)
		total, _ := page["total"].(float64)
		if last, _ := page["isLast"].(bool); last || len(part) == 0 || total > 0 && len(out) >= int(total) {
			return out, nil
		}
	}
}

func (t *Tracker) oldMeta(ctx context.Context) (string, []metaField, error) {
	var doc struct {
		Projects []struct {
			Key   string `json:"key"`
			Types []struct {
				ID     string               `json:"id"`
				Name   string               `json:"name"`
				Fields map[string]metaField `json:"fields"`
			} `json:"issuetypes"`
		} `json:"projects"`
	}
	q := url.Values{"projectKeys": {t.Project}, "expand": {"projects.issuetypes.fields"}}
	if err := t.do(ctx, http.MethodGet, "rest/api/2/issue/createmeta", q, nil, &doc); err != nil {
		return "", nil, err
	}
	for _, p := range doc.Projects {
		if !strings.EqualFold(p.Key, t.Project) {
			continue
		}
		var names []string
		for _, k := range p.Types {
			if names = append(names, k.Name); !strings.EqualFold(k.Name, t.Type) {
				continue
			}
			var fields []metaField
			for id, f := range k.Fields {
				f.ID = id
				fields = append(fields, f)
			}
			return k.ID, fields, nil
		}
		return "", nil, t.noType(names)
	}
	return "", nil, &Mismatch{[]string{fmt.Sprintf("project %q does not exist, or glia may not create issues in it", t.Project)}}
}

// fill finds a value for each field that the configuration names or the screen requires, and tells all that it can not.
func (t *Tracker) fill(cloud bool, kind string, fields []metaField) (map[string]any, error) {
	out := map[string]any{"project": map[string]any{"key": t.Project}, "issuetype": map[string]any{"id": kind}}
	var problems []string
	set := func(what, name string, values []string) {
		n := slices.IndexFunc(fields, func(f metaField) bool { return strings.EqualFold(f.ID, name) || strings.EqualFold(f.Name, name) })
		if n < 0 {
			problems = append(problems, fmt.Sprintf("%s: the screen for a new %s in %s has no field %q", what, t.Type, t.Project, name))
			return
		}
		v, why := fields[n].value(cloud, values)
		if why != "" {
			problems = append(problems, fmt.Sprintf("%s: %s", what, why))
			return
		}
		out[fields[n].ID] = v
	}
	set("labels", "labels", append([]string{label}, t.Labels...))
	if t.Priority != "" {
		set("priority", "priority", []string{t.Priority})
	}
	if len(t.Components) > 0 {
		set("components", "components", t.Components)
	}
	if t.Assignee != "" {
		set("assignee", "assignee", []string{t.Assignee})
	}
	for _, f := range t.Fields {
		set(fmt.Sprintf("field %q", f.Name), f.Name, f.Values)
	}
	for _, f := range fields {
		_, have := out[f.ID]
		if f.Required && !f.Default && !have && !slices.Contains([]string{"summary", "description", "reporter"}, f.ID) {
			problems = append(problems, fmt.Sprintf("the screen requires %q (%s): give it a value", f.Name, f.ID))
		}
	}
	if len(problems) > 0 {
		slices.Sort(problems)
		return nil, &Mismatch{problems}
	}
	return out, nil
}

// value is what the field takes for the words of the configuration, or why it takes none.
func (f metaField) value(cloud bool, words []string) (any, string) {
	var allowed []string
	for _, a := range f.Allowed {
		allowed = append(allowed, a.Name+a.Value) // it has one of them
	}
	var out []any
	for _, w := range words {
		n := slices.IndexFunc(allowed, func(a string) bool { return strings.EqualFold(a, w) })
		if len(allowed) > 0 && n < 0 {
			return nil, fmt.Sprintf("%q is none of %s", w, strings.Join(allowed, ", "))
		}
		if n >= 0 {
			w = allowed[n]
		}
		v, why := one(f.kind(), w, cloud)
		if why != "" {
			return nil, why
		}
		out = append(out, v)
	}
	switch {
	case f.Schema.Type == "array":
		return out, ""
	case len(out) != 1:
		return nil, fmt.Sprintf("%q takes one value, not %d", f.Name, len(out))
	}
	return out[0], ""
}

// kind is the type of one value.
func (f metaField) kind() string {
	if f.Schema.Type == "array" {
		return f.Schema.Items
	}
	return f.Schema.Type
}

func one(kind, word string, cloud bool) (any, string) {
	switch kind {
	case "string", "date", "datetime":
		return word, ""
	case "number":
		n, err := strconv.ParseFloat(word, 64)
		if err != nil {
			return nil, fmt.Sprintf("%q is no number", word)
		}
		return n, ""
	case "option", "option-with-child":
		return map[string]any{"value": word}, ""
	case "user":
		if cloud {
			return map[string]any{"accountId": word}, ""
		}
		return map[string]any{"name": word}, ""
	}
	return map[string]any{"name": word}, "" // priority, component, version, group
}
