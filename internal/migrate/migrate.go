// Package migrate turns the configurations of Airbnb's nerve 0.9.7 and synapse 0.18.9, in JSON or YAML, and those of Bynar into those of
// glia. It does no I/O.
//
// It guarantees that whatever it does not carry over is named in the notes, and that nothing becomes less strict by that: a check or a
// source that glia does not have is written as it is called, so that the outcome is refused until a person has looked at it. It fails
// when a file can not be read at all.
package migrate

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// File is one configuration.
type File struct {
	Name string // that of a file of service_conf_dir is the name of its service
	Data []byte
}

// Outcome is what the files say in glia's words.
type Outcome struct {
	Nerve   string   // TOML for the end of nerve.toml, or a drop-in; empty when no file was nerve's
	Synapse string   // the same for synapse
	Notes   []string // what was not carried over, or means something else
}

type outcome struct {
	Outcome
	nerve, synapse writer
	own            []owned  // services of nerve
	followed       []table  // services of synapse
	names          []string // of followed
	nerves         int
	instance       string // of the nerve
	service        string // of synapse, that is written
	proxy          table  // section haproxy of synapse
	files          string // output directory of synapse
	filesWanted    bool   // a service has a file
	settingsWanted bool   // the znode of a service may have settings
}

// owned is a service of nerve and its name.
type owned struct {
	name string
	t    table
}

// Files converts all files together. Those of one nerve and of one synapse belong together; several nerves do not.
func Files(files ...File) (Outcome, error) {
	o := &outcome{}
	for _, f := range files {
		t, err := parse(f.Data)
		if err != nil {
			return Outcome{}, fmt.Errorf("%s: %w", f.Name, err)
		}
		if err := o.sort(f.Name, t); err != nil {
			return Outcome{}, fmt.Errorf("%s: %w", f.Name, err)
		}
	}
	o.writeNerve()
	o.writeSynapse()
	o.Nerve, o.Synapse = strings.TrimLeft(o.nerve.String(), "\n"), strings.TrimLeft(o.synapse.String(), "\n")
	return o.Outcome, nil
}

// sort finds out whose configuration it is, and takes its services.
func (o *outcome) sort(name string, t table) error {
	r := o.read(t, name)
	base := strings.TrimSuffix(filepath.Base(name), filepath.Ext(name))
	switch {
	case has(t, "services") && (has(t, "instance_id") || !has(t, "haproxy") && !has(t, "file_output") && !synapses(t)):
		if o.nerves++; o.nerves > 1 {
			return errors.New("it is the configuration of another nerve: import one at a time")
		}
		o.instance = r.text("instance_id")
		for _, e := range r.table("services") {
			if s, ok := e.value.(table); ok {
				o.announces(e.key, s)
			} else {
				r.bad("services."+e.key, e.value, "a table")
			}
		}
		o.nerveTop(r)
	case has(t, "services") || has(t, "haproxy"):
		for _, e := range r.table("services") {
			if s, ok := e.value.(table); ok {
				o.follow(e.key, s)
			} else {
				r.bad("services."+e.key, e.value, "a table")
			}
		}
		o.synapseTop(r)
	case has(t, "discovery") || has(t, "discovery_multi"):
		o.follow(base, t)
		return nil
	case has(t, "checks") || has(t, "zk_path") || has(t, "reporter_type"):
		o.announces(base, t)
		return nil
	default:
		return errors.New("it is neither a configuration of nerve nor one of synapse, nor one service of them: no services, discovery, checks or zk_path in it")
	}
	r.rest()
	return nil
}

// announces takes a service of nerve; a later one of the same name replaces it.
func (o *outcome) announces(name string, t table) {
	if i := slices.IndexFunc(o.own, func(s owned) bool { return s.name == name }); i >= 0 {
		o.own[i].t = t
		return
	}
	o.own = append(o.own, owned{name, t})
}

// follow takes a service of synapse; a later one of the same name replaces it.
func (o *outcome) follow(name string, t table) {
	if i := slices.Index(o.names, name); i >= 0 {
		o.followed[i] = t
		return
	}
	o.names, o.followed = append(o.names, name), append(o.followed, t)
}

func has(t table, key string) bool { _, ok := t.get(key); return ok }

// synapses says whether the services of a configuration are those of a synapse.
func synapses(t table) bool {
	services, _ := t.get("services")
	list, _ := services.(table)
	return slices.ContainsFunc(list, func(e entry) bool {
		s, _ := e.value.(table)
		return has(s, "discovery") || has(s, "discovery_multi")
	})
}
