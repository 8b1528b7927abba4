package store

import (
	"context"

	"glia/repairer"
)

// Log returns the next events of the whole log after a sequence number, oldest first: up to a page of them, and none only when there
// are no more.
func (s *core) Log(ctx context.Context, after uint64) ([]repairer.Event, error) {
	list, err := entries(ctx, s.db, after)
	if err != nil {
		return nil, err
	}
	out := make([]repairer.Event, 0, len(list))
	for _, e := range list {
		event, err := e.event()
		if err != nil {
			return nil, err
		}
		out = append(out, event)
	}
	return out, nil
}

// End is the sequence number of the newest event; 0 when there is none.
func (s *core) End(ctx context.Context) (seq uint64, err error) {
	return seq, s.db.QueryRowContext(ctx, `SELECT coalesce(max(seq), 0) FROM events`).Scan(&seq)
}
