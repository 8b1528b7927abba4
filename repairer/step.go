package repairer

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"

	"glia"
)

// step does the one next thing of a case, which the facts in the log name.
func (e *Engine) step(ctx context.Context, c Case, l *snapshot) error {
	if c.Ticket != "" && len(c.Untold) > 0 && e.due(c) && halted(c, l.facts) == nil {
		return e.deliver(ctx, c)
	}
	if stale(c) && e.due(c) && halted(c, l.facts) == nil {
		return e.show(ctx, c)
	}
	if c.Parked != "" {
		return nil
	}
	if c.Cancel != "" || c.Started {
		if r := halted(c, l.facts); r != nil {
			return e.hold(ctx, c, []Refusal{*r})
		}
		if isHalt(c.Refusals) {
			return e.hold(ctx, c, nil)
		}
	}
	switch {
	case c.Cancel != "":
		return e.undo(ctx, c)
	case !c.Started:
		return e.prepare(ctx, c, l)
	}
	return e.carryOn(ctx, c)
}

// still finds the cases in which a step would change nothing: those that wait for a person, and those that
// the gates hold back as before. There may be thousands of them, and no step is begun for each.
func (e *Engine) still(l *snapshot) []bool {
	out := make([]bool, len(l.cases))
	parts := runtime.GOMAXPROCS(0)
	var wg sync.WaitGroup
	for p := range parts {
		wg.Go(func() {
			for i := p; i < len(l.cases); i += parts {
				out[i] = e.isStill(*l.cases[i], l)
			}
		})
	}
	wg.Wait()
	return out
}

func (e *Engine) isStill(c Case, l *snapshot) bool {
	switch {
	case c.Parked != "":
		return true
	case c.Started, c.Cancel != "", !c.Confirmed, len(c.Refusals) == 0:
		return false
	}
	v, agrees := e.memory.agrees(c, l.hosts[c.Host()], l.facts.Now)
	if !agrees {
		return false
	}
	c.Verdict = v
	return sameRefusals(c.Refusals, Gates(c, l.facts))
}

// prepare confirms, plans and asks the gates, again at every tick, until the case may start. It asks
// the nerve to probe when the case is new and right before it starts; in between, the fleet view says
// what the disk is like. In a storm nothing is confirmed: the hosts have other worries.
func (e *Engine) prepare(ctx context.Context, c Case, l *snapshot) error {
	if c.Phase == PhaseOpened {
		_, err := e.record(ctx, c, KindConfirming, "", "ask the nerve of "+c.Host()+" to look again", Data{})
		return err
	}
	if !c.Confirmed {
		if r := gateStorm(c, l.facts); r != nil {
			return e.hold(ctx, c, []Refusal{*r})
		}
	}
	ready, c, err := e.catchUp(ctx, c, l)
	if err != nil || !ready {
		return err
	}
	if refusals := Gates(c, l.facts); len(refusals) > 0 {
		return e.hold(ctx, c, refusals)
	}
	if c, err = e.whole(ctx, c); err != nil {
		return err
	}
	if refusals := e.gatekeeper(ctx, c, "", l.cases); len(refusals) > 0 {
		return e.hold(ctx, c, refusals)
	}
	answer := e.ask(ctx, c)
	if r := gateHook(c, Facts{Hook: answer}); r != nil {
		return e.hold(ctx, c, []Refusal{*r})
	}
	return e.start(ctx, c, answer)
}

// catchUp reviews the case, unless neither it nor what the view says of its disk has changed since.
func (e *Engine) catchUp(ctx context.Context, c Case, l *snapshot) (ready bool, _ Case, err error) {
	if !c.Confirmed {
		return e.review(ctx, c, e.Hosts.Probe)
	}
	h := l.hosts[c.Host()]
	if v, ok := e.memory.agrees(c, h, l.facts.Now); ok {
		c.Verdict = v
		return true, c, nil
	}
	ready, c, err = e.review(ctx, c, l.fromView(e))
	if ready && h != nil && slices.ContainsFunc(h.Disks, func(d glia.DiskStatus) bool { return d.Disk.Serial() == c.Serial() }) {
		e.memory.agree(c, h)
	}
	return ready, c, err
}

