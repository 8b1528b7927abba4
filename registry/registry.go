// Package registry is the contract between those who announce hosts and those who watch them. Each
// folder below it is one backend.
//
// What is announced is state: a backend shows the newest announcement of every host, and whoever
// reads it needs no history. A reader takes over the whole state once, is signalled when something has
// changed, and then asks what differs from the state that it has. What it is told are the changed
// hosts as they are now, however often they changed meanwhile. A lost signal therefore costs time,
// never truth, as long as the reader also asks again for the whole from time to time.
//
// A backend that cannot vouch for its state says so with an error. An announcement that cannot be
// read is shown with its Problem and hides nobody else's.
package registry

import (
	"context"
	"errors"

	"glia"
)

// ErrClosed is returned by a backend that was closed, or that has left its cluster for good.
var ErrClosed = errors.New("registry is closed")

// Announcer publishes announcements. It is safe for concurrent use.
type Announcer interface {
	// Announce makes the registry show a as the state of host a.Host. It is idempotent: what is
	// shown already is not written again. After an error it is not known what others see; calling
	// it again, with the same or a newer announcement, puts that right.
	Announce(ctx context.Context, a glia.Announcement) error
}

// Watcher reads what all hosts announce. It is safe for concurrent use by any number of readers.
type Watcher interface {
	// Members tells every announcer, sorted by host. Those that left or are gone stay in the list,
	// with the last that they announced, until the backend forgets them. Without an error the
	// registry vouched for the list during this call. All texts are valid UTF-8. A host occurs
	// more than once only if several announcers claim its name. The list belongs to the caller.
	Members(ctx context.Context) ([]glia.Member, error)

	// Since tells how the state differs from the one that the mark of an earlier Delta names. The zero
	// Mark, and one that is too old, gives the whole. What is told is as fresh and as well vouched
	// for as that of Members, and belongs to the caller. After an error the reader's state and its
	// mark are as good as before.
	Since(ctx context.Context, m Mark) (Delta, error)

	// Changes returns a channel that receives at least one signal after each change of what Members
	// would tell, and one at the start. Signals that nobody took yet are merged into one. Each call
	// returns a channel of its own, which is never closed and goes quiet once ctx is done.
	Changes(ctx context.Context) <-chan struct{}
}
