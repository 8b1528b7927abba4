package registry_test

import (
	"context"
	"testing"
	"testing/synctest"

	"glia/registry"
)

// pending says whether the channel holds a signal, and takes it.
func pending(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

func TestSignal_MergesAndReachesEverySubscriber(t *testing.T) {
	t.Parallel()
	var s registry.Signal
	a, b := s.Subscribe(t.Context()), s.Subscribe(t.Context())
	if !pending(a) || !pending(b) {
		t.Fatal("a new subscriber starts without a signal")
	}
	s.Send()
	s.Send()
	if !pending(a) || pending(a) {
		t.Error("two signals that nobody took are not merged into one")
	}
	if !pending(b) {
		t.Error("what one subscriber took is missing for the other")
	}
}

func TestSignal_GoesQuietWhenTheSubscriberIsDone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var s registry.Signal
		ctx, cancel := context.WithCancel(t.Context())
		ch := s.Subscribe(ctx)
		<-ch
		cancel()
		synctest.Wait()
		s.Send()
		if pending(ch) {
			t.Error("signal after the subscriber's context was done")
		}
	})
}