// start asks all gates once more, on facts of this moment and with no other case starting, and lets the
// case go.
func (e *Engine) start(ctx context.Context, c Case, answer Answer) error {
	e.starting.Lock()
	defer e.starting.Unlock()
	ready, c, err := e.review(ctx, c, e.Hosts.Probe)
	if err != nil || !ready {
		return err
	}
	l, err := e.snapshot(ctx)
	if err != nil {
		return err
	}
	l.facts.Hook = answer
	if answer.Needed && c.Plan.Hash() != answer.hash {
		return nil // the hook has agreed to another plan; it is asked anew at the next tick
	}
	if refusals := Gates(c, l.facts); len(refusals) > 0 {
		return e.hold(ctx, c, refusals)
	}
	if refusals := e.gatekeeper(ctx, c, "", l.cases); len(refusals) > 0 {
		return e.hold(ctx, c, refusals)
	}
	why := "all gates agree"
	if approved(c) {
		why = "approved by " + approvers(approvals(c))
	}
	_, err = e.record(ctx, c, KindStarted, "", "started plan "+c.Plan.Hash()+": "+why, Data{})
	return err
}

// review looks at the disk and brings the case up to date with it. It is ready when there was nothing
// to bring up to date; the case returned then carries the verdict of this moment.
func (e *Engine) review(ctx context.Context, c Case, look func(ctx context.Context, host, serial string) (glia.DiskStatus, error)) (ready bool, _ Case, err error) {
	d, err := look(ctx, c.Host(), c.Serial())
	if err != nil {
		return false, c, e.hold(ctx, c, []Refusal{{Gate: GateVerdict, Value: brief(err), Limit: "a verdict on " + c.Serial(), Until: "the nerve of " + c.Host() + " answers"}})
	}
	d.Verdict = Seconded(d.Verdict.At(e.Now()), e.saidByStorage(c.Serial()))
	v := d.Verdict
	switch {
	case v.State == glia.StateHealthy:
		_, err := e.record(ctx, c, KindEnded, "", "the disk is healthy again; nothing was done", Data{Phase: PhaseSuperseded})
		return false, c, err
	case !slices.Contains(e.States, v.State):
		return false, c, e.hold(ctx, c, []Refusal{{Gate: GateVerdict, Value: "the disk is " + steady(v), Limit: stateNames(e.States), Until: "the nerve says so again"}})
	}
	if !c.Confirmed || factsChanged(c, d) {
		_, err := e.record(ctx, c, KindConfirmed, StepConfirm, "confirmed: "+v.Summary(), Data{Disk: &d.Disk, Verdict: &v})
		return false, c, err
	}
	plan, err := e.plan(c.Disk, v)
	if err != nil {
		return false, c, e.hold(ctx, c, []Refusal{{Gate: GatePlan, Value: brief(err), Limit: "a plan", Until: "the configuration of the repairer names a driver"}})
	}
	if c.Plan == nil || c.Plan.Hash() != plan.Hash() || c.Plan.Mode != plan.Mode || c.Plan.ModeWhy != plan.ModeWhy || c.Plan.Approvals != plan.Approvals {
		_, err := e.record(ctx, c, KindPlanned, "", plannedText(c, plan), Data{Plan: &plan})
		return false, c, err
	}
	c.Verdict = v
	return true, c, nil
}

// plannedText tells of a new plan, and of approvals that lapse with it.
func plannedText(c Case, p Plan) string {
	text := "planned, hash " + p.Hash() + ", mode " + modeWords(&p)
	if have := approvals(c); len(have) > 0 && c.Plan.Hash() != p.Hash() {
		text += "; a fact has changed, and the approval of " + approvers(have) + " has lapsed"
	}
	return text
}

// plan makes the plan for a disk as it is now, with the mode that its verdict leads to.
func (e *Engine) plan(d glia.Disk, v glia.Verdict) (Plan, error) {
	pool := e.poolOf(d.Location.Host)
	name := pool.Driver
	driver, ok := e.Drivers[name]
	if !ok {
		return Plan{}, fmt.Errorf("no storage driver %q for host %s", name, d.Location.Host)
	}
	return permit(driver.Plan(d), pool, e.Rules, v), nil
}

// factsChanged says whether the disk is no more what the case was confirmed for.
func factsChanged(c Case, d glia.DiskStatus) bool {
	return (Plan{Disk: c.Disk}).Hash() != (Plan{Disk: d.Disk}).Hash() || c.Verdict.State != d.Verdict.State ||
		!slices.Equal(c.Verdict.Witnesses(), d.Verdict.Witnesses())
}

// hold writes down what holds the case back, when that has changed.
func (e *Engine) hold(ctx context.Context, c Case, refusals []Refusal) error {
	if sameRefusals(c.Refusals, refusals) {
		return nil
	}
	e.count(refusals)
	text := "held back no more"
	if len(refusals) > 0 {
		lines := make([]string, len(refusals))
		for i, r := range refusals {
			lines[i] = r.String()
		}
		text = "held back by " + strings.Join(lines, "; ")
	}
	_, err := e.record(ctx, c, KindHeld, "", text, Data{Refusals: refusals})
	return err
}

