package repairer

import "context"

// Elector lets one repairer at a time lead. It says who may; that nobody else can is for the store and the
// hands to make sure, which check the epoch of the term.
type Elector interface {
	// Lead waits until this repairer leads, or the context ends. The epoch of the term is higher than
	// above, the newest that the store knows, and than that of every term before it.
	Lead(ctx context.Context, above uint64) (Term, error)
}

// Term is the time for which one repairer leads. Implementations are safe for concurrent use.
type Term interface {
	// Epoch is the number of the term; it stays the same.
	Epoch() uint64
	// Held is nil while nobody else can lead, and wraps glia.ErrStaleEpoch afterwards, for good. It goes by a clock
	// of this host that does not stand still while the process does, and asks nobody.
	Held() error
	// Lost is closed before another repairer can lead, and at the latest by Resign.
	Lost() <-chan struct{}
	// Resign ends the term; the next repairer need not wait until it would have ended by itself.
	Resign(ctx context.Context) error
}
