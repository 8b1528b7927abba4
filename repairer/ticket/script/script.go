// Package script is a tracker for every ticket system that glia has no code for: a program of the site's own, or a
// web address, is handed one JSON document for each call and answers with another. The files command.go and
// webhook.go are the two ways there.
//
// It guarantees the order of things: a ticket is looked for before it is filed, and what carries a key is handed over
// with it, so that the other side can tell a repetition. That a repetition changes nothing is up to the other side.
//
// It fails with glia.ErrNotFound when the other side says so in its document, and with what went wrong otherwise.
package script

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"glia"
	"glia/repairer"
)

// Request is what the other side is handed. Verb says which fields have a meaning:
//
//	find     key                             id of the ticket with that key; no id: there is none
//	file     key, case, title, body          files a ticket, and answers with its id
//	update   id, title, body                 replaces the text
//	comment  key, id, text                   adds a comment, unless one was added with that key
//	attach   key, id, name, data             adds a file in the same way; data is in base64
//	reopen   key, id, text                   opens the ticket and comments, unless that was done with that key
//	close    key, id, text                   ends the ticket and comments, likewise
//	read     id                              answers with the ticket
type Request struct {
	Version int    `json:"version"` // Version
	Verb    string `json:"verb"`
	Key     string `json:"key,omitempty"`
	ID      string `json:"id,omitempty"`
	Case    string `json:"case,omitempty"`
	Title   string `json:"title,omitempty"`
	Body    string `json:"body,omitempty"`
	Text    string `json:"text,omitempty"`
	Name    string `json:"name,omitempty"`
	Data    []byte `json:"data,omitempty"`
}

// Version is that of the documents. It grows when old programs would misunderstand new ones.
const Version = 1

// Answer is what the other side says. Error alone means that the call may be repeated later.
type Answer struct {
	ID         string    `json:"id,omitempty"`
	Title      string    `json:"title,omitempty"`
	Body       string    `json:"body,omitempty"`
	Status     string    `json:"status,omitempty"`     // open, resolved or closed
	Resolution string    `json:"resolution,omitempty"` // of a resolved one: done, wont-do, duplicate, cannot-reproduce, or any other word
	CreatedAt  time.Time `json:"created_at,omitzero"`  // RFC 3339
	UpdatedAt  time.Time `json:"updated_at,omitzero"`  // when it was resolved, or changed last
	Comments   []Comment `json:"comments,omitempty"`   // oldest first

	Error    string `json:"error,omitempty"`
	NotFound bool   `json:"not_found,omitempty"` // the ticket with that id does not exist
}

// Comment is a comment of a ticket.
type Comment struct {
	At     time.Time `json:"at"`
	Author string    `json:"author"`
	Text   string    `json:"text"`
}

// Way carries a request to the other side, and brings its answer.
type Way interface {
	Carry(ctx context.Context, key string, request []byte) (answer []byte, err error)
}

// Tracker is the tracker at the end of a way. It is safe for concurrent use if the way is.
type Tracker struct{ way Way }

var _ repairer.Tracker = (*Tracker)(nil)

// New makes the tracker at the end of a way.
func New(w Way) *Tracker { return &Tracker{w} }

// largest is how many bytes an answer may have.
const largest = 8 << 20

func (t *Tracker) do(ctx context.Context, r Request) (Answer, error) {
	r.Version = Version
	what := r.Verb
	if r.ID != "" {
		what += " ticket " + r.ID
	}
	in, err := json.Marshal(r)
	if err != nil {
		return Answer{}, err
	}
	out, err := t.way.Carry(ctx, r.Key, in)
	if err != nil {
		return Answer{}, fmt.Errorf("%s: %w", what, err)
	}
	a, err := Decode(out)
	switch {
	case err != nil:
		return a, fmt.Errorf("%s: %w", what, err)
	case a.NotFound:
		return a, fmt.Errorf("%s: %w", what, glia.ErrNotFound)
	case a.Error != "":
		return a, fmt.Errorf("%s: %s", what, line(a.Error))
	}
	return a, nil
}

