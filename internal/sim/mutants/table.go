package main

// The files that the table breaks.
const (
	decideFile   = "repairer/decide.go"
	engineFile   = "repairer/engine.go"
	eventFile    = "repairer/event.go"
	gateFile     = "repairer/gate.go"
	approvalFile = "repairer/approval.go"
	budgetFile   = "repairer/budget.go"
	stepFile     = "repairer/step.go"
	remindFile   = "repairer/remind.go"
	serviceFile  = "repairer/service.go"
	factsFile    = "repairer/facts.go"
	replaceFile  = "repairer/replace.go"
	breakerFile  = "repairer/breaker.go"
	driveFile    = "repairer/drive.go"
	stopFile     = "repairer/stop.go"
	stormFile    = "repairer/storm.go"
	undoFile     = "repairer/undo.go"
	modeFile     = "repairer/mode.go"
	outboxFile   = "repairer/outbox.go"
	fenceFile    = "repairer/fence.go"
	casesFile    = "repairer/store/cases.go"
	chainFile    = "repairer/store/chain.go"
	actsFile     = "repairer/store/acts.go"
	coreFile     = "repairer/store/core.go"
	sqliteFile   = "repairer/store/sqlite.go"
	storageFile  = "repairer/storage/filesystem/filesystem.go"
	trackerFile  = "repairer/ticket/ticket.go"
	simulateHand = "internal/sim/hand.go"
)

func one(name, file, from, to string) Mutant {
	return Mutant{Name: name, Edits: []Edit{{file, from, to}}}
}

