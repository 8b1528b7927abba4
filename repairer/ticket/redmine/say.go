package redmine

import (
	"bytes"
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	redmine "github.com/nixys/nxs-go-redmine/v5"

	"glia/repairer/ticket"
)

// journals are what was said in an issue, oldest first; those that only tell of changes are left out.
func journals(i redmine.IssueObject) (out []redmine.IssueJournalObject) {
	if i.Journals == nil {
		return nil
	}
	for _, j := range *i.Journals {
		if j.Notes != "" {
			out = append(out, j)
		}
	}
	return out
}

// said says whether the issue has the comment with the key.
func said(i redmine.IssueObject, key string) bool {
	return slices.ContainsFunc(journals(i), func(j redmine.IssueJournalObject) bool {
		_, m := ticket.Unsign(j.Notes)
		return m == ticket.Mark(key)
	})
}

// Comment adds a comment, unless it is there.
func (t *Tracker) Comment(ctx context.Context, key, id, text string) error {
	i, err := t.read(ctx, id, redmine.IssueIncludeJournals)
	if err != nil || said(i, key) {
		return err
	}
	text = ticket.Sign(text, key, longestText)
	if err := t.change(ctx, i.ID, redmine.IssueUpdateObject{Notes: &text}); err != nil {
		return fmt.Errorf("comment on issue %s: %w", id, err)
	}
	return nil
}

// Attach adds a file, unless one with the mark in its name is there.
func (t *Tracker) Attach(ctx context.Context, key, id, name string, data []byte) error {
	i, err := t.read(ctx, id, redmine.IssueIncludeAttachments)
	if err != nil {
		return err
	}
	ext := path.Ext(name)
	name = strings.TrimSuffix(name, ext) + "-" + ticket.Mark(key) + ext
	if i.Attachments != nil && slices.ContainsFunc(*i.Attachments, func(a redmine.AttachmentObject) bool { return a.FileName == name }) {
		return nil
	}
	var up redmine.AttachmentUploadObject
	err = t.ask(ctx, func(c *redmine.Context) (err error) {
		up, _, err = c.AttachmentUploadStream(bytes.NewReader(data), name)
		return err
	})
	if err == nil {
		err = t.change(ctx, i.ID, redmine.IssueUpdateObject{Uploads: &[]redmine.AttachmentUploadObject{up}})
	}
	if err != nil {
		return fmt.Errorf("attach %s to issue %s: %w", name, id, err)
	}
	return nil
}

// Reopen gives the issue the status of work that is to be done, and says why in the same request. Once that is said, a repeated
// call changes nothing, whatever people have done since.
func (t *Tracker) Reopen(ctx context.Context, key, id, text string) error {
	r, err := t.learn(ctx)
	if err != nil {
		return err
	}
	return t.lead(ctx, key, id, text, r.reopen, func(i redmine.IssueObject) bool { return t.resolution(r, i.Status.ID, i.Status.Name) == "" })
}

// Close gives the issue the status of work that glia has verified, and says so in the same request.
func (t *Tracker) Close(ctx context.Context, key, id, text string) error {
	r, err := t.learn(ctx)
	if err != nil {
		return err
	}
	return t.lead(ctx, key, id, text, r.close, func(i redmine.IssueObject) bool { return r.closed[i.Status.ID] })
}

// lead says the text, and gives the issue the status unless it is there. Redmine ignores a status that the workflow does not allow, so
// that it is asked first.
func (t *Tracker) lead(ctx context.Context, key, id, text string, to redmine.IssueStatusObject, there func(redmine.IssueObject) bool) error {
	i, err := t.read(ctx, id, redmine.IssueIncludeJournals, redmine.IssueIncludeAllowedStatuses)
	if err != nil || said(i, key) {
		return err
	}
	text = ticket.Sign(text, key, longestText)
	in := redmine.IssueUpdateObject{Notes: &text}
	if !there(i) {
		var allowed []redmine.IssueStatusObject
		if i.AllowedStatuses != nil {
			allowed = *i.AllowedStatuses
		}
		if !slices.ContainsFunc(allowed, func(s redmine.IssueStatusObject) bool { return s.ID == to.ID }) {
			return fmt.Errorf("issue %s: the workflow does not let glia change status %q to %q; it allows %s", id, i.Status.Name, to.Name,
				names(allowed, func(s redmine.IssueStatusObject) string { return s.Name }))
		}
		in.StatusID = &to.ID
	}
	if err := t.change(ctx, i.ID, in); err != nil {
		return fmt.Errorf("change issue %s to status %q: %w", id, to.Name, err)
	}
	return nil
}
