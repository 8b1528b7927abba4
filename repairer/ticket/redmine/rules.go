package redmine

import (
	"context"
	"errors"
	"slices"
	"strings"

	redmine "github.com/nixys/nxs-go-redmine/v5"
)

// rules are what Redmine has said of the project, by number.
type rules struct {
	project, kind      int64
	priority, assignee *int64 // nil: Redmine's own
	reopen, close      redmine.IssueStatusObject
	closed             map[int64]bool // statuses in which issues are closed
}

// Check compares the configuration with Redmine: *Mismatch when it does not fit.
func (t *Tracker) Check(ctx context.Context) error {
	_, err := t.learn(ctx)
	return err
}

// learn is the rules, asked for until Redmine has told them once.
func (t *Tracker) learn(ctx context.Context) (*rules, error) {
	t.mu.Lock()
	r := t.rules
	t.mu.Unlock()
	if r != nil {
		return r, nil
	}
	var project redmine.ProjectObject
	var kinds []redmine.TrackerObject
	var statuses []redmine.IssueStatusObject
	for _, call := range []func(*redmine.Context) error{
		func(c *redmine.Context) (err error) {
			project, _, err = c.ProjectSingleGet(t.Project, redmine.ProjectSingleGetRequest{Includes: []redmine.ProjectInclude{redmine.ProjectIncludeTrackers}})
			return err
		},
		func(c *redmine.Context) (err error) { kinds, _, err = c.TrackerAllGet(); return err },
		func(c *redmine.Context) (err error) { statuses, _, err = c.IssueStatusAllGet(); return err },
	} {
		if err := t.ask(ctx, call); err != nil {
			return nil, missingProject(t.Project, err)
		}
	}
	r, wrong := &rules{project: project.ID, closed: map[int64]bool{}}, &Mismatch{}
	for _, s := range statuses {
		r.closed[s.ID] = s.IsClosed
	}
	t.fitKind(r, wrong, project, kinds, statuses)
	if err := t.fitPeople(ctx, r, wrong); err != nil {
		return nil, err
	}
	if len(wrong.Problems) > 0 {
		return nil, wrong
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rules = r
	return r, nil
}

func missingProject(name string, err error) error {
	var e *Error
	if errors.As(err, &e) && e.Status == 404 {
		return &Mismatch{[]string{"there is no project " + name + ", or the user of the key may not see it"}}
	}
	return err
}

// fitKind finds the type of issue and the two statuses.
func (t *Tracker) fitKind(r *rules, wrong *Mismatch, project redmine.ProjectObject, kinds []redmine.TrackerObject, statuses []redmine.IssueStatusObject) {
	var of []redmine.IDName
	if project.Trackers != nil {
		of = *project.Trackers
	}
	at := slices.IndexFunc(of, func(k redmine.IDName) bool { return strings.EqualFold(k.Name, t.Type) })
	if at < 0 {
		wrong.add("the project has no tracker %q; it has %s", t.Type, names(of, func(k redmine.IDName) string { return k.Name }))
		return
	}
	r.kind = of[at].ID
	first := t.Options.Reopen
	if i := slices.IndexFunc(kinds, func(k redmine.TrackerObject) bool { return k.ID == r.kind }); i >= 0 && first == "" {
		first = kinds[i].DefaultStatus.Name
	}
	find := func(name string) (redmine.IssueStatusObject, bool) {
		i := slices.IndexFunc(statuses, func(s redmine.IssueStatusObject) bool { return strings.EqualFold(s.Name, name) })
		if i < 0 {
			wrong.add("there is no status %q; there are %s", name, names(statuses, func(s redmine.IssueStatusObject) string { return s.Name }))
			return redmine.IssueStatusObject{}, false
		}
		return statuses[i], true
	}
	var ok bool
	if r.reopen, ok = find(first); ok && t.resolution(r, r.reopen.ID, r.reopen.Name) != "" {
		wrong.add("issues can not be given back with status %q: it says that the work is done, or will not be", r.reopen.Name)
	}
	if r.close, ok = find(t.Options.Close); ok && !r.close.IsClosed {
		wrong.add("issues can not be closed with status %q: Redmine does not count it as closed", r.close.Name)
	}
}

// fitPeople finds the priority and who gets the issues.
func (t *Tracker) fitPeople(ctx context.Context, r *rules, wrong *Mismatch) error {
	if t.Priority != "" {
		var there []redmine.EnumerationPriorityObject
		if err := t.ask(ctx, func(c *redmine.Context) (err error) { there, _, err = c.EnumerationPrioritiesAllGet(); return err }); err != nil {
			return err
		}
		at := slices.IndexFunc(there, func(p redmine.EnumerationPriorityObject) bool { return strings.EqualFold(p.Name, t.Priority) })
		if at < 0 {
			wrong.add("there is no priority %q; there are %s", t.Priority, names(there, func(p redmine.EnumerationPriorityObject) string { return p.Name }))
		} else {
			r.priority = &there[at].ID
		}
	}
	if t.Assignee == "" {
		return nil
	}
	var there []redmine.IDName
	for offset := int64(0); ; {
		var page redmine.MembershipResult
		err := t.ask(ctx, func(c *redmine.Context) (err error) {
			page, _, err = c.MembershipMultiGet(t.Project, redmine.MembershipMultiGetRequest{Offset: offset, Limit: 100})
			return err
		})
		if err != nil {
			return err
		}
		for _, m := range page.Memberships {
			for _, who := range []*redmine.IDName{m.User, m.Group} {
				if who != nil {
					there = append(there, *who)
				}
			}
		}
		if offset += int64(len(page.Memberships)); len(page.Memberships) == 0 || offset >= page.TotalCount {
			break
		}
	}
	at := slices.IndexFunc(there, func(m redmine.IDName) bool { return strings.EqualFold(m.Name, t.Assignee) })
	if at < 0 {
		wrong.add("%q is no member of the project; its members are %s", t.Assignee, names(there, func(m redmine.IDName) string { return m.Name }))
		return nil
	}
	r.assignee = &there[at].ID
	return nil
}

// resolution is what a status says about the work; empty: that it is not over.
func (t *Tracker) resolution(r *rules, status int64, name string) string {
	if known, ok := t.Resolutions[strings.ToLower(name)]; ok {
		return known
	}
	if r.closed[status] {
		return name
	}
	return ""
}

func names[T any](of []T, name func(T) string) string {
	out := make([]string, 0, len(of))
	for _, o := range of {
		out = append(out, name(o))
	}
	if len(out) == 0 {
		return "none"
	}
	return strings.Join(out, ", ")
}
