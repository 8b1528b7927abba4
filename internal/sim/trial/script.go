package trial

import (
	"fmt"
	"math/rand/v2"
)

// Op is the kind of an event.
type Op string

// The events. Those that need something to act on, such as a case that waits for a person, do nothing
// when there is none.
const (
	OpFail      Op = "disk fails"
	OpFailHalf  Op = "disk fails with one witness"
	OpHeal      Op = "disk heals"
	OpVague     Op = "disk becomes unknown"
	OpFlap      Op = "disk flaps"
	OpProtect   Op = "disk becomes protected"
	OpRemount   Op = "disk is mounted elsewhere"
	OpPower     Op = "host loses or regains power"
	OpRack      Op = "rack loses or regains power"
	OpBlind     Op = "controller hides or shows all disks"
	OpSilent    Op = "probing stops or goes on"
	OpCut       Op = "network to a host is cut or mended"
	OpSplit     Op = "network to all is cut or mended"
	OpKill      Op = "repairer is killed"
	OpDepose    Op = "repairer is paused and another takes over"
	OpRevenant  Op = "deposed repairer comes back"
	OpMeddle    Op = "operator withdraws approvals at the moment of a start"
	OpStoreErr  Op = "database refuses a write"
	OpOrderErr  Op = "orders time out"
	OpTicketErr Op = "tracker times out"
	OpPause     Op = "operator pauses"
	OpResume    Op = "operator resumes"
	OpCancel    Op = "operator cancels"
	OpApprove   Op = "operator approves"
	OpStale     Op = "operator approves an old plan"
	OpWithdraw  Op = "operator withdraws approvals"
	OpShift     Op = "operator approves and the disk is mounted elsewhere"
	OpUnpark    Op = "operator unparks"
	OpSwap      Op = "technician swaps the disk"
	OpWrong     Op = "technician pulls a wrong disk and swaps the right one"
	OpPull      Op = "technician pulls a disk"
	OpPutBack   Op = "technician puts disks back"
	OpOld       Op = "technician reinserts the old disk"
	OpSmall     Op = "technician inserts a small disk"
	OpUsed      Op = "technician inserts a used disk"
	OpBad       Op = "technician inserts a failing disk"
	OpRetired   Op = "technician inserts a wiped disk of an earlier case"
	OpClaim     Op = "technician says done"
	OpWont      Op = "technician will not do it"
	OpBatch     Op = "disks of one firmware fail"
	OpRelease   Op = "a release of the prober condemns disks"
	OpStorm     Op = "disks fail all over the fleet"
	OpStop      Op = "somebody makes the stop file"
	OpGo        Op = "somebody removes the stop file"
	OpVeto      Op = "the site's hook changes its mind"
	OpSick      Op = "storage falls ill or recovers"
	OpReset     Op = "operator resets the breaker"
	OpOutcome   Op = "workshop tells what it found"
	OpForgive   Op = "operator forgives a disk that was taken out"
	OpClock     Op = "clock of the repairers is set wrong or right"
	OpNoWrites  Op = "technician inserts a disk that takes no writes"
	OpDies      Op = "hand dies in its next burn-in"
	OpSlow      Op = "hand becomes slow or fast"
	OpUnplug    Op = "the new disk comes loose or is unmounted"
	OpFlicker   Op = "disk fails, seems well and fails again"
	OpAgain     Op = "disk fails where the last repair has ended"
	OpAhead     Op = "clock of the repairers runs ahead and is set right"
	OpHostClock Op = "clock of a host is set a day ahead or right, and a disk of it fails"
	OpNeedless  Op = "operator resets the breaker, and the workshop tells of a false alarm"
	OpReturn    Op = "operator approves, and the disk is mounted elsewhere and back"
	OpLate      Op = "repairer is paused right before it files a ticket and another takes over"
	OpFar       Op = "repairer is paused in the midst of an order or a ticket and another takes over"
	OpRead      Op = "operator asks for status, plans and reasons"
	OpWait      Op = "nobody does anything for long"
	OpTick      Op = "time goes on"
)

