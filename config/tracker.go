package config

import (
	"net/url"
	"os"
	"strings"

	"glia/config/secret"
)

// Tracker is the section [tracker]: where tickets are filed.
type Tracker struct {
	Kind     TrackerKind `toml:"kind"`
	Poll     Duration    `toml:"poll"`     // between two looks at what people have answered
	Requests float64     `toml:"requests"` // a second, at most

	File     Filing `toml:"file"`     // when
	Template string `toml:"template"` // file; empty: glia's own text
	Link     string `toml:"link"`     // to a case, with {case} for its id; empty: none

	ChangedSecret secret.Ref `toml:"changed_secret" old:"changed_secret_file"` // of those who post to /tracker/changed; empty: it is not served
}

// TrackerKind is a ticket system.
type TrackerKind string

// The ticket systems.
const (
	TrackerBuiltin TrackerKind = "builtin" // in the database of the repairer
	TrackerJira    TrackerKind = "jira"
	TrackerRedmine TrackerKind = "redmine"
	TrackerScript  TrackerKind = "script"  // a program of the site
	TrackerWebhook TrackerKind = "webhook" // a web address of the site
)

var trackers = []TrackerKind{TrackerBuiltin, TrackerJira, TrackerRedmine, TrackerScript, TrackerWebhook}

// UnmarshalText accepts the ticket systems above and nothing else.
func (k *TrackerKind) UnmarshalText(text []byte) error { return choose(k, text, trackers) }
func (*TrackerKind) want() string                      { return wantOneOf(trackers) }

// Filing is when tickets are filed.
type Filing string

// The moments.
const (
	FileReleased Filing = "released" // when the disk is out of use
	FileStarted  Filing = "started"  // when the case starts; the ticket says "do not pull yet" until then
)

var filings = []Filing{FileReleased, FileStarted}

// UnmarshalText accepts the moments above and nothing else.
func (f *Filing) UnmarshalText(text []byte) error { return choose(f, text, filings) }
func (*Filing) want() string                      { return wantOneOf(filings) }

// Jira is the section [jira].
type Jira struct {
	URL      string     `toml:"url"`                          // https://, or http:// on loopback
	User     string     `toml:"user"`                         // with Password; empty: Token is a personal token
	Password secret.Ref `toml:"password" old:"password_file"` // in Cloud an API token
	Token    secret.Ref `toml:"token" old:"token_file"`
	Proxy    string     `toml:"proxy"` // URL without credentials
	CA       string     `toml:"ca"`    // PEM; empty: the authorities of the system

	Project    string      `toml:"project"` // key
	Type       string      `toml:"type"`
	Priority   string      `toml:"priority"`
	Components []string    `toml:"components"`
	Labels     []string    `toml:"labels"`
	Assignee   string      `toml:"assignee"`
	Fields     []JiraField `toml:"field"`

	Reopen  []string `toml:"reopen"` // names of transitions
	Close   []string `toml:"close"`
	CloseAs string   `toml:"close_as"` // a resolution

	Done            []string `toml:"done"` // names of resolutions
	WontDo          []string `toml:"wont_do"`
	Duplicate       []string `toml:"duplicate"`
	CannotReproduce []string `toml:"cannot_reproduce"`

	IndexLag Duration `toml:"index_lag"` // how long search may not find a new issue
}

// JiraField is one [[jira.field]]: a field of the site's own.
type JiraField struct {
	Name   string   `toml:"name"`
	Values []string `toml:"values"`
}

// Script is the section [script].
type Script struct {
	Command []string `toml:"command"` // argv; the program by its absolute path
}

// Webhook is the section [webhook].
type Webhook struct {
	URL    string     `toml:"url"`                      // https://, or http:// on loopback
	Secret secret.Ref `toml:"secret" old:"secret_file"` // requests are signed with it
	Proxy  string     `toml:"proxy"`                    // URL without credentials
	CA     string     `toml:"ca"`                       // PEM; empty: the authorities of the system
}

func defaultTracker() Tracker {
	return Tracker{Kind: TrackerBuiltin, Poll: minutes(1), Requests: 5, File: FileReleased}
}

func defaultJira() Jira {
	return Jira{
		Type: "Task", CloseAs: "Done", IndexLag: seconds(30),
		Done: []string{"Done", "Fixed", "Resolved"}, WontDo: []string{"Won't Do", "Won't Fix", "Declined", "Rejected"},
		Duplicate: []string{"Duplicate"}, CannotReproduce: []string{"Cannot Reproduce", "Not a bug"},
	}
}

func (r *Repairer) validateTracker(c *check) {
	if r.Tracker.Poll < seconds(1) {
		c.bad([]string{"tracker.poll"}, "%s is not possible: want at least 1s", r.Tracker.Poll)
	}
	if !(r.Tracker.Requests > 0 && r.Tracker.Requests <= 1000) {
		c.bad([]string{"tracker.requests"}, "%v is not possible: want more than 0, and at most 1000", r.Tracker.Requests)
	}
	if r.Tracker.Template != "" {
		c.absolute("tracker.template", r.Tracker.Template)
	}
	if r.Tracker.Link != "" && !strings.Contains(r.Tracker.Link, "{case}") {
		c.bad([]string{"tracker.link"}, "has no {case} in it, so it would be the same for all cases")
	}
	if !r.Tracker.ChangedSecret.IsZero() && r.Tracker.Kind == TrackerBuiltin {
		c.bad([]string{"tracker.changed_secret"}, "is of no use with the built-in tracker")
	}
	switch r.Tracker.Kind {
	case TrackerJira:
		r.Jira.validate(c)
	case TrackerRedmine:
		r.Redmine.validate(c)
	case TrackerScript:
		r.Script.validate(c)
	case TrackerWebhook:
		r.Webhook.validate(c)
	}
}

