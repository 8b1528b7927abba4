package config

import (
	"slices"
	"strings"
	"time"

	"glia/config/secret"
)

// Notify is one [[notify]]: people who are told what happens.
type Notify struct {
	Name string     `toml:"name"` // unique; how far it has come is kept under it
	Kind NotifyKind `toml:"kind"`

	Token   secret.Ref `toml:"token"`   // slack: of the bot
	Channel string     `toml:"channel"` // slack
	API     string     `toml:"api"`     // slack: address, with a slash at its end
	Webhook secret.Ref `toml:"webhook"` // slack-webhook: address
	Address secret.Ref `toml:"address"` // shoutrrr
	Proxy   string     `toml:"proxy"`   // slack and slack-webhook
	CA      string     `toml:"ca"`

	Events   []string `toml:"events"`   // of NotifyEvents; empty: all
	Severity string   `toml:"severity"` // the least

	Group   Duration `toml:"group"`    // 0 to 1h
	PerHour int      `toml:"per_hour"` // 0: any number
	Quiet   string   `toml:"quiet"`    // 22:00-07:00; empty: never
	Digest  string   `toml:"digest"`   // 08:00; empty: no digest
	Zone    string   `toml:"zone"`     // of quiet and digest, as in /usr/share/zoneinfo
}

// NotifyKind is a way to tell people.
type NotifyKind string

// The ways.
const (
	NotifySlack        NotifyKind = "slack"
	NotifySlackWebhook NotifyKind = "slack-webhook"
	NotifyShoutrrr     NotifyKind = "shoutrrr"
)

var notifyKinds = []NotifyKind{NotifySlack, NotifySlackWebhook, NotifyShoutrrr}

// UnmarshalText accepts the ways above and nothing else.
func (k *NotifyKind) UnmarshalText(text []byte) error { return choose(k, text, notifyKinds) }
func (*NotifyKind) want() string                      { return wantOneOf(notifyKinds) }

// NotifyEvents are what people can be told of. A test holds them against those of package notify.
var NotifyEvents = []string{"opened", "approval", "started", "release", "rejected", "accepted", "ended", "parked", "unparked", "alarm", "breaker", "storm", "pause", "leader"}

// NotifySeverities are how much a notice asks of people, the least first.
var NotifySeverities = []string{"info", "warning", "critical"}

func (n *Notify) setDefaults() {
	n.Severity, n.Group, n.PerHour, n.API, n.Zone = "info", seconds(30), 60, "https://slack.com/api/", "UTC"
}

// Hours are begin and end of the quiet hours, since midnight; both 0 when there are none.
func (n Notify) Hours() (from, to time.Duration, ok bool) {
	if n.Quiet == "" {
		return 0, 0, true
	}
	a, b, _ := strings.Cut(n.Quiet, "-")
	from, okFrom := clock(a)
	to, okTo := clock(b)
	return from, to, okFrom && okTo && from != to
}

// DigestAt is when the digest is told, since midnight; below 0 when there is none.
func (n Notify) DigestAt() (time.Duration, bool) {
	if n.Digest == "" {
		return -1, true
	}
	return clock(n.Digest)
}

func (r *Repairer) validateNotify(c *check) {
	seen := map[string]bool{}
	for i, n := range r.Notify {
		at := element("notify", i)
		c.word(at+".name", n.Name, "a name")
		if seen[n.Name] {
			c.bad([]string{at + ".name"}, "there is another [[notify]] with the name %q", n.Name)
		}
		seen[n.Name] = true
		n.validate(c, at)
	}
}

func (n Notify) validate(c *check, at string) {
	wants := map[NotifyKind]string{NotifySlack: "token", NotifySlackWebhook: "webhook", NotifyShoutrrr: "address"}
	has := map[string]secret.Ref{"token": n.Token, "webhook": n.Webhook, "address": n.Address}
	switch key := wants[n.Kind]; {
	case n.Kind == "":
		c.bad([]string{at + ".kind"}, "is missing: want %s", wantOneOf(notifyKinds))
	case has[key].IsZero():
		c.bad([]string{at + "." + key}, "is missing: say where this secret is")
	}
	for key, r := range has {
		if !r.IsZero() && n.Kind != "" && wants[n.Kind] != key {
			c.bad([]string{at + "." + key}, "is of no use with kind %q", n.Kind)
		}
	}
	if n.Kind == NotifySlack {
		c.word(at+".channel", n.Channel, "the id or name of a channel")
		c.remote(at+".api", n.API, "https://slack.com/api/")
		if !strings.HasSuffix(n.API, "/") {
			c.bad([]string{at + ".api"}, "must end with a slash, as in https://slack.com/api/")
		}
	}
	c.proxy(at+".proxy", n.Proxy)
	if n.CA != "" {
		c.absolute(at+".ca", n.CA)
	}
	if n.Kind == NotifyShoutrrr && n.Proxy+n.CA != "" {
		c.bad([]string{at + ".proxy", at + ".ca"}, "is of no use with kind %q", n.Kind)
	}
	for j, e := range n.Events {
		if !slices.Contains(NotifyEvents, e) {
			c.bad([]string{element(at+".events", j), at + ".events"}, "there is no event %q: want some of %s", e, strings.Join(NotifyEvents, ", "))
		}
	}
	if !slices.Contains(NotifySeverities, n.Severity) {
		c.bad([]string{at + ".severity"}, "%q is no severity: want one of %s", n.Severity, strings.Join(NotifySeverities, ", "))
	}
	if n.Group < 0 || n.Group > minutes(60) {
		c.bad([]string{at + ".group"}, "%s is not possible: want 0 to 1h", n.Group)
	}
	c.upTo(at+".per_hour", n.PerHour, 3600)
	if _, _, ok := n.Hours(); !ok {
		c.bad([]string{at + ".quiet"}, `%q is no part of a day, such as "22:00-07:00"`, n.Quiet)
	}
	if _, ok := n.DigestAt(); !ok {
		c.bad([]string{at + ".digest"}, `%q is no time of the day, such as "08:00"`, n.Digest)
	}
	if _, err := time.LoadLocation(n.Zone); err != nil {
		c.bad([]string{at + ".zone"}, `%q is no time zone of this host, such as "Europe/Berlin"`, n.Zone)
	}
}

func (r *Repairer) checkNotifyFiles(c *check) {
	for i, n := range r.Notify {
		at := element("notify", i)
		checkSecret(c, at+".token", n.Token)
		checkSecret(c, at+".webhook", n.Webhook)
		checkSecret(c, at+".address", n.Address)
		checkPEM(c, at, n.CA, "", secret.Ref{})
	}
}