// carryOn does the next step of a started case.
func (e *Engine) carryOn(ctx context.Context, c Case) error {
	if e.announcing(c) {
		return e.announce(ctx, c)
	}
	for _, stage := range []Stage{StageDrain, StageRelease} {
		if s, ok := nextOf(c, stage); ok {
			return e.drive(ctx, c, s)
		}
	}
	switch {
	case c.Present == nil:
		return e.release(ctx, c)
	case !c.Step(StepTicket).Begun && !c.Step(StepLocateOn).Done:
		return e.locate(ctx, c, StepLocateOn)
	case !c.Step(StepTicket).Done:
		return e.act(ctx, c, StepTicket, func(c Case) (Data, error) { return e.hand(ctx, c) })
	case c.Replacement == nil:
		return e.awaitReplacement(ctx, c)
	}
	if s, ok := nextOf(c, StageRejoin); ok {
		return e.drive(ctx, c, s)
	}
	if c.RejoinedAt.IsZero() {
		_, err := e.record(ctx, c, KindRejoined, "", c.Replacement.Serial()+" has rejoined", Data{})
		return err
	}
	if lit(c) {
		return e.locate(ctx, c, StepLocateOff)
	}
	if !c.Step(StepSettle).Done {
		return e.settle(ctx, c)
	}
	if len(c.Untold) > 0 {
		return nil // the ticket is told in order, and closed last
	}
	if !c.Step(StepClose).Done {
		return e.act(ctx, c, StepClose, func(c Case) (Data, error) {
			return Data{}, e.track(ctx, c, func(ctx context.Context) error {
				return e.Tracker.Close(ctx, c.Key(StepClose), c.Ticket, closingText(c))
			})
		})
	}
	_, err := e.record(ctx, c, KindEnded, "", c.Serial()+" was replaced by "+c.Replacement.Serial(), Data{Phase: PhaseClosed})
	return err
}

func nextOf(c Case, stage Stage) (PlanStep, bool) {
	for _, s := range c.Plan.stage(stage) {
		if !c.Step(s.Name).Done {
			return s, true
		}
	}
	return PlanStep{}, false
}

// refusedError is a hand's or driver's no: nothing was changed, and trying again will not help.
type refusedError struct{ reason string }

func (r refusedError) Error() string { return "refused: " + r.reason }

// runningError says that a step goes on.
type runningError struct{ Progress }

func (runningError) Error() string { return "still running" }

// act does one step: begun is in the log before it, done or failed after it. Right before it the store
// confirms that this repairer leads and that the case is as it was when the step was chosen.
func (e *Engine) act(ctx context.Context, c Case, name string, do func(Case) (Data, error)) error {
	s := c.Step(name)
	if s.Attempts > 0 && s.Attempts >= e.Attempts { // killed between the last attempt and the parking
		return e.giveUp(ctx, c, name, fmt.Sprintf("%s did not succeed in %d attempts: %s", name, s.Attempts, s.Error))
	}
	if s.Attempts > 0 && e.Now().Before(s.At.Add(Backoff(s.Attempts, e.RetryMin, e.RetryMax, c.Key(name)))) {
		return nil
	}
	var err error
	if s.Begun {
		err = e.Store.Current(ctx, c.ID, c.Seq)
	} else {
		c, err = e.record(ctx, c, KindBegun, name, name+": begun", Data{})
	}
	if err != nil {
		return err
	}
	data, err := do(c)
	var refused refusedError
	var unfit *UnfitError
	var running runningError
	var away *AwayError
	if errors.As(err, &running) {
		return e.underWay(ctx, c, name, running.Progress)
	}
	e.tellProgress(c.ID, "")
	switch {
	case errors.Is(err, glia.ErrStaleEpoch), ctx.Err() != nil:
		return err
	case errors.As(err, &unfit) && c.Replacement != nil:
		return e.dropReplacement(ctx, c, unfit)
	case errors.As(err, &away) && c.Replacement != nil:
		return e.awaitReturn(ctx, c, name, away)
	case errors.As(err, &refused):
		return e.giveUp(ctx, c, name, name+" was "+brief(err))
	case errors.Is(err, glia.ErrUnreachable):
		return e.outOfReach(ctx, c, name, err)
	case err != nil:
		return e.failed(ctx, c, name, err)
	}
	text := name + ": done"
	if data.Output != "" {
		text += ": " + lastLine(data.Output)
	}
	_, err = e.record(ctx, c, KindDone, name, text, data)
	return err
}

// outOfReach notes, once, that a step waits for its host. However long that takes, it is no failed
// attempt, and the case is not parked for it.
func (e *Engine) outOfReach(ctx context.Context, c Case, name string, cause error) error {
	waits := "waits for " + c.Host()
	if strings.HasPrefix(c.Step(name).Error, waits) {
		return nil
	}
	_, err := e.record(ctx, c, KindWaits, name, waits+": "+brief(cause), Data{})
	return err
}

