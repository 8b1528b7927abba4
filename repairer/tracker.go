package repairer

import (
	"context"
	"errors"
	"time"
)

// Ticket is what a tracker knows about one ticket.
type Ticket struct {
	ID         string
	Case       string
	Title      string
	Body       string
	Status     string // open, resolved, closed
	Resolution string // done, wont-do, duplicate, cannot-reproduce, or what else the tracker calls it; empty while open
	CreatedAt  time.Time
	UpdatedAt  time.Time
	Comments   []Comment
}

// The statuses of a ticket.
const (
	TicketOpen     = "open"
	TicketResolved = "resolved" // a person says that the work is done, or will not be
	TicketClosed   = "closed"   // glia has verified it
)

// What a person may say when resolving a ticket. Only done means that the disk was swapped.
const (
	ResolutionDone            = "done"
	ResolutionWontDo          = "wont-do"
	ResolutionDuplicate       = "duplicate"        // another ticket is about the same work
	ResolutionCannotReproduce = "cannot-reproduce" // the disk looks good to the person
)

// Resolutions are all of them.
var Resolutions = []string{ResolutionDone, ResolutionWontDo, ResolutionDuplicate, ResolutionCannotReproduce}

// Comment is one comment of a ticket.
type Comment struct {
	At     time.Time
	Author string
	Text   string
}

// Tracker is a ticket system. Calls that carry an idempotency key happen once: the second call with one
// key finds what the first one did, also when its answer was lost, and changes nothing. Calls for a ticket
// that does not exist return glia.ErrNotFound. Implementations are safe for concurrent use; the package
// tickettest says what else they must do.
type Tracker interface {
	// Find is the ticket that was filed with the key, or glia.ErrNotFound.
	Find(ctx context.Context, key string) (id string, err error)
	// File creates the ticket, unless Find finds it. A tracker that can not tell yet whether it has the
	// ticket returns an error and creates none.
	File(ctx context.Context, key string, t Ticket) (id string, err error)
	// Update gives the ticket this title and body. It has no key: the last call holds.
	Update(ctx context.Context, id, title, body string) error
	Comment(ctx context.Context, key, id, text string) error
	// Attach adds a file. The name is for people.
	Attach(ctx context.Context, key, id, name string, data []byte) error
	// Reopen gives the ticket back to its person, with the reason.
	Reopen(ctx context.Context, key, id, text string) error
	// Close ends the ticket; it is not open afterwards, whatever a tracker calls that.
	Close(ctx context.Context, key, id, text string) error
	// Ticket reads one ticket, with its comments, oldest first.
	Ticket(ctx context.Context, id string) (Ticket, error)
}

// ErrNotAsked says that a tracker has not told the state of a ticket yet.
var ErrNotAsked = errors.New("the tracker has not been asked yet")

// Answers is what is known of what people have said in a tracker. It asks nobody, so that it may be asked at
// every look at a case.
type Answers interface {
	// Ticket is the state of a ticket without its text, or glia.ErrNotFound, or ErrNotAsked.
	Ticket(ctx context.Context, id string) (Ticket, error)
}

// answer is the state of the ticket of a case.
func (e *Engine) answer(ctx context.Context, c Case) (Ticket, error) {
	if e.Answers != nil {
		return e.Answers.Ticket(ctx, c.Ticket)
	}
	return e.Tracker.Ticket(ctx, c.Ticket)
}

// Desk is the side of the built-in tracker that people work on.
type Desk interface {
	Tickets(ctx context.Context, all bool) ([]Ticket, error)
	Resolve(ctx context.Context, id, resolution, person, comment string) (Ticket, error)
}
