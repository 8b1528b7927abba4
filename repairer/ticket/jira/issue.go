package jira

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	jira "github.com/andygrunwald/go-jira"

	"glia"
	"glia/repairer"
	"glia/repairer/ticket"
)

// label is on every issue of glia, and with a mark behind it on the issue of one case. The property of the same name
// tells the issue from a copy that a person has made of it: copies have the labels, and not the property.
const label = "glia"

// What Jira takes, in characters.
const (
	longestSummary = 255
	longestText    = 32767
)

// property is what an issue carries.
type property struct {
	Key  string `json:"key"`
	Case string `json:"case"`
}

// keys are what Jira's own keys of issues look like.
var keys = regexp.MustCompile(`^[A-Z][A-Z0-9_]*-[0-9]+$`)

func known(id string) error {
	if !keys.MatchString(id) {
		return fmt.Errorf("issue %q: %w; issues are named like OPS-17", id, glia.ErrNotFound)
	}
	return nil
}

// Find searches for the issue.
func (t *Tracker) Find(ctx context.Context, key string) (string, error) {
	s, err := t.learn(ctx)
	if err != nil {
		return "", err
	}
	found, err := t.search(ctx, s, fmt.Sprintf(`labels = "%s-%s" ORDER BY created ASC`, label, ticket.Mark(key)), "labels", 50)
	if err != nil {
		return "", fmt.Errorf("search for the ticket with the key %s: %w", key, err)
	}
	bare := ""
	for _, i := range found {
		var p struct {
			Value property `json:"value"`
		}
		err := t.do(ctx, http.MethodGet, "rest/api/2/issue/"+i.Key+"/properties/"+label, nil, nil, &p)
		switch {
		case err == nil && p.Value.Key == key:
			return i.Key, nil
		case errors.Is(err, glia.ErrNotFound) && bare == "":
			bare = i.Key
		case err != nil && !errors.Is(err, glia.ErrNotFound):
			return "", fmt.Errorf("read the property of %s: %w", i.Key, err)
		}
	}
	if bare != "" { // Jira has not taken the property with the issue
		return bare, nil
	}
	return "", fmt.Errorf("ticket with the key %s: %w", key, glia.ErrNotFound)
}

// search is one page of the issues that the query finds.
func (t *Tracker) search(ctx context.Context, s *screen, jql, fields string, most int) ([]jira.Issue, error) {
	path, q := "rest/api/2/search", url.Values{"jql": {jql}, "fields": {fields}, "maxResults": {fmt.Sprint(most)}}
	if s.cloud {
		path += "/jql"
	} else {
		q.Set("validateQuery", "warn") // a key of an issue that is gone is no error
	}
	var out struct {
		Issues []jira.Issue `json:"issues"`
	}
	err := t.do(ctx, http.MethodGet, path, q, nil, &out)
	return out.Issues, err
}

// File creates the issue, unless search finds it.
func (t *Tracker) File(ctx context.Context, key string, tk repairer.Ticket) (string, error) {
	id, err := t.Find(ctx, key)
	if err == nil || !errors.Is(err, glia.ErrNotFound) {
		return id, err
	}
	if until := t.sure(key); t.Now().Before(until) {
		return "", fmt.Errorf("whether Jira has the ticket already is sure only after %s, because its search lags behind", until.UTC().Format(time.RFC3339))
	}
	s, err := t.learn(ctx)
	if err != nil {
		return "", err
	}
	f := maps.Clone(s.fields)
	f["summary"], f["description"] = ticket.Line(tk.Title, longestSummary), wrap(tk.Body)
	f["labels"] = append(slices.Clone(s.fields["labels"].([]any)), label+"-"+ticket.Mark(key)) //nolint:forcetypeassert // fill has made it
	t.note(key, true)
	var made jira.Issue
	err = t.do(ctx, http.MethodPost, "rest/api/2/issue", nil, map[string]any{
		"fields": f, "properties": []any{map[string]any{"key": label, "value": property{key, tk.Case}}},
	}, &made)
	var e *Error
	switch {
	case errors.As(err, &e) && e.Status < 500 && e.Status != http.StatusRequestTimeout:
		t.note(key, false) // it was refused, so there is none
		return "", fmt.Errorf("create an issue in %s: %w", t.Project, err)
	case err != nil:
		return "", fmt.Errorf("create an issue in %s: %w", t.Project, err)
	case made.Key == "":
		return "", fmt.Errorf("create an issue in %s: the answer names no issue", t.Project)
	}
	return made.Key, nil // the note stays: whoever asks again, because a later step did not succeed, searches before the index has it
}

// sure is from when on search finds what was created for the key before.
func (t *Tracker) sure(key string) time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	last := t.started // a process before this one may have asked until then
	if at, ok := t.asked[key]; ok {
		last = at
	}
	return last.Add(t.IndexLag)
}

