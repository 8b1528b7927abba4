package registry

import "context"

// Elector lets candidates elect one leader among them. It is an ability that only registries with consensus
// have. Each candidate has an Elector of its own; it is safe for concurrent use.
type Elector interface {
	// Lead waits until this candidate leads, or ctx is done. The epoch of the term is higher than above and than
	// that of every term before it. A registry that does not answer is waited for; what only a person can
	// mend is returned. One candidate calls it once at a time.
	Lead(ctx context.Context, above uint64) (Term, error)
}

// Term is the time for which one candidate leads. Implementations are safe for concurrent use.
type Term interface {
	// Epoch is the number of the term. Whoever has seen it refuses lower ones, because a leader that was paused
	// may not know yet that it has been replaced.
	Epoch() uint64

	// Held is nil while nobody else can lead, and wraps glia.ErrStaleEpoch afterwards, for good. It goes by a clock of
	// this host that does not stand still while the process or the machine does, and asks nobody.
	Held() error

	// Lost is closed before the registry lets another candidate lead, and when the term ends by Resign.
	Lost() <-chan struct{}

	// Resign ends the term, so that the next candidate leads at once. Resigning again does nothing.
	Resign(ctx context.Context) error
}

// Leader is who leads, as the registry knows it.
type Leader struct {
	Holder string // empty: nobody leads
	Epoch  uint64 // the newest, also of a term that is over; 0: there was none yet
}

// Observer tells who leads without being a candidate. Electors have it. It is safe for concurrent use.
type Observer interface {
	// Leader asks the registry. An answer is that of a quorum; without one there is an error.
	Leader(ctx context.Context) (Leader, error)
}
