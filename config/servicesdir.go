package config

import (
	"cmp"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// eachService reads the files of a folder of services, in the order of their names; name is what a service is called that says no other
// one. One file that is wrong makes all wrong, so that none is left out by mistake.
func eachService(dir string, read func(path, name string) error) error {
	if dir == "" {
		return nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return &Errors{[]Problem{{File: dir, Key: "services_dir", Message: cause(err)}}}
	}
	all := &Errors{}
	for _, e := range entries {
		if filepath.Ext(e.Name()) != ".toml" || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		err := read(filepath.Join(dir, e.Name()), strings.TrimSuffix(e.Name(), ".toml"))
		if bad := (*Errors)(nil); errors.As(err, &bad) {
			all.Problems = append(all.Problems, bad.Problems...)
		}
	}
	if len(all.Problems) > 0 {
		return all
	}
	return nil
}

// loadServices adds the services of the folder.
func (n *Nerve) loadServices() error {
	seen := map[string]bool{}
	for _, s := range n.Services {
		seen[s.Name] = true
	}
	return eachService(n.ServicesDir, func(path, name string) error {
		var s AnnouncedService
		s.setDefaults()
		err := DecodeFile(path, &s, func(bad func(key, format string, args ...any)) {
			s.Name = cmp.Or(s.Name, name)
			s.validate(*n, bad)
			s.checkFiles(bad)
			if seen[s.Name] {
				bad("name", "there is another service %s", s.Name)
			}
		})
		seen[s.Name] = true
		n.Services = append(n.Services, s)
		return err
	})
}

// loadServices adds the services of the folder.
func (s *Synapse) loadServices() error {
	seen := map[string]bool{}
	for _, v := range s.Services {
		seen[v.Name] = true
	}
	err := eachService(s.ServicesDir, func(path, name string) error {
		data, err := readFile(path)
		if err != nil {
			return &Errors{[]Problem{{File: path, Message: cause(err)}}}
		}
		var v Service
		v.setDefaults()
		f := file{path, data}
		c := newCheck([]file{f})
		decode(&v, c, 0, f)
		v.Name = cmp.Or(v.Name, name)
		if !c.unreadable {
			s.validateService(c, "", v, seen)
		}
		s.Services = append(s.Services, v)
		return c.err()
	})
	if err != nil {
		return err
	}
	for _, t := range s.Templates {
		for _, n := range t.Services {
			if !slices.ContainsFunc(s.Services, func(v Service) bool { return v.Name == n }) {
				return &Errors{[]Problem{{File: s.ServicesDir, Key: "template.services", Message: "there is no service " + n}}}
			}
		}
	}
	return nil
}
