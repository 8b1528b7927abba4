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
	replaceFile  = "repairer/replace.go"
	undoFile     = "repairer/undo.go"
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
	one("act before log", stepFile, "	if !s.Begun {", "	if !s.Begun && c.Seq == 0 {"),
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
	one("cancel skips the undoing", undoFile, "if c.Started && (anyBegun", "if !c.Started && (anyBegun"),
	one("phase derived wrongly", eventFile, "	case c.Replacement != nil:\n		return PhaseRejoining", "	case c.Replacement != nil:\n		return PhaseSettling"),
	one("store does not check the epoch", coreFile, "if newest != s.epoch {", "if newest < s.epoch {"),
	one("epoch does not grow", sqliteFile, "ELSE epoch + 1 END", "ELSE epoch + 0 END"),
	one("hand does not check the epoch", simulateHand, "if o.GetEpoch() < h.epoch {", "if o.GetEpoch() == 0 {"),
	one("hand forgets keys", simulateHand, "r.State == gliav1.OrderState_ORDER_STATE_DONE {", "r.State == gliav1.OrderState_ORDER_STATE_FAILED {"),
}
