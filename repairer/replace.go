package repairer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"glia"
	"glia/api"
	gliav1 "glia/api/glia/v1"
)

// release notes which disks are there, just before the person is told to pull one of them. If the
// ordered one is not among them it is gone already.
func (e *Engine) release(ctx context.Context, c Case) error {
	disks, err := e.Hosts.Disks(ctx, c.Host())
	if err != nil {
		return e.hold(ctx, c, []Refusal{{Gate: GateVerdict, Value: brief(err), Limit: "the list of disks", Until: "the nerve of " + c.Host() + " answers"}})
	}
	if len(c.Refusals) > 0 {
		return e.hold(ctx, c, nil)
	}
	p := append(present(disks), c.Serial())
	slices.Sort(p)
	p = slices.Compact(p)
	_, err = e.record(ctx, c, KindReleased, "", fmt.Sprintf("released: %d disks are in %s", len(p), c.Host()), Data{Present: p})
	return err
}

// file creates the ticket, or finds the one that a crashed attempt has created. One that was announced is changed to
// what holds now.
func (e *Engine) file(ctx context.Context, c Case, s Stance) (Data, error) {
	id, t := c.Ticket, e.ticketText(c, s)
	err := e.track(ctx, c, func(ctx context.Context) (err error) {
		if id == "" {
			id, err = e.Tracker.File(ctx, c.Key(StepTicket), t)
		}
		if err != nil || s == StanceWait || !c.Step(StepAnnounce).Begun {
			return err
		}
		return e.Tracker.Update(ctx, id, t.Title, t.Body)
	})
	if err != nil {
		return Data{}, fmt.Errorf("file the ticket for %s: %w", c.Serial(), err)
	}
	return Data{Ticket: id, Shown: s, Output: "ticket " + id}, nil
}

// hand gives the disk to the person: the ticket says that it is safe to pull.
func (e *Engine) hand(ctx context.Context, c Case) (Data, error) {
	s := StanceOf(c)
	d, err := e.file(ctx, c, s)
	if err == nil && c.Step(StepAnnounce).Begun {
		head, why := stanceWords(c, s)
		d.Tell = fmt.Sprintf("%s: %s.", head, why)
	}
	return d, err
}

// awaitReplacement watches the host until another disk has taken the place of the old one.
func (e *Engine) awaitReplacement(ctx context.Context, c Case) error {
	if told, err := e.remind(ctx, c); err != nil || told {
		return err
	}
	disks, err := e.Hosts.Disks(ctx, c.Host())
	if err != nil {
		return e.hold(ctx, c, []Refusal{{Gate: GateVerdict, Value: brief(err), Limit: "the list of disks", Until: "the nerve of " + c.Host() + " answers"}})
	}
	if len(c.Refusals) > 0 {
		return e.hold(ctx, c, nil)
	}
	excused, err := e.excused(ctx, c)
	if err != nil {
		return err
	}
	r := WatchRemoval(c, disks, excused)
	if r.Wrong, err = e.unexplained(ctx, c, r.Wrong); err != nil {
		return err
	}
	if len(r.Wrong) > 0 {
		return e.alarm(ctx, c, r.Wrong)
	}
	if c.Alarm != "" {
		return e.endAlarm(ctx, c)
	}
	if r.Gone && !c.Removed {
		_, err := e.record(ctx, c, KindRemoved, "", c.Serial()+" was taken out", Data{})
		return err
	}
	t, err := e.answer(ctx, c)
	if err != nil && !errors.Is(err, glia.ErrNotFound) {
		e.Log.Debug("ticket can not be read", "case", c.ID, "ticket", c.Ticket, "error", err)
	}
	if reopening(c) {
		t.Status = TicketOpen
	}
	if t.Status == TicketResolved && t.Resolution != ResolutionDone {
		if heard, err := e.heed(ctx, c, t); err != nil || heard {
			return err
		}
	}
	// A person may resolve the ticket before the nerve has seen what was done. The time is by the tracker's clock,
	// which may be ahead.
	age := e.Now().Sub(t.UpdatedAt)
	resolved := t.Status == TicketResolved && t.Resolution == ResolutionDone && (age < 0 || age >= 2*e.RetryMin)
	switch found := Newcomers(c, disks); {
	case len(found) > 0:
		return e.inspect(ctx, c, found[0], t)
	case !r.Gone && (resolved || c.Removed):
		return e.reject(ctx, c, Rejection{Serial: c.Serial(), Findings: []string{fmt.Sprintf("the old disk %s is in %s", c.Serial(), c.Disk.Location.Place())}}, t)
	case r.Gone && (resolved || c.Candidate != ""):
		return e.reject(ctx, c, Rejection{Findings: []string{c.Disk.Location.Place() + " is empty"}}, t)
	}
	return nil
}

