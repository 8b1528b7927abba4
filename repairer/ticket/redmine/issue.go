package redmine

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	redmine "github.com/nixys/nxs-go-redmine/v5"

	"glia"
	"glia/repairer"
	"glia/repairer/ticket"
)

// What Redmine takes, in characters. Its own limit for text is that of its database, which may be 64 kB.
const (
	longestSubject = 255
	longestText    = 30000
	page           = 100 // issues in one answer
)

// number is the id of an issue, which people write with or without "#".
func number(id string) (int64, error) {
	n, err := strconv.ParseInt(strings.TrimPrefix(id, "#"), 10, 64)
	if err != nil || n <= 0 {
		return 0, fmt.Errorf("issue %q: %w; issues have numbers", id, glia.ErrNotFound)
	}
	return n, nil
}

// Find searches for the issue, in all projects that glia may see, because people move issues. A copy that a person has made of
// it has the same mark, and is newer.
func (t *Tracker) Find(ctx context.Context, key string) (string, error) {
	var found redmine.IssueResult
	err := t.ask(ctx, func(c *redmine.Context) (err error) {
		found, _, err = c.IssuesMultiGet(redmine.IssueMultiGetRequest{
			Filters: redmine.IssueGetRequestFiltersInit().FieldAdd("description", "~"+ticket.Mark(key)).FieldAdd("status_id", "*"),
			Sort:    redmine.IssueGetRequestSortInit().Set("id", false), Limit: page,
		})
		return err
	})
	if err != nil {
		return "", fmt.Errorf("search for the ticket with the key %s: %w", key, err)
	}
	for _, i := range found.Issues {
		if _, m := unwrap(i.Description); m == ticket.Mark(key) {
			return strconv.FormatInt(i.ID, 10), nil
		}
	}
	return "", fmt.Errorf("ticket with the key %s: %w", key, glia.ErrNotFound)
}

// File creates the issue, unless search finds it.
func (t *Tracker) File(ctx context.Context, key string, tk repairer.Ticket) (string, error) {
	id, err := t.Find(ctx, key)
	if err == nil || !errors.Is(err, glia.ErrNotFound) {
		return id, err
	}
	if until := t.sure(key); t.Now().Before(until) {
		return "", fmt.Errorf("whether Redmine has the ticket already is sure only after %s, because it may still work on it", until.UTC().Format(time.RFC3339))
	}
	r, err := t.learn(ctx)
	if err != nil {
		return "", err
	}
	body := wrap(tk.Body, ticket.Mark(key))
	in := redmine.IssueCreateObject{
		ProjectID: r.project, TrackerID: &r.kind, PriorityID: r.priority, AssignedToID: r.assignee,
		Subject: ticket.Line(tk.Title, longestSubject), Description: &body,
	}
	var made redmine.IssueObject
	t.note(key, true)
	err = t.ask(ctx, func(c *redmine.Context) (err error) {
		made, _, err = c.IssueCreate(redmine.IssueCreate{Issue: in})
		return err
	})
	var e *Error
	switch {
	case errors.As(err, &e) && e.Status < 500 && e.Status != http.StatusRequestTimeout:
		t.note(key, false) // it was refused, so there is none
		return "", fmt.Errorf("create an issue in %s: %w", t.Project, err)
	case err != nil:
		return "", fmt.Errorf("create an issue in %s: %w", t.Project, err)
	case made.ID == 0:
		return "", fmt.Errorf("create an issue in %s: the answer names no issue", t.Project)
	}
	t.note(key, false)
	return strconv.FormatInt(made.ID, 10), nil
}

// sure is from when on Redmine has finished what was asked for the key before.
func (t *Tracker) sure(key string) time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	last := t.started // a process before this one may have asked until then
	if at, ok := t.asked[key]; ok {
		last = at
	}
	return last.Add(t.Settle)
}

func (t *Tracker) note(key string, asked bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if asked {
		t.asked[key] = t.Now()
		return
	}
	delete(t.asked, key)
}

// read reads an issue with what is asked for.
func (t *Tracker) read(ctx context.Context, id string, with ...redmine.IssueInclude) (redmine.IssueObject, error) {
	n, err := number(id)
	if err != nil {
		return redmine.IssueObject{}, err
	}
	var out redmine.IssueObject
	err = t.ask(ctx, func(c *redmine.Context) (err error) {
		out, _, err = c.IssueSingleGet(n, redmine.IssueSingleGetRequest{Includes: with})
		return err
	})
	if err != nil {
		return out, fmt.Errorf("read issue %s: %w", id, err)
	}
	return out, nil
}

