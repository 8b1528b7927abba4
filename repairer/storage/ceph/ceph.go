// Package ceph is the storage driver for disks that carry Ceph OSDs, or the DB or WAL of OSDs.
//
// It empties the OSD, has the hand stop it, destroys it with its id and its CRUSH place kept, and brings
// it back on the new disk under the same id. All OSDs that need the disk go through it together. Data
// moves twice, once off the old disk and once onto the new one, and nothing else moves: the OSD is emptied
// and filled by its reweight, as `ceph osd out` and `ceph osd in` do, but in steps; the CRUSH weights of the
// hosts stay, so that no other data changes its place.
//
// It guarantees that an OSD is destroyed only when the manager says, moments before, that all OSDs in
// repair may be destroyed together; that what the cluster does not tell, or tells in an unknown form, is
// never taken for a yes; and that no flag of an operator is changed. The one flag that it sets is noin on
// the new OSD itself, until that takes part.
//
// It fails by waiting: while the cluster can not be asked, or answers no, the case stays where it is and
// says why. Only what no waiting mends parks the case, such as an id that somebody else uses now.
//
// The way to the cluster is librados, which needs cgo and the build tag ceph. Without the tag everything
// else is built and tested all the same, and Connect says what is missing.
package ceph

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"glia"
	"glia/repairer"
)

// Name is the driver's name in the configuration.
const Name = "ceph"

// Settings are what the driver knows of one cluster.
type Settings struct {
	Name     string  // for people
	FSID     string  // which the disks name
	HostName string  // of the cluster's configuration on the storage hosts, such as ceph
	Cluster  Cluster // the way to it

	Policy Policy
	Pacing Pacing
	Margin float64       // share of an OSD's size that stays free below backfillfull
	Drains int           // OSDs that may be emptied at a time; at least 1
	Fresh  time.Duration // how old a look may be when nothing is changed by it
}

// Driver is the driver. It is safe for concurrent use.
type Driver struct {
	hosts    repairer.Hosts
	clusters map[string]*cluster // by fsid
	now      func() time.Time
	log      *slog.Logger
}

var (
	_ repairer.Driver     = (*Driver)(nil)
	_ repairer.Gatekeeper = (*Driver)(nil)
)

// New makes the driver, which gives its orders through hosts.
func New(hosts repairer.Hosts, settings []Settings, now func() time.Time, log *slog.Logger) *Driver {
	dr := &Driver{hosts: hosts, clusters: map[string]*cluster{}, now: now, log: log}
	for _, s := range settings {
		dr.clusters[s.FSID] = &cluster{Settings: s, courses: map[string]*course{}, boots: map[int][]boot{}, turn: make(chan struct{}, 1)}
	}
	return dr
}

// Name is the driver's name.
func (*Driver) Name() string { return Name }

// cluster is one cluster with what is remembered of it.
type cluster struct {
	Settings

	turn chan struct{} // held by who looks, or asks and destroys: one at a time

	mu      sync.Mutex
	last    Look
	changes int                // of the cluster by this driver or by its orders
	boots   map[int][]boot     // of OSDs, as far as looks have seen them
	courses map[string]*course // by case and step
}

