package dev

import (
	"context"
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