// Decode reads an answer.
func Decode(b []byte) (a Answer, err error) {
	if len(b) > largest {
		return a, fmt.Errorf("the answer is larger than %d bytes", largest)
	}
	if err := json.Unmarshal(b, &a); err != nil {
		return a, errors.New("the answer is not the JSON that it should be: " + line(err.Error()))
	}
	if strings.ContainsAny(a.ID, "\n\r\x00") || len(a.ID) > 200 || !utf8.ValidString(a.ID) {
		return a, errors.New("the answer has an id that is no short word")
	}
	return a, nil
}

// line is text of the other side for one line of the log.
func line(text string) string {
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "?")), " ")
	const most = 300
	if r := []rune(text); len(r) > most {
		text = string(r[:most]) + "…"
	}
	return text
}

// Find is the verb find.
func (t *Tracker) Find(ctx context.Context, key string) (string, error) {
	a, err := t.do(ctx, Request{Verb: "find", Key: key})
	if err == nil && a.ID == "" {
		err = fmt.Errorf("find: %w", glia.ErrNotFound)
	}
	return a.ID, err
}

// File is the verb find, and then file.
func (t *Tracker) File(ctx context.Context, key string, k repairer.Ticket) (string, error) {
	id, err := t.Find(ctx, key)
	if err == nil || !errors.Is(err, glia.ErrNotFound) {
		return id, err
	}
	a, err := t.do(ctx, Request{Verb: "file", Key: key, Case: k.Case, Title: k.Title, Body: k.Body})
	switch {
	case errors.Is(err, glia.ErrNotFound):
		return "", errors.New("file: the other side says not_found of a ticket that is to be filed")
	case err == nil && a.ID == "":
		return "", errors.New("file: the answer has no id")
	}
	return a.ID, err
}

// Update is the verb update.
func (t *Tracker) Update(ctx context.Context, id, title, body string) error {
	_, err := t.do(ctx, Request{Verb: "update", ID: id, Title: title, Body: body})
	return err
}

// Comment is the verb comment.
func (t *Tracker) Comment(ctx context.Context, key, id, text string) error {
	_, err := t.do(ctx, Request{Verb: "comment", Key: key, ID: id, Text: text})
	return err
}

// Attach is the verb attach.
func (t *Tracker) Attach(ctx context.Context, key, id, name string, data []byte) error {
	_, err := t.do(ctx, Request{Verb: "attach", Key: key, ID: id, Name: name, Data: data})
	return err
}

// Reopen is the verb reopen.
func (t *Tracker) Reopen(ctx context.Context, key, id, text string) error {
	_, err := t.do(ctx, Request{Verb: "reopen", Key: key, ID: id, Text: text})
	return err
}

// Close is the verb close.
func (t *Tracker) Close(ctx context.Context, key, id, text string) error {
	_, err := t.do(ctx, Request{Verb: "close", Key: key, ID: id, Text: text})
	return err
}

// Ticket is the verb read.
func (t *Tracker) Ticket(ctx context.Context, id string) (repairer.Ticket, error) {
	a, err := t.do(ctx, Request{Verb: "read", ID: id})
	if err != nil {
		return repairer.Ticket{}, err
	}
	k := repairer.Ticket{ID: id, Title: a.Title, Body: a.Body, Status: a.Status, Resolution: a.Resolution, CreatedAt: a.CreatedAt.UTC(), UpdatedAt: a.UpdatedAt.UTC()}
	switch a.Status {
	case repairer.TicketOpen:
		k.Resolution = ""
	case repairer.TicketResolved:
		if a.Resolution == "" {
			k.Resolution = repairer.ResolutionDone // nobody believes it before the place was looked at
		}
	case repairer.TicketClosed:
	default:
		return k, fmt.Errorf("read ticket %s: the status %q is not open, resolved or closed", id, line(a.Status))
	}
	for _, c := range a.Comments {
		k.Comments = append(k.Comments, repairer.Comment{At: c.At.UTC(), Author: c.Author, Text: c.Text})
	}
	return k, nil
}