// Mutants are the broken variants. What two lines guard together is broken in both.
var Mutants = []Mutant{
	one("pause gate removed from the start", gateFile, "gateStop, gateBreaker, gatePause, gateStorm,", "gateStop, gateBreaker, gateStorm,"),
	one("protection gate removed", gateFile, "gateProtected, gateIdentity", "gateIdentity"),
	one("plan gate removed", gateFile, "gatePlan, gateFreshness", "gateFreshness"),
	one("freshness gate removed", gateFile, "gateFreshness, gateVerdict", "gateVerdict"),
	one("witness gate removed", gateFile, "gateWitnesses, gateCohort", "gateCohort"),
	one("mode gate removed", gateFile, "gateMode, gateHook,", "gateHook,"),
	one("budgets not asked", gateFile, "return append(out, gateBudgets(c, f)...)", "return out"),
	one("budget off by one", budgetFile, "b.Used+more <= b.Limit:", "b.Used+more <= b.Limit+1:"),
	one("one witness is enough", gateFile, "len(c.Verdict.Witnesses()) >= 2", "len(c.Verdict.Witnesses()) >= 1"),
	{Name: "approval hash not compared", Edits: []Edit{
		{approvalFile, "if a.Hash == hash && !", "if hash != \"\" && !"},
		{approvalFile, "		c.Approvals = nil\n", ""},
	}},
	one("pause ignored by what is under way", stepFile, "if r := halted(c, l.facts); r != nil {", "if r := halted(c, l.facts); r != nil && c.Seq == 0 {"),
	one("unknown treated as failed when opening", decideFile, "case !slices.Contains(states, v.State):", "case !slices.Contains(states, v.State) && v.State != glia.StateUnknown:"),
	{Name: "unknown treated as failed when starting", Edits: []Edit{
		{stepFile, "case !slices.Contains(e.States, v.State):", "case !slices.Contains(e.States, v.State) && v.State != glia.StateUnknown:"},
		{gateFile, "if slices.Contains(f.OpenStates, v.State) {", "if slices.Contains(f.OpenStates, v.State) || v.State == glia.StateUnknown {"},
	}},
	one("a missing disk opens a case", decideFile, "case !slices.Contains(states, v.State):", "case !slices.Contains(states, v.State) && v.State != glia.StateMissing:"),
	one("a missing disk counts as there", decideFile, "r := Removal{Gone: !here[c.Serial()]}", "r := Removal{Gone: here[c.Serial()]}"),
	one("cool-down ignored", engineFile, "now.Before(last.ClosedAt.Add(e.CoolDown)):", "now.IsZero():"),
	one("act before log", stepFile, "		c, err = e.record(ctx, c, KindBegun, name, name+\": begun\", Data{})", "		err = e.Store.Current(ctx, c.ID, c.Seq)"),
	{Name: "failed attempts never park", Edits: []Edit{
		{stepFile, "if c.Step(name).Attempts < e.Attempts {", "if c.Step(name).Attempts < e.Attempts+9 {"},
		{stepFile, "if s.Attempts > 0 && s.Attempts >= e.Attempts {", "if s.Attempts > 99 {"},
	}},
	one("ticket key differs at each attempt", replaceFile, "e.Tracker.File(ctx, c.Key(StepTicket), ", "e.Tracker.File(ctx, c.Key(StepTicket)+e.Now().String(), "),
	one("tracker forgets keys", trackerFile, "ON CONFLICT (key) DO UPDATE SET key = excluded.key RETURNING id`, key,", "RETURNING id`, fmt.Sprint(key, now),"),
	one("order key differs at each attempt", storageFile, "Key: c.Key(a.Step.Name), Verb", "Key: c.Key(a.Step.Name) + fmt.Sprint(\"/\", c.Step(a.Step.Name).Attempts), Verb"),
	one("wrong-disk alarm ignored", replaceFile, "if len(r.Wrong) > 0 {", "if len(r.Wrong) > 99 {"),
	{Name: "findings on the new disk ignored", Edits: []Edit{
		{decideFile, "out := slices.Clone(findings)", "out := findings[:0]"},
		{replaceFile, "if !in.GetAcceptable() && len(findings) == 0 {", "if !in.GetAcceptable() && len(findings) > 99 {"},
	}},
	one("verdict on the new disk ignored", decideFile, "	out := slices.Clone(findings)\n	if v := d.Verdict.At(now); v.State != glia.StateHealthy {", "	out := slices.Clone(findings)\n	if v := d.Verdict.At(now); v.State == glia.StateHealthy && len(out) > 99 {"),
	one("retired disks forgotten", replaceFile, "Retired: retired,", "Retired: retired[:0],"),
	one("size of the new disk ignored", replaceFile, "MinSize: c.Disk.Identity.Size,", ""),
	one("settling not waited for", decideFile, "if left := settle - now.Sub(c.RejoinedAt); left > 0 {", "if left := settle - now.Sub(c.RejoinedAt); left > settle {"),
	one("mount not checked when settling", decideFile, "if !slices.ContainsFunc(d.Disk.Mounts, func", "if len(d.Disk.Mounts) > 99 && !slices.ContainsFunc(d.Disk.Mounts, func"),
	one("cancel skips the undoing", undoFile, "if c.Started && (anyBegun", "if c.Started && c.Seq == 0 && (anyBegun"),
	one("phase derived wrongly", eventFile, "	case c.Replacement != nil:\n		return PhaseRejoining", "	case c.Replacement != nil:\n		return PhaseSettling"),
	one("store does not check the epoch", coreFile, "if newest != s.epoch {", "if newest < s.epoch {"),
	one("epoch does not grow", sqliteFile, "ELSE epoch + 1 END", "ELSE epoch + 0 END"),
	one("hand does not check the epoch", simulateHand, "if o.GetEpoch() < h.epoch {", "if o.GetEpoch() == 0 {"),
	one("hand forgets keys", simulateHand, "r.State == gliav1.OrderState_ORDER_STATE_DONE {", "r.State == gliav1.OrderState_ORDER_STATE_FAILED {"),

	// What was once found by playing seeds.
	// That unpark opens no ticket that was closed can not be seen any more: no case is parked once its closing has
	// begun, since a tracker that does not answer is asked again for as long as it takes.
	one("kill between the last failure and the parking forgotten", stepFile, "if s.Attempts > 0 && s.Attempts >= e.Attempts {", "if s.Attempts > 99 {"),
	one("clock set back forgotten over a restart", eventFile, "e.At.After(c.At) {", "!e.At.IsZero() {"),
	one("a new disk that is away is unfit", replaceFile, "return &AwayError{Reason: strings.TrimPrefix(reason, burnInUntold)}", "return &UnfitError{Reason: reason}"),
	one("a new disk that is away is waited for in vain", replaceFile, "Unfit: true, Away: true}", "Unfit: false, Away: true}"),

	// Persons.
	{Name: "one person counts twice", Edits: []Edit{
		{approvalFile, "return strings.EqualFold(strings.TrimSpace(a.Person), strings.TrimSpace(b.Person)) || a.Identity != \"\" && ", "return a.At.Equal(b.At) && "},
	}},
	one("one person counts twice under two names", approvalFile, "|| a.Identity != \"\" && a.Identity == b.Identity", ""),
	one("one person counts twice as two users", approvalFile, "return strings.EqualFold(strings.TrimSpace(a.Person), strings.TrimSpace(b.Person)) ||", "return"),
	one("one person is enough", approvalFile, "max(1, c.Plan.Approvals)", "1"),
	one("approvals of a plan that comes back count again", approvalFile, "		c.Approvals = nil\n", ""),
	one("withdrawn approvals count", approvalFile, "slices.DeleteFunc(slices.Clone(c.Approvals), a.samePerson)", "slices.Clone(c.Approvals)"),
	one("mode of a rule ignored", modeFile, "m, from = rules[j].Mode, \"rule \"+r.Rule", "from = \"rule \" + rules[j].Rule"),
	one("the least careful of several modes counts", modeFile, "m.careful() < mode.careful()", "m.careful() > mode.careful()"),

	// Time that passes between looking and acting.
	one("decisions on what has moved on are taken", casesFile, "e.After != 0 && e.After != c.Seq", "e.After > c.Seq"),
	{Name: "acts after the term is over", Edits: []Edit{
		{fenceFile, "	if err := f.store.Held(); err != nil {\n		return nil, fmt", "	if err := f.store.Held(); err != nil && o == nil {\n		return nil, fmt"},
		{driveFile, "if err := e.Store.Held(); err != nil {", "if err := e.Store.Held(); err != nil && ctx == nil {"},
	}},
	one("files tickets after the term is over", fenceFile, "	if err := f.store.Held(); err != nil {\n		return \"\", err", "	if err := f.store.Held(); err != nil && key == \"\" {\n		return \"\", err"),
	one("not probed right before the start", stepFile, "	ready, c, err := e.review(ctx, c, e.Hosts.Probe)\n	if err != nil || !ready {\n		return err\n	}\n	l, err", "	l, err"),
	one("gates not asked again at the start", stepFile, "	if refusals := Gates(c, l.facts); len(refusals) > 0 {\n		return e.hold(ctx, c, refusals)\n	}\n	if refusals := e.gatekeeper(ctx, c, \"\", l.cases); len(refusals) > 0 {\n		return e.hold(ctx, c, refusals)\n	}\n	why", "	why"),
	one("the ticket is told under another key at each attempt", outboxFile, "key := c.Key(fmt.Sprint(\"notice/\", n.Seq))", "key := c.Key(fmt.Sprint(\"notice/\", n.Seq, e.Now()))"),
	one("a new leader does not tell the hands its epoch", engineFile, "	if !l.view.At.IsZero() {\n		if err := e.fence", "	if l.view.At.IsZero() {\n		if err := e.fence"),
	one("a deposed repairer tells tickets", outboxFile, "	if err := e.Store.Current(ctx, c.ID, c.Seq); err != nil {\n		return err\n	}\n", ""),
	one("the ticket is not told", outboxFile, "return tell(ctx, key, c.Ticket, n.Text)", "if n.Reopen { return tell(ctx, key, c.Ticket, n.Text) }; return nil"),

	one("reminders come again and again", remindFile, "if !c.Step(r.Step).Done {", "if c.Seq > 0 {"),
	one("the light stays on", stepFile, "	if lit(c) {\n		return e.locate(ctx, c, StepLocateOff)\n	}\n", ""),
	one("whoever asks for the status moves the storms", serviceFile, "	l, err := e.gather(ctx)\n", "	l, err := e.snapshot(ctx)\n"),
	one("whoever asks for a plan moves the storms", serviceFile, "	l, err := s.engine.gather(ctx)\n", "	l, err := s.engine.snapshot(ctx)\n"),
	one("a pause that a wrong clock has ended stays ended", actsFile, "(ended_at = 0 OR ended_by = '')", "ended_at = 0"),

	// Gates of the fleet.
	one("storm gate removed", gateFile, "gatePause, gateStorm, gateWindow", "gatePause, gateWindow"),
	one("no cool-down after a storm", stormFile, "next[scope] = Storm{Phase: StormCoolDown, Why: was.Why, Since: now}", "continue"),
	{Name: "breaker not latched", Edits: []Edit{ // it closes by itself when its window has passed
		{breakerFile, "	if b.Tripped {\n		return b\n	}\n", ""},
		{breakerFile, "	return b\n}\n\n// Reset", "	return Breaker{ResetAt: b.ResetAt, ResetBy: b.ResetBy}\n}\n\n// Reset"},
	}},
	{Name: "breaker gate removed", Edits: []Edit{
		{gateFile, "{gateStop, gateBreaker, gatePause}", "{gateStop, gatePause}"},
		{gateFile, "	gateStop, gateBreaker, gatePause, gateStorm", "	gateStop, gatePause, gateStorm"},
	}},
	one("breaker ignored by what is under way", gateFile, "{gateStop, gateBreaker, gatePause}", "{gateStop, gatePause}"),
	one("breaker forgotten over a restart", factsFile, "if next.Tripped != f.Breaker.Tripped {", "if next.Tripped != f.Breaker.Tripped && ctx == nil {"),
	one("breaker does not count starts", breakerFile, "l.Starts > 0 && n > l.Starts", "l.Starts > 0 && n > l.Starts+9"),
	one("breaker does not count openings", breakerFile, "l.Openings > 0 && n > l.Openings", "l.Openings > 0 && n > l.Openings+99"),
	one("breaker does not count false alarms", breakerFile, "l.FalseAlarms > 0 && n >= l.FalseAlarms", "l.FalseAlarms > 0 && n > l.FalseAlarms+9"),
	one("cohort gate removed", gateFile, "gateCohort, gateFlap", "gateFlap"),
	one("flap gate removed", gateFile, "gateCohort, gateFlap", "gateCohort"),
	one("window gate removed", gateFile, "gateStorm, gateWindow, ", "gateStorm, "),
	{Name: "stop file ignored", Edits: []Edit{
		{gateFile, "{gateStop, gateBreaker, gatePause}", "{gateBreaker, gatePause}"},
		{gateFile, "	gateStop, gateBreaker, gatePause, gateStorm", "	gateBreaker, gatePause, gateStorm"},
	}},
	one("stop file that can not be looked for ignored", stopFile, "return \"whether it exists can not be told: \" + err.Error()", "return \"\""),
	one("cases are opened in spite of the stop file", engineFile, "r != nil || l.facts.Stop != \"\" {", "r != nil {"),
	{Name: "hook veto ignored", Edits: []Edit{
		{stepFile, "if r := gateHook(c, Facts{Hook: answer}); r != nil {", "if r := gateHook(c, Facts{Hook: answer}); r != nil && c.Seq == 0 {"},
		{gateFile, "gateMode, gateHook,", "gateMode,"},
	}},
	{Name: "storage not asked before a start", Edits: []Edit{
		{stepFile, "	if refusals := e.gatekeeper(ctx, c, \"\", l.cases); len(refusals) > 0 {\n		return e.hold(ctx, c, refusals)\n	}\n	answer", "	answer"},
		{stepFile, "	if refusals := e.gatekeeper(ctx, c, \"\", l.cases); len(refusals) > 0 {\n		return e.hold(ctx, c, refusals)\n	}\n	why", "	why"},
	}},
	one("storage not asked before what can not be taken back", driveFile, "	if !s.Reversible {", "	if !s.Reversible && c.Seq == 0 {"),
	one("clock of a host that is ahead not noticed", gateFile, "at.Sub(f.Now) > f.MaxViewAge {", "at.Sub(f.Now) > 9999*f.MaxViewAge {"),
	one("clock set back not noticed", gateFile, "behind > f.MaxViewAge {", "behind > 9999*f.MaxViewAge {"),

	// The audit.
	one("events do not hold the hash of the one before", chainFile, "stored.prev = h.hash", "stored.prev = genesis"),
	one("the hash leaves out the event before", chainFile, "append([]byte(e.prev), b...)", "append([]byte(\"\"), b...)"),
	one("events of one write are chained to the same one", chainFile, "return e, head{stored.Seq, stored.hash}, statement{", "return e, head{stored.Seq, h.hash}, statement{"),
	one("pauses are not in the log", actsFile, "		_, err := s.note(ctx, tx, h, repairer.Paused(p))\n		return err", "		return nil"),
	one("the end of a pause is not in the log", actsFile, "h, err = s.note(ctx, tx, h, repairer.Resumed(p, person, reason, now))", "_ = p"),

	// Budgets.
	one("host budget removed", budgetFile, "all := []Budget{f.hostBudget(c.Host(), c.ID)}", "all := []Budget{}"),
	one("domain budget removed", budgetFile, "		all = append(all, f.domainBudget(d, c.ID))\n", "		_ = d\n"),
	one("model budget removed", budgetFile, "all = append(all, f.modelBudget(modelOf(c.Disk), c.ID), f.fleet", "all = append(all, f.fleet"),
	one("fleet budget removed", budgetFile, ", f.fleetBudget(c.ID), f.unitsBudget", ", f.unitsBudget"),
	one("units budget removed", budgetFile, ", f.unitsBudget(c.ID))", ")"),
	one("failure rate ignored", budgetFile, "	if l.AFR <= 0 {", "	if l.AFR <= 99999 {"),
}