// excused are the serials of the same host that have open cases of their own: they may be pulled too.
func (e *Engine) excused(ctx context.Context, c Case) ([]string, error) {
	open, err := e.Store.Cases(ctx, false)
	if err != nil {
		return nil, fmt.Errorf("read the open cases: %w", err)
	}
	var out []string
	for _, o := range open {
		if o.ID != c.ID && o.Host() == c.Host() && o.Step(StepTicket).Done {
			out = append(out, o.Serial())
		}
	}
	return out, nil
}

// unexplained are those of the serials that were not replaced by a case of their own which has ended since this one
// began.
func (e *Engine) unexplained(ctx context.Context, c Case, gone []string) ([]string, error) {
	var out []string
	for _, serial := range gone {
		last, err := e.Store.LastCase(ctx, serial)
		switch {
		case err != nil && !errors.Is(err, glia.ErrNotFound):
			return nil, fmt.Errorf("look for cases of %s: %w", serial, err)
		case err != nil || last.Phase != PhaseClosed || last.Host() != c.Host() || !last.ClosedAt.After(c.StartedAt):
			out = append(out, serial)
		}
	}
	return out, nil
}

func (e *Engine) alarm(ctx context.Context, c Case, wrong []string) error {
	serials := strings.Join(wrong, ", ")
	text := fmt.Sprintf("WRONG DISK: %s disappeared from %s, ordered was %s in %s. Put it back; the case stands still until then", serials, c.Host(), c.Serial(), c.Disk.Location.Place())
	if c.Alarm == text {
		return nil
	}
	_, err := e.record(ctx, c, KindAlarm, "", text, Data{Serial: wrong[0], Tell: text})
	return err
}

func (e *Engine) endAlarm(ctx context.Context, c Case) error {
	text := "the disk that was pulled by mistake is back; the case goes on"
	_, err := e.record(ctx, c, KindAlarm, "", text, Data{Tell: text})
	return err
}