// weights says how often each event comes. Repairs must get far enough for the faults to hit them, so
// what carries them on is frequent.
var weights = []struct {
	op Op
	n  int
}{
	{OpFail, 10}, {OpFailHalf, 4}, {OpHeal, 2}, {OpVague, 3}, {OpFlap, 2}, {OpProtect, 2}, {OpRemount, 2},
	{OpPower, 3}, {OpRack, 2}, {OpBlind, 4}, {OpSilent, 3}, {OpCut, 3}, {OpSplit, 2},
	{OpKill, 8}, {OpDepose, 5}, {OpRevenant, 4}, {OpMeddle, 3}, {OpStoreErr, 2}, {OpOrderErr, 4}, {OpTicketErr, 6},
	{OpPause, 4}, {OpResume, 4}, {OpCancel, 4}, {OpApprove, 8}, {OpStale, 2}, {OpWithdraw, 2}, {OpShift, 3}, {OpUnpark, 4},
	{OpSwap, 10}, {OpWrong, 5}, {OpPull, 2}, {OpPutBack, 4}, {OpOld, 3}, {OpSmall, 3}, {OpUsed, 3}, {OpBad, 3}, {OpRetired, 4},
	{OpClaim, 3}, {OpWont, 1}, {OpWait, 3}, {OpTick, 8},
	{OpBatch, 3}, {OpRelease, 2}, {OpStorm, 3}, {OpStop, 3}, {OpGo, 3}, {OpVeto, 4}, {OpSick, 3}, {OpReset, 2}, {OpOutcome, 3}, {OpForgive, 2}, {OpClock, 4},
	{OpNoWrites, 3}, {OpDies, 3}, {OpSlow, 3}, {OpUnplug, 6},
}

// Event is one thing that happens, and how many ticks pass after it. What N means depends on the kind.
type Event struct {
	Op    Op
	Host  int // from 0
	Slot  int // from 1
	N     int
	After bool // of faults: the call has its effect, and its answer is lost
	Ticks int
}

func (e Event) String() string {
	s := fmt.Sprintf("%s (node-%d slot %d, n=%d", e.Op, e.Host+1, e.Slot, e.N)
	if e.After {
		s += ", after"
	}
	return s + fmt.Sprintf("), then %d ticks", e.Ticks)
}

// Script is the events of a seed. The same seed always gives the same script.
func Script(seed uint64) []Event {
	r := rand.New(rand.NewPCG(seed, 0x676c6961))
	total := 0
	for _, w := range weights {
		total += w.n
	}
	out := make([]Event, 8+r.IntN(28))
	for i := range out {
		e := Event{Host: r.IntN(hosts), Slot: 1 + r.IntN(slots), N: r.IntN(1000), After: r.IntN(2) == 0, Ticks: 1 + r.IntN(4)}
		pick := r.IntN(total)
		for _, w := range weights {
			if pick -= w.n; pick < 0 {
				e.Op = w.op
				break
			}
		}
		if i < 2 {
			e.Op = OpFail // an empty fleet of trouble proves nothing
		}
		e.Op = e.special()
		out[i] = e
	}
	return out
}

// special is the rarer kind that some events of a frequent kind are of. To add one here leaves the scripts of all
// seeds without it as they were; to change the weights changes every script.
func (e Event) special() Op {
	switch {
	case e.Op == OpFail && e.N%6 == 0:
		return OpFlicker
	case e.Op == OpFail && e.N%6 == 1:
		return OpAgain
	case e.Op == OpClock && e.N%5 == 0 && e.After:
		return OpAhead
	case e.Op == OpClock && e.N%5 == 1 && e.After:
		return OpHostClock
	case e.Op == OpOutcome && e.After:
		return OpNeedless
	case e.Op == OpShift && e.After:
		return OpReturn
	case e.Op == OpDepose && e.N/48%3 == 0:
		return OpLate
	case e.Op == OpDepose && e.N/48%3 == 1:
		return OpFar
	case e.Op == OpTick && e.N%2 == 0:
		return OpRead
	}
	return e.Op
}
