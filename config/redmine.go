package config

import (
	"strings"

	"glia/config/secret"
)

// Redmine is the section [redmine].
type Redmine struct {
	URL   string     `toml:"url"`                // https://, or http:// on loopback
	Key   secret.Ref `toml:"key" old:"key_file"` // of the API
	Proxy string     `toml:"proxy"`              // URL without credentials
	CA    string     `toml:"ca"`                 // PEM; empty: the authorities of the system

	Project  string `toml:"project"` // identifier
	Type     string `toml:"type"`    // which Redmine calls a tracker
	Priority string `toml:"priority"`
	Assignee string `toml:"assignee"` // a member of the project

	Reopen string `toml:"reopen"` // names of statuses
	Close  string `toml:"close"`

	Done            []string `toml:"done"` // names of statuses
	WontDo          []string `toml:"wont_do"`
	Duplicate       []string `toml:"duplicate"`
	CannotReproduce []string `toml:"cannot_reproduce"`

	Settle Duration `toml:"settle"` // how long Redmine may work on a request whose answer was lost
}

func defaultRedmine() Redmine {
	return Redmine{
		Type: "Support", Close: "Closed", Settle: seconds(30),
		Done: []string{"Resolved", "Closed"}, WontDo: []string{"Rejected"},
		Duplicate: []string{"Duplicate"}, CannotReproduce: []string{"Not reproducible"},
	}
}

func (m Redmine) validate(c *check) {
	c.remote("redmine.url", m.URL, "https://redmine.example.org")
	c.proxy("redmine.proxy", m.Proxy)
	if m.Key.IsZero() {
		c.bad([]string{"redmine.key"}, "is missing: say where the API key of glia's user is")
	}
	if m.CA != "" {
		c.absolute("redmine.ca", m.CA)
	}
	c.word("redmine.project", m.Project, "the identifier of a project")
	for key, value := range map[string]string{"redmine.type": m.Type, "redmine.close": m.Close} {
		if strings.TrimSpace(value) == "" {
			c.bad([]string{key}, "is missing: name what Redmine has")
		}
	}
	c.meanings(m.resolutions())
	if m.Settle < 0 || m.Settle > minutes(10) {
		c.bad([]string{"redmine.settle"}, "%s is not possible: want 0 to 10m", m.Settle)
	}
}

func (m Redmine) resolutions() []resolutionNames {
	return []resolutionNames{{"redmine.done", m.Done}, {"redmine.wont_do", m.WontDo}, {"redmine.duplicate", m.Duplicate}, {"redmine.cannot_reproduce", m.CannotReproduce}}
}