// underWay notes, once each, for what a step waits and that it goes on again. A step that tells nothing
// of itself is reported when it runs for very long. It is left running.
func (e *Engine) underWay(ctx context.Context, c Case, name string, p Progress) error {
	e.tellProgress(c.ID, p.Text)
	s := c.Step(name)
	waits := p.Waits
	if waits == "" && p.Text == "" && e.Overdue > 0 && e.Now().Sub(s.At) >= e.Overdue && (s.Error == "" || s.Waits) {
		waits = fmt.Sprintf("still running after %s", e.Overdue)
	}
	var err error
	switch {
	case waits != "" && (waits != s.Error || !s.Waits):
		_, err = e.record(ctx, c, KindWaits, name, waits, Data{})
	case waits == "" && s.Waits:
		_, err = e.record(ctx, c, KindGoesOn, name, name+": goes on", Data{})
	}
	return err
}

// failed records a failed attempt and parks the case when there were too many.
func (e *Engine) failed(ctx context.Context, c Case, name string, cause error) error {
	c, err := e.record(ctx, c, KindFailed, name, brief(cause), Data{})
	if err != nil {
		return err
	}
	e.Log.Warn("step did not succeed", "case", c.ID, "step", name, "attempt", c.Step(name).Attempts, "error", cause)
	if c.Step(name).Attempts < e.Attempts {
		return nil
	}
	return e.giveUp(ctx, c, name, fmt.Sprintf("%s did not succeed in %d attempts: %s", name, c.Step(name).Attempts, brief(cause)))
}

// giveUp parks the case. A step that only undoes what a cancelled case has done is left out instead:
// the disk stays out of use, and the case ends and says so.
func (e *Engine) giveUp(ctx context.Context, c Case, name, text string) error {
	if c.Cancel != "" && slices.ContainsFunc(c.Plan.stage(StageRestore), func(s PlanStep) bool { return s.Name == name }) {
		_, err := e.record(ctx, c, KindLeftOut, name, text, Data{})
		return err
	}
	_, err := e.record(ctx, c, KindParked, name, text+"; mend it, then glia unpark "+c.ID, Data{})
	return err
}

// brief is an error for a line of the log.
func brief(err error) string {
	s := strings.ReplaceAll(err.Error(), "\n", "; ")
	if len(s) > 500 {
		s = s[:500] + "…"
	}
	return s
}

func lastLine(s string) string {
	s = strings.TrimSpace(s)
	return s[strings.LastIndexByte(s, '\n')+1:]
}

// settle waits until the new disk has proven itself.
func (e *Engine) settle(ctx context.Context, c Case) error {
	// A new disk that failed as well may have had its own repair; then nothing is left to wait for.
	next, err := e.Store.LastCase(ctx, c.Replacement.Serial())
	switch {
	case err != nil && !errors.Is(err, glia.ErrNotFound):
		return fmt.Errorf("look for cases of %s: %w", c.Replacement.Serial(), err)
	case err == nil && next.Phase == PhaseClosed && next.ClosedAt.After(c.RejoinedAt):
		_, err := e.record(ctx, c, KindDone, StepSettle, c.Replacement.Serial()+" was replaced in turn, in case "+next.ID, Data{Facts: map[string]string{factSucceeded: next.ID}})
		return err
	}
	d, err := e.disk(ctx, c.Host(), c.Replacement.Serial())
	var why string
	ok := false
	if err != nil {
		why = brief(err)
	} else {
		ok, why = Settled(c, d, e.Settle, e.Now())
	}
	if ok {
		_, err := e.record(ctx, c, KindDone, StepSettle, "the new disk is healthy and in use", Data{})
		return err
	}
	if err == nil && slices.Contains(e.States, d.Verdict.At(e.Now()).State) {
		_, err := e.record(ctx, c, KindParked, StepSettle, "the new disk "+c.Replacement.Serial()+" is "+steady(d.Verdict)+"; it needs a repair of its own", Data{})
		return err
	}
	if c.Step(StepSettle).Error == why {
		return nil
	}
	_, err = e.record(ctx, c, KindWaits, StepSettle, why, Data{})
	return err
}

// disk asks the nerve for one disk as it was last probed.
func (e *Engine) disk(ctx context.Context, host, serial string) (glia.DiskStatus, error) {
	disks, err := e.Hosts.Disks(ctx, host)
	if err != nil {
		return glia.DiskStatus{}, err
	}
	for _, d := range disks {
		if d.Disk.Serial() == serial {
			return d, nil
		}
	}
	return glia.DiskStatus{}, fmt.Errorf("disk %s on host %s: %w", serial, host, glia.ErrNotFound)
}
