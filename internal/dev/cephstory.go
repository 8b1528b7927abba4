package dev

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"connectrpc.com/connect"

	gliav1 "glia/api/glia/v1"
	"glia/repairer"
)

// watch looks at the cluster while a disk of it is repaired: what a client meets, and what moves where.
type watch struct {
	stage  *cephStage
	osd    int
	client *client
	stop   func() // ends the reading and waits for it

	place                   string // of the OSD in the CRUSH tree, before
	before, drained, closed placement
}

// begin writes data into the cluster and reads it from now on.
func (s *cephStage) begin(ctx context.Context, osd int) (*watch, error) {
	w := &watch{stage: s, osd: osd}
	var err error
	if w.place, err = where(ctx, s.cluster, osd); err != nil {
		return nil, err
	}
	p, err := openPool(s.cluster.Conf, s.cluster.Pool)
	if err != nil {
		return nil, err
	}
	reading, cancel := context.WithCancel(ctx)
	if w.client, err = newClient(ctx, p, objectCount, objectSize); err != nil {
		cancel()
		p.Close()
		return nil, err
	}
	var all sync.WaitGroup
	all.Go(func() { w.client.run(reading) })
	w.stop = sync.OnceFunc(func() {
		cancel()
		all.Wait()
		p.Close()
	})
	// The manager hears of the new data within a moment.
	if err := s.cluster.WaitClean(ctx); err != nil {
		w.stop()
		return nil, err
	}
	if w.before, err = placed(ctx, s.cluster); err != nil {
		w.stop()
	}
	return w, err
}

// look takes in where the data is when the OSD is empty, and at the end.
func (w *watch) look(ctx context.Context, e *gliav1.Event) (err error) {
	switch {
	case e.GetStep() == "drain" && e.GetKind() == string(repairer.KindDone):
		w.drained, err = placed(ctx, w.stage.cluster)
	case e.GetStep() == "refill" && e.GetKind() == string(repairer.KindDone):
		w.closed, err = placed(ctx, w.stage.cluster)
	}
	return err
}

// figures tell what the repair meant for the cluster and for its client.
func (w *watch) figures(ctx context.Context) (lines []string, err error) {
	w.stop()
	place, err := where(ctx, w.stage.cluster, w.osd)
	if err != nil {
		return nil, err
	}
	same := "as before"
	if place != w.place {
		same = "it was " + w.place
	}
	off, beside := w.before.until(w.drained, w.osd)
	back, beside2 := w.drained.until(w.closed, w.osd)
	away, _ := w.before.until(w.closed, w.osd)
	lines = []string{
		fmt.Sprintf("osd.%d is back under its id: %s, %s.", w.osd, place, same),
		fmt.Sprintf("Moved off the failing disk: %s; onto the new one: %s; of other data: %s.", off, back, movement{beside.pgs + beside2.pgs, beside.bytes + beside2.bytes}),
	}
	if away.pgs == 0 {
		lines = append(lines, "Every PG has its copies where they were before.")
	}
	met := w.client.met()
	lines = append(lines, fmt.Sprintf("A client used the cluster all the time: %s.", met))
	if place != w.place {
		return lines, fmt.Errorf("osd.%d is %s, it was %s", w.osd, place, w.place)
	}
	return lines, met.trouble()
}

// approve approves the plan as a person does, when the case waits for just that: of a disk without a
// filesystem only the reads speak, and one kind of evidence is not enough.
func (s *story) approve(ctx context.Context, c *gliav1.Case) (done bool, err error) {
	if !slices.ContainsFunc(c.GetRefusals(), func(r *gliav1.Refusal) bool { return r.GetGate() == repairer.GateWitnesses }) {
		return false, nil
	}
	hash := c.GetPlan().GetHash()
	_, err = s.repair.Approve(ctx, connect.NewRequest(&gliav1.ApproveRequest{CaseId: c.GetId(), PlanHash: hash, Person: "operator", OsUser: "demo"}))
	if err == nil {
		s.at("operator", "reads the plan and approves it: glia approve %s --hash %s", c.GetId(), hash)
	}
	return err == nil, err
}

// progress prints how far a long step has come, until the context ends.
func (s *story) progress(ctx context.Context, id string) {
	t := time.NewTicker(2 * time.Second)
	defer t.Stop()
	last := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		r, err := s.repair.GetCase(ctx, connect.NewRequest(&gliav1.GetCaseRequest{Id: id}))
		if err != nil {
			continue // the story itself tells when the repairer is gone
		}
		if p := r.Msg.GetCase().GetProgress(); p != "" && p != last {
			last = p
			s.at("", "%s", p)
		}
	}
}
