package jira

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"

	jira "github.com/andygrunwald/go-jira"

	"glia/repairer/ticket"
)

// comments are all comments of an issue, oldest first.
func (t *Tracker) comments(ctx context.Context, id string) ([]jira.Comment, error) {
	var out []jira.Comment
	for {
		var page struct {
			Total    int            `json:"total"`
			Comments []jira.Comment `json:"comments"`
		}
		q := url.Values{"startAt": {strconv.Itoa(len(out))}, "maxResults": {"100"}}
		if err := t.do(ctx, http.MethodGet, "rest/api/2/issue/"+id+"/comment", q, nil, &page); err != nil {
			return nil, fmt.Errorf("read the comments of issue %s: %w", id, err)
		}
		if out = append(out, page.Comments...); len(page.Comments) == 0 || len(out) >= page.Total {
			return out, nil
		}
	}
}

// said says whether the issue has the comment with the key.
func (t *Tracker) said(ctx context.Context, key, id string) (bool, error) {
	if err := known(id); err != nil {
		return false, err
	}
	list, err := t.comments(ctx, id)
	return slices.ContainsFunc(list, func(c jira.Comment) bool { _, m := ticket.Unsign(c.Body); return m == ticket.Mark(key) }), err
}

func (t *Tracker) say(ctx context.Context, key, id, text string) error {
	_, _, err := t.api.Issue.AddCommentWithContext(ctx, id, &jira.Comment{Body: ticket.Sign(text, key, longestText)})
	if err != nil {
		return fmt.Errorf("comment on issue %s: %w", id, plain(err))
	}
	return nil
}

// Comment adds a comment, unless it is there.
func (t *Tracker) Comment(ctx context.Context, key, id, text string) error {
	if there, err := t.said(ctx, key, id); err != nil || there {
		return err
	}
	return t.say(ctx, key, id, text)
}

// Attach adds a file, unless one with the mark in its name is there.
func (t *Tracker) Attach(ctx context.Context, key, id, name string, data []byte) error {
	i, err := t.read(ctx, id, "attachment")
	if err != nil {
		return err
	}
	ext := path.Ext(name)
	name = strings.TrimSuffix(name, ext) + "-" + ticket.Mark(key) + ext
	if slices.ContainsFunc(i.Fields.Attachments, func(a *jira.Attachment) bool { return a.Filename == name }) {
		return nil
	}
	if _, _, err := t.api.Issue.PostAttachmentWithContext(ctx, id, bytes.NewReader(data), name); err != nil {
		return fmt.Errorf("attach %s to issue %s: %w", name, id, plain(err))
	}
	return nil
}

// Reopen leads the issue to a status that is not done, and then says why. Once that is said, a repeated call
// changes nothing, whatever people have done since.
func (t *Tracker) Reopen(ctx context.Context, key, id, text string) error {
	return t.lead(ctx, key, id, text, false)
}

// Close leads the issue to a status that is done, and then says why.
func (t *Tracker) Close(ctx context.Context, key, id, text string) error {
	return t.lead(ctx, key, id, text, true)
}

// mostSteps bounds the way through a workflow.
const mostSteps = 5

func (t *Tracker) lead(ctx context.Context, key, id, text string, done bool) error {
	if there, err := t.said(ctx, key, id); err != nil || there {
		return err
	}
	for range mostSteps {
		i, err := t.read(ctx, id, "status")
		if err != nil {
			return err
		}
		if isDone(i.Fields.Status) == done {
			return t.say(ctx, key, id, text)
		}
		if err := t.transit(ctx, id, i.Fields.Status, done); err != nil {
			return err
		}
	}
	return fmt.Errorf("issue %s: %d transitions did not lead to where they should; name them in the configuration", id, mostSteps)
}

func (t *Tracker) transit(ctx context.Context, id string, from *jira.Status, done bool) error {
	var doc struct {
		Transitions []jira.Transition `json:"transitions"`
	}
	if err := t.do(ctx, http.MethodGet, "rest/api/2/issue/"+id+"/transitions", url.Values{"expand": {"transitions.fields"}}, nil, &doc); err != nil {
		return fmt.Errorf("read the transitions of issue %s: %w", id, err)
	}
	named, where := t.names(done), map[bool]string{false: "one that is not done", true: "one that is done"}[done]
	chosen, names := choose(doc.Transitions, named, done)
	if chosen == nil {
		at := "its status"
		if from != nil {
			at = fmt.Sprintf("status %q", from.Name)
		}
		return fmt.Errorf("issue %s: no transition leads from %s to %s, or glia may not use it; there are %s, configured %s", id, at, where, list(names), list(named))
	}
	in := map[string]any{"transition": map[string]any{"id": chosen.ID}}
	for name, f := range chosen.Fields {
		switch {
		case name == "resolution" && done:
			in["fields"] = map[string]any{"resolution": map[string]any{"name": t.CloseAs}}
		case f.Required:
			return fmt.Errorf("issue %s: transition %q requires the field %q, which glia has no value for; name another transition", id, chosen.Name, name)
		}
	}
	if err := t.do(ctx, http.MethodPost, "rest/api/2/issue/"+id+"/transitions", nil, in, nil); err != nil {
		return fmt.Errorf("issue %s: transition %q: %w", id, chosen.Name, err)
	}
	return nil
}

// choose is the first of the named transitions that there is, or without names the first to such a status.
func choose(there []jira.Transition, named []string, done bool) (chosen *jira.Transition, names []string) {
	for i := range there {
		names = append(names, there[i].Name)
		if len(named) == 0 && chosen == nil && isDone(&there[i].To) == done {
			chosen = &there[i]
		}
	}
	for _, n := range named {
		if at := slices.IndexFunc(names, func(have string) bool { return strings.EqualFold(have, n) }); at >= 0 {
			return &there[at], names
		}
	}
	return chosen, names
}

func list(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// names are the transitions that the configuration names.
func (t *Tracker) names(done bool) []string {
	if done {
		return t.Options.Close
	}
	return t.Options.Reopen
}
