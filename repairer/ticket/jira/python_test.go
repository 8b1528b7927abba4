package jira_test

import (
	"os/exec"
	"testing"

	"glia/repairer"
	"glia/repairer/ticket/jira/jiratest"
)

// A client that others wrote, for the real Jira, uses the emulator and what the tracker has made in it. That
// is how we know that the emulator is not just what the tracker thinks of Jira.
func TestEmulator_AnswersAnotherClient(t *testing.T) {
	t.Parallel()
	const python = "/usr/bin/python3" // Debian's, which has Debian's modules
	if err := exec.CommandContext(t.Context(), python, "-c", "import jira").Run(); err != nil {
		t.Skip("python3-jira is not installed; run internal/testbed/install.sh test")
	}
	s := jiratest.Start(t, jiratest.Options{})
	tr := open(t, options(s))
	id := file(t, tr, "k/c1/ticket")
	out, err := exec.CommandContext(t.Context(), python, "testdata/client.py", s.URL, id).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	tk, err := tr.Ticket(t.Context(), id)
	if err != nil || tk.Status != repairer.TicketResolved || tk.Resolution != repairer.ResolutionWontDo || len(tk.Comments) != 1 || tk.Comments[0].Text != "no spare disk" {
		t.Errorf("after the other client: %+v, %v", tk, err)
	}
	if got := s.Attached(id); len(got) != 1 || got[0] != "photo" {
		t.Errorf("attached %q", got)
	}
}
