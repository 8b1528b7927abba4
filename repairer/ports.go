package repairer

import (
	"context"
	"time"

	"glia"
	gliav1 "glia/api/glia/v1"
)

// Store keeps the cases and their log. Every write carries the epoch under which the store was
// opened and returns glia.ErrStaleEpoch once somebody else has opened it under a newer one.
// Implementations are safe for concurrent use.
type Store interface {
	// Epoch is the epoch of this opening. It grows with every opening of the same database, and a new
	// database begins with a higher one than those that were made before it.
	Epoch() uint64
	// Held is nil while no other repairer can take over, and wraps glia.ErrStaleEpoch afterwards, for good. It asks
	// nobody, so it costs nothing to ask before every act.
	Held() error
	// Newest asks the database for the newest epoch under which it was opened.
	Newest(ctx context.Context) (uint64, error)
	// Open starts a case with its first event. It returns ErrAlreadyOpen when the serial has one.
	Open(ctx context.Context, e Event) (Case, error)
	// Append adds events of one case to the log and derives its row, in one transaction. It returns
	// ErrMoved when the first event names another newest event of the case than there is.
	Append(ctx context.Context, events ...Event) (Case, error)
	// Current returns nil when this repairer leads and the newest event of the case is seq. Else it
	// returns glia.ErrStaleEpoch or ErrMoved. It writes nothing.
	Current(ctx context.Context, id string, seq uint64) error
	// Case returns one case, or glia.ErrNotFound.
	Case(ctx context.Context, id string) (Case, error)
	// Cases returns the open cases, or all, newest last.
	Cases(ctx context.Context, all bool) ([]Case, error)
	// EachCase hands over all cases, ended ones included, in the order in which they were opened.
	EachCase(ctx context.Context, take func(Case)) error
	// CasesSince returns the cases that have an event of this sequence number or a higher one, ended ones
	// included, in the order in which they were opened. The sequence numbers of a database have no gaps and
	// become visible in their order, so that the highest one returned is where the next call goes on.
	CasesSince(ctx context.Context, seq uint64) ([]Case, error)
	// LastCase is the newest case of a serial, or glia.ErrNotFound.
	LastCase(ctx context.Context, serial string) (Case, error)
	// Retired are the serials that were taken out by finished cases or replaced in open ones, and not
	// forgiven since.
	Retired(ctx context.Context) ([]string, error)
	// Forgive ends the retirement of a serial, until it is taken out once more, and logs the event with
	// it. It returns glia.ErrNotFound for a serial that is not retired.
	Forgive(ctx context.Context, serial string, e Event) error
	// Events returns the events of a case with a higher sequence number than after.
	Events(ctx context.Context, id string, after uint64) ([]Event, error)
	// Changed is closed at the next write, also at one of which nobody knows whether it was done; callers take it before
	// they read.
	Changed() <-chan struct{}

	// AddPause adds a pause, and its event to the log.
	AddPause(ctx context.Context, p Pause) (Pause, error)
	// EndPauses ends the pauses of one scope and returns them. Each is an event in the log.
	EndPauses(ctx context.Context, scope, person, reason string, now time.Time) ([]Pause, error)
	// Pauses returns the pauses in force.
	Pauses(ctx context.Context, now time.Time) ([]Pause, error)

	// Get reads what Set has kept under the key, or returns glia.ErrNotFound.
	Get(ctx context.Context, key string) (string, error)
	// Set keeps a value of the whole fleet, instead of the one before, and logs the event with it.
	Set(ctx context.Context, key, value string, e Event) error
}

// Feed is where the repairer learns of failing disks.
type Feed interface {
	// View is the newest fleet view, with its own time in At; the error says why there is no newer one.
	View() (glia.FleetView, error)
}

// Hosts reaches the nerves.
type Hosts interface {
	// Disks lists the disks of a host, missing ones included.
	Disks(ctx context.Context, host string) ([]glia.DiskStatus, error)
	// Probe probes one disk now.
	Probe(ctx context.Context, host, serial string) (glia.DiskStatus, error)
	// Fence makes the hand of a host refuse all orders of older epochs from now on. It returns glia.ErrStaleEpoch
	// when the hand has seen a newer one.
	Fence(ctx context.Context, host string, epoch uint64) error
	// Execute sends an order to the hand. It is idempotent by the order's key and returns
	// glia.ErrStaleEpoch when the hand has seen a newer epoch.
	Execute(ctx context.Context, host string, o *gliav1.Order) (*gliav1.ExecuteResponse, error)
}

// Act is one call of a driver for one step of a started case.
type Act struct {
	Case   Case
	Step   PlanStep
	Epoch  uint64
	Others []Case // the other cases of the same driver that are past their gates
}

// Progress is the answer of a driver.
type Progress struct {
	Done     bool
	Refused  string            // a check said no and nothing was changed; a person is needed
	Waits    string            // while not done: for what, in words that stay the same while it does; it goes to the log
	Text     string            // while not done: how far it has come, with figures; shown, and kept nowhere
	Facts    map[string]string // when done: what later steps must know; they are added to those of the case
	Commands []string
	Output   string
}

// Driver moves disks out of and back into one storage system. Every method is idempotent: calling it
// again after a crash is safe and leads to the same result.
type Driver interface {
	Name() string
	// Plan says which steps move the disk out and a replacement in. It changes nothing and asks
	// nobody: the same disk always gives the same plan. When it can not be repaired, the plan's
	// Obstacle says why.
	Plan(d glia.Disk) Plan
	// Do works on one step until it is done. While it is not, the engine calls it again at each
	// tick. An error means that this attempt failed and may be repeated later.
	Do(ctx context.Context, a Act) (Progress, error)
}

// Gatekeeper is a driver whose storage has a say in when a disk may go.
type Gatekeeper interface {
	// Check says what stands in the way of the named step, or of the start of the case if it is empty.
	// The others are all cases of this driver that are past their gates. It changes nothing. What can
	// not be known is a refusal. The values of refusals stay the same while the reason does.
	Check(ctx context.Context, c Case, step string, others []Case) []Refusal
}