func (t *Tracker) change(ctx context.Context, id int64, in redmine.IssueUpdateObject) error {
	return t.ask(ctx, func(c *redmine.Context) error {
		_, err := c.IssueUpdate(id, redmine.IssueUpdate{Issue: in})
		return err
	})
}

// Update sets subject and description, unless they are like that. The mark stays as it is.
func (t *Tracker) Update(ctx context.Context, id, title, body string) error {
	i, err := t.read(ctx, id)
	if err != nil {
		return err
	}
	_, mark := unwrap(i.Description)
	title, body = ticket.Line(title, longestSubject), wrap(body, mark)
	if i.Subject == title && ticket.Normal(i.Description) == body {
		return nil
	}
	if err := t.change(ctx, i.ID, redmine.IssueUpdateObject{Subject: &title, Description: &body}); err != nil {
		return fmt.Errorf("update issue %s: %w", id, err)
	}
	return nil
}

// Ticket reads an issue.
func (t *Tracker) Ticket(ctx context.Context, id string) (repairer.Ticket, error) {
	r, err := t.learn(ctx)
	if err != nil {
		return repairer.Ticket{}, err
	}
	i, err := t.read(ctx, id, redmine.IssueIncludeJournals)
	if err != nil {
		return repairer.Ticket{}, err
	}
	out := t.ticket(r, i)
	out.Title = i.Subject
	out.Body, _ = unwrap(i.Description)
	for _, j := range journals(i) {
		text, _ := ticket.Unsign(j.Notes)
		out.Comments = append(out.Comments, repairer.Comment{At: moment(j.CreatedOn), Author: j.User.Name, Text: text})
	}
	return out, nil
}

// ticket is the state of an issue.
func (t *Tracker) ticket(r *rules, i redmine.IssueObject) repairer.Ticket {
	out := repairer.Ticket{ID: strconv.FormatInt(i.ID, 10), Status: repairer.TicketOpen, CreatedAt: moment(i.CreatedOn), UpdatedAt: moment(i.UpdatedOn)}
	if out.Resolution = t.resolution(r, i.Status.ID, i.Status.Name); out.Resolution == "" {
		return out
	}
	out.Status = repairer.TicketResolved
	if at := moment(i.ClosedOn); r.closed[i.Status.ID] && !at.IsZero() {
		out.UpdatedAt = at
	}
	return out
}

func moment(text string) time.Time {
	at, _ := time.Parse(time.RFC3339, text)
	return at.UTC()
}

// Statuses reads many issues in one request, without their text; those that do not exist are left out.
func (t *Tracker) Statuses(ctx context.Context, ids []string) ([]repairer.Ticket, error) {
	r, err := t.learn(ctx)
	if err != nil {
		return nil, err
	}
	var list []string
	for _, id := range ids {
		if n, err := number(id); err == nil {
			list = append(list, strconv.FormatInt(n, 10))
		}
	}
	var out []repairer.Ticket
	for len(list) > 0 {
		some := list[:min(page, len(list))]
		list = list[len(some):]
		var found redmine.IssueResult
		err := t.ask(ctx, func(c *redmine.Context) (err error) {
			found, _, err = c.IssuesMultiGet(redmine.IssueMultiGetRequest{
				Filters: redmine.IssueGetRequestFiltersInit().FieldAdd("issue_id", some...).FieldAdd("status_id", "*"), Limit: page,
			})
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("read %d issues: %w", len(some), err)
		}
		for _, i := range found.Issues {
			out = append(out, t.ticket(r, i))
		}
	}
	return out, nil
}

// The text is a table for people, so Redmine must leave it as it is.
const before, after = "<pre>\n", "\n</pre>"

func wrap(body, mark string) string {
	tail := after
	if mark != "" {
		tail += "\n\n(glia " + mark + ")"
	}
	return before + ticket.Cut(strings.TrimRight(body, "\n"), longestText-len(before)-len(tail)) + tail
}

func unwrap(text string) (body, mark string) {
	body, mark = ticket.Unsign(text)
	return strings.TrimSuffix(strings.TrimPrefix(body, before), after), mark
}