// inspect asks the hand for the proof that the new disk may be used, and takes it or says why not.
func (e *Engine) inspect(ctx context.Context, c Case, found glia.DiskStatus, t Ticket) error {
	serial := found.Disk.Serial()
	if c.Rejected != nil && c.Rejected.Serial == serial && t.Status != TicketResolved && e.Now().Before(c.At.Add(e.RetryMin)) {
		return nil
	}
	if found.Disk.Location.Place() != c.Disk.Location.Place() {
		return e.reject(ctx, c, Rejection{Serial: serial, Findings: []string{fmt.Sprintf("%s is in %s; the old disk was in %s", serial, found.Disk.Location.Place(), c.Disk.Location.Place())}}, t)
	}
	if r := unfit(c, serial, t); r != nil {
		return e.reject(ctx, c, *r, t)
	}
	retired, err := e.Store.Retired(ctx)
	if err != nil {
		return fmt.Errorf("read the retired serials: %w", err)
	}
	probed, err := e.Hosts.Probe(ctx, c.Host(), serial)
	if err != nil {
		return e.reject(ctx, c, Rejection{Serial: serial, Findings: []string{brief(err)}}, Ticket{})
	}
	o := &gliav1.Order{
		Epoch: e.Store.Epoch(), CaseId: c.ID, Key: e.inspection(c, serial), Verb: gliav1.Verb_VERB_INSPECT,
		Serial: c.Serial(), Place: c.Disk.Location.Place(), MinSize: c.Disk.Identity.Size, Retired: retired,
	}
	answer, err := e.Hosts.Execute(ctx, c.Host(), o)
	e.keepInspection(c, serial, o.GetKey(), answer.GetState() == gliav1.OrderState_ORDER_STATE_RUNNING)
	e.tellProgress(c.ID, "")
	switch {
	case errors.Is(err, glia.ErrStaleEpoch):
		return err
	case err != nil:
		return e.reject(ctx, c, Rejection{Serial: serial, Findings: []string{brief(err)}}, Ticket{})
	case answer.GetState() == gliav1.OrderState_ORDER_STATE_RUNNING:
		e.tellProgress(c.ID, answer.GetReason())
		return nil
	case answer.GetState() != gliav1.OrderState_ORDER_STATE_DONE:
		return e.reject(ctx, c, Rejection{Serial: serial, Findings: []string{"the inspection did not succeed: " + answer.GetReason()}}, Ticket{})
	}
	in := answer.GetInspection()
	findings := JudgeReplacement(c, probed, in.GetFindings(), e.Now())
	disk := api.DiskFromProto(in.GetDisk())
	if disk.Serial() != serial {
		findings = append(findings, fmt.Sprintf("the inspection saw %q, the list of disks %q", disk.Serial(), serial))
	}
	if !in.GetAcceptable() && len(findings) == 0 {
		findings = append(findings, "the hand does not accept it and gives no reason")
	}
	if len(findings) > 0 {
		return e.reject(ctx, c, Rejection{Serial: serial, Findings: findings}, t)
	}
	if c.Candidate != serial {
		_, err := e.record(ctx, c, KindInspecting, StepInspect, "inspected: "+disk.String()+" is blank and large enough", Data{Serial: serial})
		return err
	}
	_, err = e.record(ctx, c, KindAccepted, StepInspect, "accepted "+disk.String(), Data{Disk: &disk})
	return err
}

// inspection is the key of the inspection of a new disk. It reads only, so the key is new each time: the disk may
// have changed since. One that still runs is asked for by its own key, else nobody would hear what it finds.
func (e *Engine) inspection(c Case, serial string) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	if key, runs := e.inspections[c.ID+" "+serial]; runs {
		return key
	}
	return c.Key(fmt.Sprintf("%s/%d", StepInspect, e.Now().UnixNano()))
}

// keepInspection remembers the key of an inspection for as long as it runs.
func (e *Engine) keepInspection(c Case, serial, key string, runs bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.inspections, c.ID+" "+serial)
	if runs {
		e.inspections[c.ID+" "+serial] = key
	}
}

// UnfitError is a driver's answer that the new disk itself may not be used. Nothing was made on it, so
// that the engine lets it go and waits for another one.
type UnfitError struct {
	Reason string
	Final  bool // no cleaning helps: it must be another disk
}

func (u *UnfitError) Error() string { return "the new disk is not fit: " + u.Reason }

// AwayError is a driver's answer that nothing can be told of the new disk, because it is not where it was
// accepted. That is no fault of the disk: the step is tried again when the disk is back.
type AwayError struct{ Reason string }

func (a *AwayError) Error() string { return "the new disk is away: " + a.Reason }

// What the hand's reasons begin with when a burn-in speaks against the new disk itself, and when the disk
// is away.
const (
	burnInFailed = "burn-in: "
	burnInUnfit  = "can not be used: "
	burnInUntold = "can not be told yet: "
)

// BurnInError reads the hand's answer to a burn-in: an *UnfitError when it speaks against the new disk, an
// *AwayError when the disk is not there, or nil. Whatever else stops a burn-in, such as a nerve that stops
// or does not know the order, is not the disk's fault.
func BurnInError(r *gliav1.ExecuteResponse) error {
	failed, refused := r.GetState() == gliav1.OrderState_ORDER_STATE_FAILED, r.GetState() == gliav1.OrderState_ORDER_STATE_REFUSED
	switch reason := r.GetReason(); {
	case failed && strings.HasPrefix(reason, burnInFailed):
		return &UnfitError{Reason: reason, Final: true}
	case refused && strings.HasPrefix(reason, burnInUnfit):
		return &UnfitError{Reason: reason}
	case (failed || refused) && strings.HasPrefix(reason, burnInUntold):
		return &AwayError{Reason: strings.TrimPrefix(reason, burnInUntold)}
	}
	return nil
}

