// Package config is the configuration of nerve, synapse and repairer: TOML schema, defaults,
// validation, and the files nerve.toml, synapse.toml and repairer.toml beside it, which show every key
// with its default.
//
// It is strict. A key that is not in the schema, a value of another type and a value that makes no
// sense are errors, and all of them are reported at once, each with file, line and column. A
// configuration is returned only when there is none, so what a program holds is always valid.
//
// It fails with *Errors. One thing hides others: a file with a syntax error can not be looked at
// further, so values are judged only once every file can be parsed.
package config

import (
	"os"
	"time"
)

// LoadNerve reads the file and its drop-in directory, fills in what is derived from other values or
// from the host (see Nerve.Resolve), and checks the files that it names. For /etc/glia/nerve.toml the
// drop-ins are /etc/glia/nerve.d/*.toml, read in the order of their names. A later key replaces an
// earlier one; a list, also a list of tables, is replaced as a whole. The error is *Errors.
func LoadNerve(path string) (Nerve, error) {
	n := DefaultNerve()
	if err := load(path, &n); err != nil {
		return Nerve{}, err
	}
	if err := n.loadServices(); err != nil {
		return Nerve{}, err
	}
	return n, nil
}

// LoadSynapse is LoadNerve for the configuration of synapse.
func LoadSynapse(path string) (Synapse, error) {
	s := DefaultSynapse()
	if err := load(path, &s); err != nil {
		return Synapse{}, err
	}
	if err := s.loadServices(); err != nil {
		return Synapse{}, err
	}
	return s, nil
}

// Known is what a configuration of repairer is compared with. The zero value takes everything.
type Known struct {
	Rules    func(files []string) ([]string, error) // the names that a [[rule]] may have, with those rule_files
	Template func(text string) error                // says what is wrong with the template of tickets
}

// LoadRepairer is LoadNerve for the configuration of repairer.
func LoadRepairer(path string, known Known) (Repairer, error) {
	r := DefaultRepairer()
	var also []func(*check)
	if known.Rules != nil {
		also = append(also, r.knownRules(known.Rules))
	}
	if known.Template != nil {
		also = append(also, r.goodTemplate(known.Template))
	}
	if err := load(path, &r, also...); err != nil {
		return Repairer{}, err
	}
	return r, nil
}

// ParseNerve reads a configuration from memory and validates it. It looks at nothing else: no host
// name is filled in and no file is checked. The name stands for the file in errors, which are *Errors.
func ParseNerve(name string, data []byte) (Nerve, error) {
	n := DefaultNerve()
	if err := parse(&n, file{name, data}).err(); err != nil {
		return Nerve{}, err
	}
	return n, nil
}

// ParseSynapse is ParseNerve for the configuration of synapse.
func ParseSynapse(name string, data []byte) (Synapse, error) {
	s := DefaultSynapse()
	if err := parse(&s, file{name, data}).err(); err != nil {
		return Synapse{}, err
	}
	return s, nil
}

// ParseRepairer is ParseNerve for the configuration of repairer.
func ParseRepairer(name string, data []byte) (Repairer, error) {
	r := DefaultRepairer()
	if err := parse(&r, file{name, data}).err(); err != nil {
		return Repairer{}, err
	}
	return r, nil
}

// schema is what the three programs' configurations have in common.
type schema interface {
	validate(*check)         // judges values; looks at nothing but them
	checkFiles(*check)       // looks at the files that the values name
	Resolve(hostname string) // fills in what is derived from other values
}

func load(path string, into schema, also ...func(*check)) error {
	files, err := readFiles(path)
	if err != nil {
		return err
	}
	c := parse(into, files...)
	if !c.unreadable {
		into.checkFiles(c)
		for _, f := range also {
			f(c)
		}
	}
	if err := c.err(); err != nil {
		return err
	}
	hostname, err := os.Hostname()
	if err != nil {
		return &Errors{[]Problem{{File: path, Key: "host", Message: "the host has no readable name (" + err.Error() + "); set it here"}}}
	}
	into.Resolve(hostname)
	into.validate(c) // what the host is called may be no name for a member
	return c.err()
}

// parse decodes the files one over the other and validates the outcome.
func parse(into schema, files ...file) *check {
	c := newCheck(files)
	for i, f := range files {
		decode(into, c, i, f)
	}
	if !c.unreadable {
		into.validate(c)
	}
	return c
}

// seconds and minutes keep the tables of defaults readable.
func seconds(n int) Duration { return Duration(time.Duration(n) * time.Second) }
func minutes(n int) Duration { return Duration(time.Duration(n) * time.Minute) }