func (t *Tracker) note(key string, asked bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !asked {
		delete(t.asked, key)
		return
	}
	now := t.Now()
	maps.DeleteFunc(t.asked, func(_ string, at time.Time) bool { return now.Sub(at) > t.IndexLag })
	t.asked[key] = now
}

// Update sets summary and description, unless they are like that.
func (t *Tracker) Update(ctx context.Context, id, title, body string) error {
	i, err := t.read(ctx, id, "summary,description")
	if err != nil {
		return err
	}
	title, body = ticket.Line(title, longestSummary), wrap(body)
	if i.Fields.Summary == title && ticket.Normal(i.Fields.Description) == ticket.Normal(body) {
		return nil
	}
	in := map[string]any{"fields": map[string]any{"summary": title, "description": body}}
	if err := t.do(ctx, http.MethodPut, "rest/api/2/issue/"+id, nil, in, nil); err != nil {
		return fmt.Errorf("update issue %s: %w", id, err)
	}
	return nil
}

// read reads some fields of an issue.
func (t *Tracker) read(ctx context.Context, id, fields string) (*jira.Issue, error) {
	if err := known(id); err != nil {
		return nil, err
	}
	i, _, err := t.api.Issue.GetWithContext(ctx, id, &jira.GetQueryOptions{Fields: fields})
	if err != nil {
		return nil, fmt.Errorf("read issue %s: %w", id, plain(err))
	}
	if i.Fields == nil {
		return nil, fmt.Errorf("read issue %s: the answer has no fields", id)
	}
	return i, nil
}

// Ticket reads an issue.
func (t *Tracker) Ticket(ctx context.Context, id string) (repairer.Ticket, error) {
	i, err := t.read(ctx, id, "summary,description,status,resolution,resolutiondate,created,updated")
	if err != nil {
		return repairer.Ticket{}, err
	}
	out := t.ticket(*i)
	out.Title, out.Body = i.Fields.Summary, unwrap(i.Fields.Description)
	list, err := t.comments(ctx, id)
	for _, c := range list {
		at, _ := time.Parse("2006-01-02T15:04:05.999-0700", c.Created)
		text, _ := ticket.Unsign(c.Body)
		out.Comments = append(out.Comments, repairer.Comment{At: at.UTC(), Author: author(c.Author), Text: text})
	}
	return out, err
}

func author(u jira.User) string {
	for _, n := range []string{u.DisplayName, u.Name, u.AccountID} {
		if n != "" {
			return n
		}
	}
	return "unknown"
}

// ticket is the state of an issue. One that is done without a resolution, as projects are that know none, is
// resolved as done: nobody believes it before the place was looked at.
func (t *Tracker) ticket(i jira.Issue) repairer.Ticket {
	out := repairer.Ticket{ID: i.Key, Status: repairer.TicketOpen, CreatedAt: time.Time(i.Fields.Created).UTC(), UpdatedAt: time.Time(i.Fields.Updated).UTC()}
	if !isDone(i.Fields.Status) {
		return out
	}
	out.Status, out.Resolution = repairer.TicketResolved, repairer.ResolutionDone
	if r := i.Fields.Resolution; r != nil {
		out.Resolution = r.Name
		if known, ok := t.Resolutions[strings.ToLower(r.Name)]; ok {
			out.Resolution = known
		}
	}
	if at := time.Time(i.Fields.Resolutiondate); !at.IsZero() {
		out.UpdatedAt = at.UTC()
	}
	return out
}

func isDone(s *jira.Status) bool { return s != nil && s.StatusCategory.Key == "done" }

// Statuses reads many issues in one request, without their text; those that do not exist are left out.
func (t *Tracker) Statuses(ctx context.Context, ids []string) ([]repairer.Ticket, error) {
	s, err := t.learn(ctx)
	if err != nil {
		return nil, err
	}
	ids = slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return known(id) != nil })
	if len(ids) == 0 {
		return nil, nil
	}
	found, err := t.search(ctx, s, "key in ("+strings.Join(ids, ",")+")", "status,resolution,resolutiondate,created,updated", len(ids))
	if err != nil {
		return nil, fmt.Errorf("read %d issues: %w", len(ids), err)
	}
	var out []repairer.Ticket
	for _, i := range found {
		if i.Fields != nil {
			out = append(out, t.ticket(i))
		}
	}
	return out, nil
}

// The text is a table for people, so Jira must leave it as it is.
const before, after = "{noformat}\n", "\n{noformat}"

func wrap(body string) string {
	return before + ticket.Cut(strings.TrimRight(body, "\n"), longestText-len(before)-len(after)) + after
}

func unwrap(text string) string {
	return strings.TrimSuffix(strings.TrimPrefix(ticket.Normal(text), before), after)
}

// convert reads a value that was decoded without knowing its type.
func convert[T any](v any) (out T, err error) {
	b, err := json.Marshal(v)
	if err != nil {
		return out, err
	}
	return out, json.Unmarshal(b, &out)
}
