package registry

import "context"

// Elector lets candidates elect one leader among them. It is an ability that only registries with consensus
// have. Each candidate has an Elector of its own; it is safe for concurrent use.
type Elector interface {
	// Campaign waits until this candidate leads, or ctx is done. A registry that does not answer is waited
	// for; what only a person can mend is returned. One candidate campaigns once at a time.
	Campaign(ctx context.Context) (Leadership, error)
}

// Leadership is one term of one leader.
type Leadership interface {
	// Token is larger than that of every earlier term. Whoever has seen it refuses smaller ones, because a
	// leader that was paused may not know yet that it has been replaced.
	Token() uint64

	// Lost is closed before the registry lets another candidate lead, by the leader's own monotonic clock,
	// and when the term ends by Resign.
	Lost() <-chan struct{}

	// Resign ends the term, so that the next candidate leads at once. Resigning again does nothing.
	Resign(ctx context.Context) error
}
