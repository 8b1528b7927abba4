package synapsed

import (
	"context"
	"log/slog"
	"testing"

	"glia/config"
)

// Follow runs what follows services until the test ends, without a synapse around it, and returns what puts later configurations into force.
func Follow(t *testing.T, c config.Synapse, log *slog.Logger) (later func(config.Synapse) error) {
	t.Helper()
	f, err := follow(c, nil, log)
	if err != nil {
		t.Fatal(err)
	}
	reloads := make(chan Reload)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = f.run(ctx, reloads) }()
	t.Cleanup(func() { cancel(); <-ended })
	return func(c config.Synapse) error { return Later(ctx, reloads, c) }
}