// take waits for the cluster's turn; the caller gives it back by reading from turn.
func (c *cluster) take(ctx context.Context) error {
	select {
	case c.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *cluster) give() { <-c.turn }

// see looks at the cluster, unless somebody has done so within maxAge.
func (c *cluster) see(ctx context.Context, maxAge time.Duration, now func() time.Time) (Look, error) {
	if err := c.take(ctx); err != nil {
		return Look{}, err
	}
	defer c.give()
	return c.seeHeld(ctx, maxAge, now)
}

// seeHeld is see for a caller that has the turn.
func (c *cluster) seeHeld(ctx context.Context, maxAge time.Duration, now func() time.Time) (Look, error) {
	c.mu.Lock()
	l, changes := c.last, c.changes
	c.mu.Unlock()
	if age := now().Sub(l.At); !l.At.IsZero() && age >= 0 && age < maxAge {
		return l, nil
	}
	l, err := LookAt(ctx, c.Cluster, c.FSID, now)
	if err != nil {
		return Look{}, fmt.Errorf("cluster %s: %w", c.Settings.Name, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.changes == changes { // else a part of it may be from before the change
		c.last = l
	}
	booted(c.boots, l)
	return l, nil
}

// changed forgets the last look, and one that is under way, because it is no more what the cluster is like.
func (c *cluster) changed() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last, c.changes = Look{}, c.changes+1
}

// sawBefore says that the last look is from before that time.
func (c *cluster) sawBefore(at time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.last.At.IsZero() && c.last.At.Before(at)
}

func (c *cluster) course(caseID, step string) *course {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := caseID + "/" + step
	if c.courses[key] == nil {
		c.courses[key] = &course{}
	}
	return c.courses[key]
}

func (c *cluster) forget(caseID, step string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.courses, caseID+"/"+step)
}

// flight are the OSDs that are in repair in the cluster: those of the case and of all others that are
// past their gates and have not got a new disk yet.
func (c *cluster) flight(own repairer.Case, others []repairer.Case) []int {
	ids := idsOf(own.Disk)
	for _, o := range others {
		if len(o.Disk.OSDs) > 0 && o.Disk.OSDs[0].Cluster == c.FSID && !o.Step(stepPrepare).Done {
			ids = union(ids, idsOf(o.Disk))
		}
	}
	return ids
}

// alive are those of the ids that are not destroyed yet.
func alive(m Map, ids []int) []int {
	return slices.DeleteFunc(slices.Clone(ids), func(id int) bool { return m.OSDs[id].Is("destroyed") })
}

// Do works on one step.
func (dr *Driver) Do(ctx context.Context, a repairer.Act) (repairer.Progress, error) {
	c, obstacle := dr.clusterOf(a.Case.Disk)
	if obstacle != "" {
		return repairer.Progress{Waits: obstacle}, nil
	}
	s := run{Driver: dr, cluster: c, act: a, ids: idsOf(a.Case.Disk)}
	steps := map[string]func(context.Context) (repairer.Progress, error){
		stepNote: s.note, stepDrain: s.drain, stepStop: s.stop, stepDestroy: s.destroy, stepDeactivate: s.order, stepBurnIn: s.order,
		stepPrepare: s.prepare, stepActivate: s.activate, stepRamp: s.ramp, stepRefill: s.refill, stepStartOld: s.startOld, stepRestore: s.restore,
	}
	do := steps[a.Step.Name]
	if do == nil {
		return repairer.Progress{}, fmt.Errorf("step %s is not one of the driver %s", a.Step.Name, Name)
	}
	asked := dr.now()
	p, err := do(ctx)
	if p.Refused != "" && c.sawBefore(asked) {
		c.changed() // a person may have mended it since, and the case would be parked for it again
		p, err = do(ctx)
	}
	if p.Done {
		c.forget(a.Case.ID, a.Step.Name)
	}
	var w *waitError
	if errors.As(err, &w) {
		return repairer.Progress{Waits: w.Error()}, nil
	}
	return p, err
}

// waitError is trouble with the cluster: no attempt of ours has failed, and waiting may mend it.
type waitError struct{ error }

func (w *waitError) Unwrap() error { return w.error }

// waits marks an error of the cluster. A repairer that is ending, and one that was deposed, do not wait.
func waits(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil && errors.Is(err, ctx.Err()) || errors.Is(err, glia.ErrStaleEpoch) {
		return err
	}
	return &waitError{errors.New(steadyWords(err))}
}

// Check says what stands in the way of the start of a case, or of one of its steps.
func (dr *Driver) Check(ctx context.Context, c repairer.Case, step string, others []repairer.Case) []repairer.Refusal {
	cl, obstacle := dr.clusterOf(c.Disk)
	if obstacle != "" {
		return []repairer.Refusal{refusal(obstacle, "a disk of a cluster that is configured", "that changes")}
	}
	if step == stepBurnIn {
		return nil // it concerns the new disk only
	}
	l, err := cl.see(ctx, cl.Fresh, dr.now)
	if err != nil {
		return []repairer.Refusal{refusal("the state of the cluster is not known: "+steadyWords(err), "an answer to all questions", "the cluster answers")}
	}
	ids := idsOf(c.Disk)
	if step != "" {
		return Unfitness(l, ids, cl.Policy, false)
	}
	return cl.start(ctx, l, c, others, ids)
}

// start says what is against beginning to empty the OSDs.
func (c *cluster) start(ctx context.Context, l Look, own repairer.Case, others []repairer.Case, ids []int) []repairer.Refusal {
	if r := c.busy(own, others); r != nil {
		return []repairer.Refusal{*r} // whatever else there is now comes from that, and changes all the time
	}
	out := Unfitness(l, ids, c.Policy, false)
	dead := true
	for _, osd := range own.Disk.OSDs {
		o := l.Map.OSDs[osd.ID]
		n, placed := l.Tree.OSD(osd.ID)
		switch {
		case !o.Is("exists"):
			return append(out, refusal(name(osd.ID)+" is not in the OSD map", "an OSD that is in use", "somebody gives it its id back, if it ever had it"))
		case o.Is("destroyed"):
			return append(out, refusal(name(osd.ID)+" is destroyed already, and only its id is kept", "an OSD that is in use", "whoever destroyed it makes it again: its case, or a person"))
		case !placed:
			return append(out, refusal(name(osd.ID)+" has no place in the CRUSH tree", "an OSD that is in use", "somebody gives it its place back"))
		case o.UUID != osd.UUID:
			return append(out, refusal(fmt.Sprintf("%s of the cluster is the OSD %s, the disk has %s", name(osd.ID), o.UUID, osd.UUID), "the same OSD on both", "a person finds out which one is right"))
		case n.Weight == 0:
			return append(out, refusal(name(osd.ID)+" has the CRUSH weight 0", "a weight to come back to", "somebody who takes it out by hand is done, or gives it its weight again"))
		}
		if r := c.parts(ctx, own.Disk, osd); r != nil {
			out = append(out, *r)
		}
		dead = dead && !o.Up
	}
	if r := degraded(l, ids); r != nil {
		out = append(out, *r)
	}
	all := alive(l.Map, c.flight(own, others))
	pgs, err := pgsOf(ctx, c.Cluster, l, all)
	if err != nil {
		return append(out, refusal("the PGs of "+names(all)+" are not known: "+steadyWords(err), "known PGs", "the cluster answers"))
	}
	if r := Room(l, all, pgs, c.Margin); r != nil {
		out = append(out, *r)
	}
	if !dead {
		if a := stoppable(ctx, c.Cluster, l.Map, all); a.Is != Yes {
			out = append(out, refusal("the cluster does not let them be stopped: "+a.Why, "ok-to-stop", "it does"))
		}
	}
	return out
}

// busy refuses to empty more OSDs at a time than are allowed.
func (c *cluster) busy(own repairer.Case, others []repairer.Case) *repairer.Refusal {
	ids := idsOf(own.Disk)
	n := 0
	example := ""
	for _, o := range others {
		if o.ID == own.ID || len(o.Disk.OSDs) == 0 || o.Disk.OSDs[0].Cluster != c.FSID {
			continue
		}
		if !o.Step(stepDrain).Done || o.Step(stepPrepare).Done && !o.Step(stepRefill).Done {
			n += len(idsOf(o.Disk))
			example = names(idsOf(o.Disk))
		}
		for _, id := range idsOf(o.Disk) {
			if slices.Contains(ids, id) {
				r := refusal(fmt.Sprintf("%s is in repair already, with disk %s (case %s)", name(id), o.Disk.Serial(), o.ID), "one repair of an OSD at a time", "that case ends")
				return &r
			}
		}
	}
	if n == 0 || n+len(ids) <= c.Drains { // those of one disk go together, however many they are
		return nil
	}
	r := refusal(fmt.Sprintf("%d OSDs are being emptied or filled, such as %s", n, example), fmt.Sprint(c.Drains), "they are done")
	return &r
}

// degraded refuses to begin while copies of other data are missing.
func degraded(l Look, ids []int) *repairer.Refusal {
	for _, id := range ids {
		if !l.Map.OSDs[id].Up {
			return nil // what is missing may well be its own
		}
	}
	if len(l.Unfit) == 0 {
		return nil
	}
	r := refusal("PGs are not clean: copies are missing or on the move", "every PG clean", "the cluster has recovered")
	return &r
}
