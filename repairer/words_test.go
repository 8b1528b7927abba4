package repairer_test

import (
	"strings"
	"testing"

	"glia/repairer"
)

func TestWords_OwnTicket(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *repairer.Options) { o.Domains = []repairer.Domain{{Name: "rack-7", Hosts: []string{"node-*"}}} })
	w.fail("node-1", "2")
	c := w.phase("N1S2", repairer.PhaseAwaitingReplacement)
	const want = `SAFE TO PULL: the disk is out of use.

Serial:    N1S2   <- compare with the label on the disk. If it differs, do not pull.
Host:      node-1
Where:     rack-7
Place:     slot 2
Model:     SIM
Size:      1 kB
Class:     ssd
Was used:  /data/2 (xfs)

Why it is replaced:
- failed: it fails
- failed: it fails

Put in: an empty disk of at least 1 kB, class ssd, in the same place. glia never writes to a disk that carries any data.
Then resolve this ticket: glia ticket resolve ID. glia checks the new disk and closes the ticket itself.

Case: c1
`
	if got := w.ticket(c); got.Body != want || got.Title != "Replace disk N1S2 in slot 2 of node-1" {
		t.Errorf("%s\n%s", got.Title, got.Body)
	}
}

func TestParseWords_Errors(t *testing.T) {
	t.Parallel()
	const title, body = `{{define "title"}}{{.Serial}}{{end}}`, `{{define "body"}}{{.Do}}{{end}}`
	for text, want := range map[string]string{
		title:                          `it does not define "body"`,
		body:                           `it does not define "title"`,
		title + `{{define "body"}}{{.`: "template: ticket:1",
		title + `{{define "body"}}{{.Sn}}{{end}}`:                  "can't evaluate field Sn",
		title + `{{define "body"}}pull it{{end}}`:                  "the body has no {{.Do}}",
		body + `{{define "title"}}{{.Host}}{{end}}`:                "the title has no {{.Serial}}",
		title + `{{define "body"}}{{.Do}}{{index .OSDs 0}}{{end}}`: "a sample ticket (wait)", // not every disk has one
	} {
		if _, err := repairer.ParseWords(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
	if _, err := repairer.ParseWords(title + body); err != nil {
		t.Error(err)
	}
}
