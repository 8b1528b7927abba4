package serf

import (
	"fmt"
	"strings"

	hserf "github.com/hashicorp/serf/serf"

	"glia"
)

// HealthQuery is the query that every agent which announces a host answers with its bad disks:
//
//	serf query glia-health
const HealthQuery = "glia-health"

// maxHealth is how long an answer may be: Serf allows 1024 bytes with its own header and the name of the member.
const maxHealth = 768

// answerHealth answers the query. An agent that announces nothing stays silent. A query that is not answered, as on a
// network that loses packets, is asked again by whoever wants to know.
func (a *Agent) answerHealth(q *hserf.Query) {
	ann := a.announced.Load()
	if q.Name != HealthQuery || ann == nil {
		return
	}
	if err := q.Respond([]byte(health(*ann))); err != nil {
		a.log.Debug("health query was not answered", "error", err)
	}
}

// health is one line for people: the state, and the bad disks as far as there is room.
func health(a glia.Announcement) string {
	line := fmt.Sprintf("disks=%s disk_count=%d gen=%d", a.Worst, a.DiskCount, a.Generation)
	more := a.More
	var list strings.Builder
	for i, b := range a.Bad {
		entry := fmt.Sprintf(" %s:%s", b.Device, b.State)
		if len(line)+list.Len()+len(entry) > maxHealth {
			more += len(a.Bad) - i
			break
		}
		list.WriteString(entry)
	}
	if more > 0 {
		fmt.Fprintf(&list, " +%d", more)
	}
	return line + list.String()
}
