package config

import (
	"os"
	"slices"
)

// Template is one [[template]] of synapse: a file that is filled in with backends.
type Template struct {
	Source       string   `toml:"source"`        // file with a Go template; absolute
	Destination  string   `toml:"destination"`   // absolute
	Services     []string `toml:"services"`      // that it is about; empty: all
	CheckCommand []string `toml:"check_command"` // argv with {file}; empty for none
	Command      []string `toml:"command"`       // argv, run after a change; empty for none
	Timeout      Duration `toml:"timeout"`       // of each command
	Quiet        Duration `toml:"quiet"`         // how long nothing must change before it is written
}

func (t *Template) setDefaults() { t.Timeout, t.Quiet = minutes(1), seconds(1) }

func (s *Synapse) validateTemplates(c *check) {
	var names []string
	for _, v := range s.Services {
		names = append(names, v.Name)
	}
	seen := map[string]bool{}
	for i, t := range s.Templates {
		at := element("template", i)
		c.absolute(at+".source", t.Source)
		c.absolute(at+".destination", t.Destination)
		if seen[t.Destination] {
			c.bad([]string{at + ".destination"}, "there is another template for %s", t.Destination)
		}
		seen[t.Destination] = true
		for j, n := range t.Services {
			if !slices.Contains(names, n) && s.ServicesDir == "" {
				c.bad([]string{element(at+".services", j)}, "there is no service %s", n)
			}
		}
		if len(names) == 0 && s.ServicesDir == "" {
			c.bad([]string{at}, "is about no service: there is no [[service]]")
		}
		c.command(at+".check_command", t.CheckCommand)
		c.command(at+".command", t.Command)
		c.positive(at+".timeout", t.Timeout)
		if t.Quiet < 0 {
			c.bad([]string{at + ".quiet"}, "%s is not possible: want 0 or more", t.Quiet)
		}
	}
}

func (s *Synapse) checkTemplates(c *check) {
	for i, t := range s.Templates {
		if _, err := os.Stat(t.Source); err != nil {
			c.bad([]string{element("template", i) + ".source"}, "%s: %s", t.Source, cause(err))
		}
	}
}