func (s Script) validate(c *check) {
	if len(s.Command) == 0 {
		c.bad([]string{"script.command"}, "is missing: name the program that knows your ticket system")
		return
	}
	c.command("script.command", s.Command)
	c.absolute("script.command", s.Command[0])
}

func (w Webhook) validate(c *check) {
	c.remote("webhook.url", w.URL, "https://tickets.example.org/glia")
	c.proxy("webhook.proxy", w.Proxy)
	if w.Secret.IsZero() {
		c.bad([]string{"webhook.secret"}, "is missing: say where the secret is that requests are signed with")
	}
	if w.CA != "" {
		c.absolute("webhook.ca", w.CA)
	}
}

// proxy checks the address of a proxy, which must not hold a secret: it would get into logs.
func (c *check) proxy(key, address string) {
	if address == "" {
		return
	}
	if u, err := url.Parse(address); err != nil || u.Host == "" || u.User != nil {
		c.bad([]string{key}, "is no URL without credentials, such as http://proxy:3128")
	}
}

func (j Jira) validate(c *check) {
	c.remote("jira.url", j.URL, "https://jira.example.org")
	c.proxy("jira.proxy", j.Proxy)
	switch {
	case j.User == "" && !j.Password.IsZero():
		c.bad([]string{"jira.password"}, "is of no use without jira.user")
	case j.User == "" && j.Token.IsZero():
		c.bad([]string{"jira.token"}, "is missing: say where a personal token is, or set jira.user and jira.password")
	case j.User != "" && !j.Token.IsZero():
		c.bad([]string{"jira.token", "jira.user"}, "a personal token needs no user: set either jira.token, or jira.user and jira.password")
	case j.User != "" && j.Password.IsZero():
		c.bad([]string{"jira.user"}, "has no password: say in jira.password where it is")
	}
	if j.CA != "" {
		c.absolute("jira.ca", j.CA)
	}
	c.word("jira.project", j.Project, "the key of a project")
	if j.Type == "" {
		c.bad([]string{"jira.type"}, "is missing: name a type of issue")
	}
	for i, l := range j.Labels {
		c.word(element("jira.labels", i), l, "a label")
	}
	for i, f := range j.Fields {
		at := element("jira.field", i)
		if f.Name == "" {
			c.bad([]string{at + ".name"}, "is missing: name a field")
		}
		if len(f.Values) == 0 {
			c.bad([]string{at + ".values"}, "is empty: give the field a value")
		}
	}
	c.meanings(j.resolutions())
	if j.IndexLag < 0 || j.IndexLag > minutes(10) {
		c.bad([]string{"jira.index_lag"}, "%s is not possible: want 0 to 10m", j.IndexLag)
	}
}

type resolutionNames struct {
	key   string
	names []string
}

func (j Jira) resolutions() []resolutionNames {
	return []resolutionNames{{"jira.done", j.Done}, {"jira.wont_do", j.WontDo}, {"jira.duplicate", j.Duplicate}, {"jira.cannot_reproduce", j.CannotReproduce}}
}

// meanings checks that no name means two things.
func (c *check) meanings(lists []resolutionNames) {
	seen := map[string]string{}
	for _, list := range lists {
		for _, name := range list.names {
			if was := seen[strings.ToLower(name)]; was != "" {
				c.bad([]string{list.key}, "%q is in %s as well", name, was)
			}
			seen[strings.ToLower(name)] = list.key
		}
	}
}

// remote checks the address of a server that is told a secret.
func (c *check) remote(key, address, example string) {
	u, err := url.Parse(address)
	switch {
	case address == "":
		c.bad([]string{key}, "is missing: write an address such as %s", example)
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		c.bad([]string{key}, "is no address without credentials, such as %s", example) // it is not shown, because it may have some
	case u.Scheme == "http" && !loopback(u.Hostname()):
		c.bad([]string{key}, "%s would be told our secret without TLS: use https", u.Host)
	}
}

// goodTemplate makes the check of the template by the one who knows what is in tickets.
func (r *Repairer) goodTemplate(judge func(text string) error) func(*check) {
	return func(c *check) {
		data, ok := c.read("tracker.template", r.Tracker.Template, false)
		if !ok {
			return
		}
		if err := judge(string(data)); err != nil {
			c.bad([]string{"tracker.template"}, "%s: %s", r.Tracker.Template, err)
		}
	}
}

func (r *Repairer) checkTrackerFiles(c *check) {
	checkSecret(c, "tracker.changed_secret", r.Tracker.ChangedSecret)
	switch r.Tracker.Kind {
	case TrackerJira:
		checkSecret(c, "jira.password", r.Jira.Password)
		checkSecret(c, "jira.token", r.Jira.Token)
		checkPEM(c, "jira", r.Jira.CA, "", secret.Ref{})
	case TrackerRedmine:
		checkSecret(c, "redmine.key", r.Redmine.Key)
		checkPEM(c, "redmine", r.Redmine.CA, "", secret.Ref{})
	case TrackerScript:
		if info, err := os.Stat(r.Script.Command[0]); err != nil || info.IsDir() || info.Mode()&0o111 == 0 {
			c.bad([]string{"script.command"}, "%s is no program on this host", r.Script.Command[0])
		}
	case TrackerWebhook:
		checkSecret(c, "webhook.secret", r.Webhook.Secret)
		checkPEM(c, "webhook", r.Webhook.CA, "", secret.Ref{})
	}
}
