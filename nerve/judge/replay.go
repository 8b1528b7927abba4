package judge

import (
	"time"

	"glia"
)

// Round is what was observed of a disk at one time.
type Round struct {
	At       time.Time
	Evidence []glia.Evidence
}

// replayExpiry is the expiry in a replay, in which rounds are up to an hour apart where nothing changes.
const replayExpiry = 3 * time.Hour

// Replay judges a disk's past by a rule set and returns the verdict of each round.
func Replay(rs RuleSet, rounds []Round) []glia.Verdict {
	rs = rs.Sealed()
	var s DiskState
	out := make([]glia.Verdict, len(rounds))
	for i, r := range rounds {
		s, out[i] = Step(rs, s, r.Evidence, r.At, replayExpiry)
	}
	return out
}
