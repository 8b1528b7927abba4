package dev_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"glia/internal/dev"
)

// running starts a fleet that the test leaves nothing of. The context ends after the limit, and when a program of the
// group does, which fails the test.
func running(t *testing.T, o dev.Options, limit time.Duration) (context.Context, *errgroup.Group, dev.Fleet) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit) // the test's own ends before its cleanup
	g, gctx := errgroup.WithContext(ctx)
	fleet, err := dev.StartFleet(gctx, g, o, logOf(t))
	t.Cleanup(func() {
		if err := context.Cause(gctx); err != nil {
			t.Errorf("the fleet ended before its test: %v", err)
		}
		cancel()
		_ = g.Wait() // what is ended by the test may say so
		if err := fleet.Sweep(); err != nil {
			t.Error(err)
		}
		if left := leftovers(t, o.Dir); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return gctx, g, fleet
}

// logOf is a log that is printed when the test fails.
func logOf(t *testing.T) *slog.Logger { return slog.New(slog.NewTextHandler(t.Output(), nil)) }
