package dev

import (
	"context"
	"fmt"
	"log/slog"

	"golang.org/x/sync/errgroup"

	"glia/config"
)

// Prepare makes the real disks of a demo and leaves them, as a demo does that is killed.
func Prepare(ctx context.Context, dir string) error { return realStage{dir}.prepare(ctx) }

// Fleet is a demo's hosts and synapse on real disks, without a repairer.
type Fleet struct{ d *demo }

// StartFleet starts it inside the group.
func StartFleet(ctx context.Context, g *errgroup.Group, o Options) (Fleet, error) {
	o.noRepairer = true
	d := &demo{Options: o, stage: realStage{o.Dir}}
	if err := d.stage.prepare(ctx); err != nil {
		return Fleet{}, err
	}
	return Fleet{d}, d.start(ctx, g, slog.New(slog.DiscardHandler))
}

// RepairerConfig is the configuration of the repairer that the fleet lacks, and its URL.
func (f Fleet) RepairerConfig() (config.Repairer, string) {
	return f.d.repairerConfig(f.d.Net + ".1:7413"), f.d.repairer
}

// Sweep removes everything of the fleet.
func (f Fleet) Sweep() error { return sweep(f.d.Dir) }

// WithDefaultPace makes the nerves probe as seldom as they do without a configuration.
func WithDefaultPace(o Options) Options {
	o.tune = func(c *config.Nerve) { c.Probe.Interval = config.DefaultNerve().Probe.Interval }
	return o
}

// Nerve is the URL of a host's nerve.
func (f Fleet) Nerve(n int) string { return fmt.Sprintf("http://%s.%d:7411", f.d.Net, 10+n) }
