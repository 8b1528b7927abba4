package haproxy

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Loaded is what a running HAProxy was told of one server, by the file that it read or by the runtime API.
type Loaded struct {
	Text   string    `json:"text"`             // address, id, cookie and options without the weight
	Weight int       `json:"weight"`           // -1 when none was told, lostWeight when that is not known
	Gone   time.Time `json:"gone,omitzero"`    // since when it is not wanted any more
	Broken bool      `json:"broken,omitempty"` // telling it was begun and not ended
}

// lostWeight is the weight of a server that was told one and did not answer.
const lostWeight = -2

// loadedFrom is what a server line tells.
func loadedFrom(s spec) Loaded {
	return Loaded{Text: s.address + s.id + s.cookie + withoutAnyWeight(s.options), Weight: s.weight}
}

func withoutAnyWeight(options string) string {
	return strings.TrimRight(squeeze(weightOption.ReplaceAllString(options, "")), " ")
}

// command is one line for the stats socket.
type command struct {
	text   string
	want   string // that the answer begins with; empty when there must be none
	server string
	before func(l map[string]Loaded) // notes that it may have been done, should the answer be lost; nil for nothing
	after  func(l map[string]Loaded) // notes that it was done; nil for nothing
	may    bool                      // be refused: it is tried again later
}

// decision is what one backend in one process needs.
type decision struct {
	commands []command
	reload   string // why only a reload will do; empty when it is not needed
	later    bool   // servers remain that are to be deleted
}

// decide compares what a backend should be with what runs. It touches servers that are in loaded or in want, and no others. Servers are
// added at the addresses that resolve tells of their hosts. Where it tells none, they can not be added without a reload; those that vanish
// then stay in maintenance.
func decide(backend string, want []spec, has map[string]running, loaded map[string]Loaded, resolve func(host string) string, now time.Time) (d decision) {
	wanted := map[string]bool{}
	for _, s := range want {
		if s.gone {
			continue
		}
		wanted[s.name] = true
		told, known := loaded[s.name]
		_, there := has[s.name]
		new := loadedFrom(s)
		switch {
		case !there:
			if address := addressOf(s.address, resolve); address != "" {
				d.commands = append(d.commands, add(backend, s, address)...)
			} else {
				d.reload = fmt.Sprintf("server %s/%s is new, and can not be added at run time", backend, s.name)
			}
		case !known || told.Broken:
			d.reload = fmt.Sprintf("it is not known how server %s/%s was configured", backend, s.name)
		case told.Text != new.Text:
			d.reload = fmt.Sprintf("the options of server %s/%s have changed", backend, s.name)
		default:
			if !told.Gone.IsZero() {
				d.commands = append(d.commands, command{text: "set server " + backend + "/" + s.name + " state ready", server: s.name,
					after: func(l map[string]Loaded) { x := l[s.name]; x.Gone = time.Time{}; l[s.name] = x }})
			}
			if told.Weight != s.weight {
				weight := s.weight
				if weight < 0 {
					weight = 1 // what HAProxy gives a server without a weight
				}
				d.commands = append(d.commands, command{text: fmt.Sprintf("set server %s/%s weight %d", backend, s.name, weight), server: s.name,
					before: func(l map[string]Loaded) { x := l[s.name]; x.Weight = lostWeight; l[s.name] = x },
					after:  func(l map[string]Loaded) { x := l[s.name]; x.Weight = s.weight; l[s.name] = x }})
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(loaded)) {
		if wanted[name] {
			continue
		}
		is, there := has[name]
		if !there {
			d.commands = append(d.commands, command{server: name, after: func(l map[string]Loaded) { delete(l, name) }})
			continue
		}
		if loaded[name].Gone.IsZero() || !is.Maintenance {
			d.commands = append(d.commands, command{text: "set server " + backend + "/" + name + " state maint", server: name,
				before: func(l map[string]Loaded) {
					if x := l[name]; x.Gone.IsZero() {
						x.Gone = now
						l[name] = x
					}
				}})
		}
		if address, _, _ := strings.Cut(loaded[name].Text, " "); addressOf(address, resolve) != "" {
			d.later = true
			d.commands = append(d.commands, command{text: "del server " + backend + "/" + name, want: "Server deleted", server: name, may: true,
				after: func(l map[string]Loaded) { delete(l, name) }})
		}
	}
	return d
}

// add makes a server, and lets it in. Its check must be switched on, as the server itself.
func add(backend string, s spec, address string) []command {
	name := backend + "/" + s.name
	options := strings.TrimSpace(squeeze(s.options))
	words := strings.Fields(options)
	told := loadedFrom(s)
	out := []command{{
		text: strings.TrimSpace("add server " + name + " " + address + s.id + " " + options), want: "New server registered", server: s.name,
		before: func(l map[string]Loaded) { x := told; x.Broken = true; l[s.name] = x },
	}}
	if slices.Contains(words, "check") {
		out = append(out, command{text: "enable health " + name, server: s.name})
	}
	if slices.Contains(words, "agent-check") {
		out = append(out, command{text: "enable agent " + name, server: s.name})
	}
	last := command{server: s.name, after: func(l map[string]Loaded) { l[s.name] = told }}
	if !slices.Contains(words, "disabled") {
		last.text = "set server " + name + " state ready"
	}
	return append(out, last)
}

// addressOf is host:port with what the host resolves to; empty when that is nothing.
func addressOf(address string, resolve func(string) string) string {
	at := strings.LastIndexByte(address, ':')
	if host := resolve(address[:at]); host != "" {
		return host + address[at:]
	}
	return ""
}
