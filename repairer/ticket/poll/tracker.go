package poll

import (
	"context"
	"fmt"

	"glia/repairer"
)

// paced is the tracker for the engine: within the rate, and with the watch told of changes of the state.
type paced struct {
	repairer.Tracker
	w *Watch
}

// Tracker is the tracker that the engine must use.
func (w *Watch) Tracker() repairer.Tracker { return paced{w.tracker, w} }

// wait waits for its turn, and no longer than the context says.
func (p paced) wait(ctx context.Context) error {
	if err := p.w.limit.Wait(ctx); err != nil {
		return fmt.Errorf("tracker.requests leaves no room for this request now: %w", err)
	}
	return nil
}

// changed forgets the state, before and after a change: an answer that comes in between may be either.
func (p paced) changed(id string) {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	if s := p.w.known[id]; s != nil {
		s.known = false
		s.changes++
	}
}

func (p paced) change(ctx context.Context, id string, do func() error) error {
	if err := p.wait(ctx); err != nil {
		return err
	}
	p.changed(id)
	err := do()
	p.changed(id)
	p.w.Hint()
	return err
}

func (p paced) Find(ctx context.Context, key string) (string, error) {
	if err := p.wait(ctx); err != nil {
		return "", err
	}
	return p.Tracker.Find(ctx, key)
}

func (p paced) File(ctx context.Context, key string, t repairer.Ticket) (string, error) {
	if err := p.wait(ctx); err != nil {
		return "", err
	}
	return p.Tracker.File(ctx, key, t)
}

func (p paced) Update(ctx context.Context, id, title, body string) error {
	if err := p.wait(ctx); err != nil {
		return err
	}
	return p.Tracker.Update(ctx, id, title, body)
}

func (p paced) Comment(ctx context.Context, key, id, text string) error {
	if err := p.wait(ctx); err != nil {
		return err
	}
	return p.Tracker.Comment(ctx, key, id, text)
}

func (p paced) Attach(ctx context.Context, key, id, name string, data []byte) error {
	if err := p.wait(ctx); err != nil {
		return err
	}
	return p.Tracker.Attach(ctx, key, id, name, data)
}

func (p paced) Reopen(ctx context.Context, key, id, text string) error {
	return p.change(ctx, id, func() error { return p.Tracker.Reopen(ctx, key, id, text) })
}

func (p paced) Close(ctx context.Context, key, id, text string) error {
	return p.change(ctx, id, func() error { return p.Tracker.Close(ctx, key, id, text) })
}

func (p paced) Ticket(ctx context.Context, id string) (repairer.Ticket, error) {
	if err := p.wait(ctx); err != nil {
		return repairer.Ticket{}, err
	}
	return p.Tracker.Ticket(ctx, id)
}
