package dev

import (
	"context"
	"fmt"
	"log/slog"

	"golang.org/x/sync/errgroup"

	"glia/config"
	testbed "glia/internal/testbed/ceph"
)

// Prepare makes the real disks of a demo and leaves them, as a demo does that is killed.
func Prepare(ctx context.Context, dir string) error { return realStage{dir}.prepare(ctx) }

// UsedUntil is the end of what is on a disk's backing file.
var UsedUntil = usedUntil

// Fleet is a demo's hosts and synapse on real disks, without a repairer.
type Fleet struct{ d *demo }

// StartFleet starts it inside the group.
func StartFleet(ctx context.Context, g *errgroup.Group, o Options, log *slog.Logger) (Fleet, error) {
	o.noRepairer = true
	d, _, err := newDemo(o)
	if err != nil {
		return Fleet{}, err
	}
	if err := d.stage.prepare(ctx); err != nil {
		return Fleet{d}, err
	}
	return Fleet{d}, d.start(ctx, g, log)
}

// RepairerConfig is the configuration of the repairer that the fleet lacks, and its URL.
func (f Fleet) RepairerConfig(ctx context.Context) (config.Repairer, string, error) {
	c, err := f.d.repairerConfig(ctx, f.d.Net+".1:7413")
	return c, f.d.repairer, err
}

// Sweep removes everything of the fleet.
func (f Fleet) Sweep() error {
	if f.d == nil {
		return nil
	}
	return f.d.clear()
}

// WithDefaultPace makes the nerves probe as seldom as they do without a configuration.
func WithDefaultPace(o Options) Options {
	o.tune = func(c *config.Nerve) { c.Probe.Interval = config.DefaultNerve().Probe.Interval }
	return o
}

// Nerve is the URL of a host's nerve.
func (f Fleet) Nerve(n int) string { return fmt.Sprintf("http://%s.%d:7411", f.d.Net, 10+n) }

// Pool is what a client of the demo with Ceph reads.
type Pool = pool

// Meet has a client write n objects and read each once, and tells what it has met.
func Meet(ctx context.Context, p Pool, n, size int) (words string, trouble error) {
	c, err := newClient(ctx, p, n, size)
	if err != nil {
		return "", err
	}
	for i := range n {
		c.read(i, make([]byte, size+1))
	}
	return c.met().String(), c.met().trouble()
}

// Moved says what has moved from or to an OSD, and beside that, between two looks at PGs of one megabyte.
func Moved(before, later map[string][]int, osd int) (own, other string) {
	look := func(of map[string][]int) placement {
		p := placement{}
		for id, osds := range of {
			p[id] = pg{osds, 1e6}
		}
		return p
	}
	a, b := look(before).until(look(later), osd)
	return a.String(), b.String()
}

// Cluster is that of a fleet with Ceph.
func (f Fleet) Cluster() *testbed.Cluster { return f.d.ceph.cluster }
