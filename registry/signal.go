package registry

import (
	"context"
	"sync"
)

// Signal tells any number of subscribers that something has changed. Signals that a subscriber did
// not take yet are merged into one, so sending never waits. The zero Signal is ready, and safe for
// concurrent use.
type Signal struct {
	mu          sync.Mutex
	subscribers map[chan struct{}]struct{}
}

// Subscribe returns a new channel that holds one signal already and receives one after each Send,
// until ctx is done. It is never closed.
func (s *Signal) Subscribe(ctx context.Context) <-chan struct{} {
	ch := make(chan struct{}, 1)
	ch <- struct{}{}
	s.mu.Lock()
	if s.subscribers == nil {
		s.subscribers = map[chan struct{}]struct{}{}
	}
	s.subscribers[ch] = struct{}{}
	s.mu.Unlock()
	context.AfterFunc(ctx, func() {
		s.mu.Lock()
		delete(s.subscribers, ch)
		s.mu.Unlock()
	})
	return ch
}

// Send signals every subscriber. Call it after the change can be seen, never before.
func (s *Signal) Send() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for ch := range s.subscribers {
		select {
		case ch <- struct{}{}:
		default:
		}
	}
}