// awaitReturn waits for a new disk that is away, for as long as nothing was made on it and no other disk
// has taken its place. Then it is let go, and may come back like any other. The person is told once.
func (e *Engine) awaitReturn(ctx context.Context, c Case, name string, away *AwayError) error {
	disks, err := e.Hosts.Disks(ctx, c.Host())
	if err != nil {
		return e.outOfReach(ctx, c, name, err)
	}
	for _, d := range disks {
		if d.Verdict.State != glia.StateMissing && d.Disk.Location.Place() == c.Disk.Location.Place() && d.Disk.Serial() != c.Replacement.Serial() {
			r := Rejection{Serial: c.Replacement.Serial(), Findings: []string{fmt.Sprintf("%s is in its place", d.Disk.Serial())}, Unfit: true, Away: true}
			return e.reject(ctx, c, r, Ticket{})
		}
	}
	waits := fmt.Sprintf("waits for %s in %s", c.Replacement.Serial(), c.Disk.Location.Place())
	if strings.HasPrefix(c.Step(name).Error, waits) {
		return nil
	}
	text := waits + ": " + brief(away)
	_, err = e.record(ctx, c, KindWaits, name, text, Data{Tell: text + "; put it back, or another blank disk in its place"})
	return err
}

// dropReplacement lets an accepted disk go.
func (e *Engine) dropReplacement(ctx context.Context, c Case, u *UnfitError) error {
	t, err := e.Tracker.Ticket(ctx, c.Ticket)
	if err != nil {
		e.Log.Debug("ticket can not be read", "case", c.ID, "ticket", c.Ticket, "error", err)
	}
	finding := u.Reason + "; clean it and resolve the ticket again, or put in another disk"
	if u.Final {
		finding = u.Reason + "; put in another disk"
	}
	e.Log.Warn("new disk is not fit", "case", c.ID, "serial", c.Replacement.Serial(), "error", u.Reason)
	return e.reject(ctx, c, Rejection{Serial: c.Replacement.Serial(), Findings: []string{finding}, Unfit: true, Final: u.Final}, t)
}

// drop forgets the accepted disk and what was done to it.
func (c *Case) drop(r Rejection) {
	c.Replacement = nil
	if !r.Away {
		c.Unfit = append(slices.Clip(c.Unfit), r)
	}
	steps := maps.Clone(c.Steps)
	for _, s := range c.Plan.stage(StageRejoin) {
		delete(steps, s.Name)
	}
	c.Steps = steps
}

// unfit finds why a disk that was dropped is not tried again: for good, or until the ticket is resolved
// once more.
func unfit(c Case, serial string, t Ticket) *Rejection {
	for _, r := range slices.Backward(c.Unfit) {
		if r.Serial == serial && (r.Final || t.Status != TicketResolved) {
			return &Rejection{Serial: r.Serial, Findings: r.Findings}
		}
	}
	return nil
}

// reject writes down why a disk is not taken, once for each reason, and tells the person. A ticket
// that was resolved is opened again.
func (e *Engine) reject(ctx context.Context, c Case, r Rejection, t Ticket) error {
	reopen := t.Status == TicketResolved && !reopening(c)
	same := !r.Unfit && c.Rejected != nil && c.Rejected.Serial == r.Serial && slices.Equal(c.Rejected.Findings, r.Findings)
	if same && !reopen {
		return nil
	}
	text := "not taken"
	if r.Serial != "" {
		text += ": " + r.Serial
	}
	text += ": " + strings.Join(r.Findings, "; ")
	_, err := e.record(ctx, c, KindRejected, StepInspect, text, Data{Rejection: &r, Tell: text, Reopen: reopen})
	return err
}
