package repairer

import (
	_ "embed"
	"errors"
	"fmt"
	"strings"
	"text/template"
	"time"

	"glia"
)

// TicketFacts is what the templates of a ticket may name.
type TicketFacts struct {
	Do, Why  string // SAFE TO PULL, DO NOT PULL YET and the like, and the reason
	Stance   Stance
	Serial   string
	Host     string
	Domains  []string // racks and what else the configuration calls a failure domain
	Place    string   // slot and enclosure
	Model    string
	Firmware string
	Size     string
	Class    string // hdd, ssd, nvme or unknown
	WWN      string
	Uses     []string // mounts and OSDs
	OSDs     []int    // ids
	Light    string   // what became of the locate light
	Plan     string   // hash and who has approved it, or empty
	Evidence []string
	PutIn    string // what kind of disk
	Case     string
	Link     string // to the case, or empty
	Builtin  bool   // the ticket is in glia's own tracker
}

// Words makes the text of tickets. It is safe for concurrent use.
type Words struct{ t *template.Template }

//go:embed ticket.tmpl
var ownWords string

// DefaultWords are glia's own.
func DefaultWords() *Words {
	w, err := ParseWords(ownWords)
	if err != nil {
		panic("glia's own template: " + err.Error()) // a test parses it
	}
	return w
}

// ParseWords reads a template that defines "title" and "body", and makes a sample ticket for each stance with it. An
// error says which one it can not make.
func ParseWords(text string) (*Words, error) {
	t, err := template.New("ticket").Option("missingkey=error").Funcs(template.FuncMap{"join": strings.Join, "upper": strings.ToUpper, "lower": strings.ToLower}).Parse(text)
	if err != nil {
		return nil, err
	}
	w := &Words{t}
	for _, name := range []string{"title", "body"} {
		if t.Lookup(name) == nil {
			return nil, fmt.Errorf("it does not define %q", name)
		}
	}
	for _, c := range samples() {
		s := StanceOf(c)
		f := factsOf(c, s)
		title, body, err := w.write(f)
		switch {
		case err != nil:
			return nil, fmt.Errorf("a sample ticket (%s): %w", s, err)
		case !strings.Contains(title, c.Serial()):
			return nil, errors.New(`the title has no {{.Serial}}: people compare it with the label before they pull a disk`)
		case !strings.Contains(body, f.Do):
			return nil, errors.New(`the body has no {{.Do}}: people must see whether the disk may be pulled`)
		}
	}
	return w, nil
}

func (w *Words) write(f TicketFacts) (title, body string, err error) {
	var b strings.Builder
	if err := w.t.ExecuteTemplate(&b, "title", f); err != nil {
		return "", "", err
	}
	title = strings.Join(strings.Fields(b.String()), " ")
	b.Reset()
	if err := w.t.ExecuteTemplate(&b, "body", f); err != nil {
		return "", "", err
	}
	return title, b.String(), nil
}

// ticketText is the ticket of a case. When the site's template can not make it, which its samples have not shown, glia's
// own does.
func (e *Engine) ticketText(c Case, s Stance) Ticket {
	f := factsOf(c, s)
	f.Builtin = e.Answers == nil
	f.Domains = e.lookup(c.Host())
	if e.Link != "" {
		f.Link = strings.ReplaceAll(e.Link, "{case}", c.ID)
	}
	title, body, err := e.Words.write(f)
	if err != nil {
		e.Log.Error("ticket can not be written with the site's template, glia's own is used", "case", c.ID, "error", err)
		title, body, _ = DefaultWords().write(f) // its samples have passed
	}
	return Ticket{Case: c.ID, Title: title, Body: body}
}

func factsOf(c Case, s Stance) TicketFacts {
	id := c.Disk.Identity
	f := TicketFacts{
		Stance: s, Serial: id.Serial, Host: c.Host(), Place: c.Disk.Location.Place(), Model: orUnknown(id.Model), Firmware: orUnknown(id.Firmware),
		Size: FormatSize(id.Size), Class: orUnknown(string(id.Class)), WWN: id.WWN, Light: c.Light, Case: c.ID,
		PutIn: "an empty disk of at least " + FormatSize(id.Size),
	}
	f.Do, f.Why = stanceWords(c, s)
	if id.Class != glia.ClassUnknown {
		f.PutIn += ", class " + string(id.Class)
	}
	for _, m := range c.Disk.Mounts {
		f.Uses = append(f.Uses, fmt.Sprintf("%s (%s)", m.Target, m.FSType))
	}
	for _, o := range c.Disk.OSDs {
		f.Uses, f.OSDs = append(f.Uses, fmt.Sprintf("osd.%d (%s)", o.ID, o.Role)), append(f.OSDs, o.ID)
	}
	if words := approvalWords(c); words != "" {
		f.Plan = c.Plan.Hash() + ", " + words
	}
	for _, r := range c.Verdict.Reasons {
		line := fmt.Sprintf("%s: %s", r.State, r.Words)
		if r.Evidence.Detail != "" {
			line += " (" + r.Evidence.Detail + ")"
		}
		f.Evidence = append(f.Evidence, line)
	}
	return f
}

// samples are cases of all stances, for templates to be tried on: with everything, and with as little as possible.
func samples() []Case {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	full := Case{
		ID: "c17", Light: "on", Plan: &Plan{Mode: ModePropose},
		Disk: glia.Disk{
			Identity: glia.Identity{Serial: "ZA1234567", WWN: "5000c500a1b2c3d4", Model: "ST16000NM001G", Firmware: "SN03", Size: 16e12, Class: glia.ClassHDD},
			Location: glia.Location{Host: "storage-17", Enclosure: "enc0", Slot: "4"},
			Mounts:   []glia.Mount{{Target: "/data/4", FSType: "xfs"}}, OSDs: []glia.OSD{{ID: 7, Role: "block"}},
		},
		Verdict: glia.Verdict{State: glia.StateFailed, Reasons: []glia.Reason{{Rule: "read-errors", State: glia.StateFailed, Words: "parts of the disk can not be read; replace it"}}},
	}
	spare := &glia.Disk{Identity: glia.Identity{Serial: "ZB7654321"}}
	var out []Case
	for _, c := range []Case{full, {ID: "c1", Disk: glia.Disk{Identity: glia.Identity{Serial: "S1"}}}} {
		out = append(out, c)
		c.Present = []string{c.Serial()}
		out = append(out, c)
		alarmed, cancelled := c, c
		alarmed.Alarm, cancelled.Cancel = "WRONG DISK: ZC1 disappeared", "ann: no spare"
		out = append(out, alarmed, cancelled)
		c.Replacement = spare
		out = append(out, c)
		c.RejoinedAt = at
		out = append(out, c)
	}
	return out
}
