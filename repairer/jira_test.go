package repairer_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"glia/config/secret"
	"glia/internal/sim"
	"glia/repairer"
	"glia/repairer/ticket/jira"
	"glia/repairer/ticket/jira/jiratest"
)

// inJira lets the world's repairer file its tickets in a Jira.
func inJira(t *testing.T, s *jiratest.Server) func(*repairer.Options) {
	return func(o *repairer.Options) {
		tr, err := jira.New(jira.Options{
			URL: s.URL, Secret: secret.Of("secret"), Project: jiratest.Project, Type: "Task", CloseAs: "Done", Now: o.Now,
			Resolutions: map[string]string{"done": repairer.ResolutionDone, "won't do": repairer.ResolutionWontDo, "duplicate": repairer.ResolutionDuplicate, "cannot reproduce": repairer.ResolutionCannotReproduce},
		})
		if err != nil {
			t.Fatal(err)
		}
		o.Tracker = tr
	}
}

// wholeInJira plays a whole repair with tickets in a Jira, and says what the Jira then holds.
func wholeInJira(t *testing.T, s *jiratest.Server) string {
	t.Helper()
	id, text := whole(t, inJira(t, s), func(id string) { s.Resolve(id, "Done") }, func() { s.Cut(nil) })
	return fmt.Sprintf("%d issue, %s: %s", s.Count(), s.Status(id), text)
}

// whole plays a repair in which the ticket is resolved too early once, and says what its ticket is at its end, when
// calm has let the tracker work as it should.
func whole(t *testing.T, in func(*repairer.Options), resolve func(id string), calm func()) (id, text string) {
	t.Helper()
	w := newWorld(t, in)
	w.fail("node-1", "2")
	c := w.phase("N1S2", repairer.PhaseAwaitingReplacement)
	resolve(c.Ticket) // and nothing was done
	w.until("N1S2", "reopened", func(c repairer.Case) bool { return c.Rejected != nil && len(c.Untold) == 0 })
	w.swap("node-1", "2", &sim.Disk{Serial: "USED", Size: 1000, Content: "ntfs"})
	w.until("N1S2", "rejected", func(c repairer.Case) bool {
		return c.Rejected != nil && c.Rejected.Serial == "USED" && len(c.Untold) == 0
	})
	w.open() // over a restart
	w.swap("node-1", "2", blank("NEW1"))
	c = w.phase("N1S2", repairer.PhaseClosed)
	calm()
	tk, err := w.engine.Tracker.Ticket(t.Context(), c.Ticket)
	if err != nil {
		t.Fatal(err)
	}
	text = tk.Title + "\n"
	for _, k := range tk.Comments {
		text += k.Text + "\n"
	}
	return c.Ticket, text
}

const whatJiraHolds = `1 issue, Done: ` + whatIsTold

const whatIsTold = `Replace disk N1S2 in slot 2 of node-1
not taken: N1S2: the old disk N1S2 is in slot 2
not taken: USED: it carries ntfs; the new disk is unknown
NEW1 is in place of N1S2, healthy and in use. Thank you.
`

// Each request of a repair is cut once, before or after Jira has done what it wants: there is one issue, with
// the right comments, in the right state.
func TestEngine_FilesOnceInJiraWhicheverRequestIsCut(t *testing.T) {
	t.Parallel()
	s := jiratest.Start(t, jiratest.Options{})
	if got := wholeInJira(t, s); got != whatJiraHolds {
		t.Fatalf("without a cut:\n%s", got)
	}
	var changes []int // requests that change something; all with KILL_ALL=1
	for i, call := range s.Calls() {
		if !strings.HasPrefix(call, "GET ") || os.Getenv("KILL_ALL") != "" {
			changes = append(changes, i+1)
		}
	}
	if len(changes) < 6 {
		t.Fatalf("calls %q", s.Calls())
	}
	for _, n := range changes {
		for _, cut := range []jiratest.Cut{jiratest.CutBefore, jiratest.CutAfter} {
			t.Run(fmt.Sprintf("%d/%d", n, cut), func(t *testing.T) {
				t.Parallel()
				s := jiratest.Start(t, jiratest.Options{})
				s.Cut(func(i int) jiratest.Cut {
					if i == n {
						return cut
					}
					return jiratest.CutNot
				})
				if got := wholeInJira(t, s); got != whatJiraHolds {
					t.Errorf("Jira holds\n%s", got)
				}
			})
		}
	}
}

// Jira is away for an hour at a time.
func TestEngine_GoesOnWhenJiraIsBack(t *testing.T) {
	t.Parallel()
	s := jiratest.Start(t, jiratest.Options{})
	w := newWorld(t, inJira(t, s))
	s.Cut(func(int) jiratest.Cut { return jiratest.CutBefore })
	w.fail("node-1", "2")
	w.phase("N1S2", repairer.PhaseReleased)
	w.ticks(20)
	s.Cut(nil)
	w.now = w.now.Add(time.Hour)
	if w.phase("N1S2", repairer.PhaseAwaitingReplacement); s.Count() != 1 {
		t.Errorf("%d issues", s.Count())
	}
}
