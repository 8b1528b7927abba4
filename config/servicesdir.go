package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
)

// loadServices adds the services of the folder, in the order of their names. One file that is wrong makes all wrong, so that none is left
// out by mistake.
func (n *Nerve) loadServices() error {
	if n.ServicesDir == "" {
		return nil
	}
	entries, err := os.ReadDir(n.ServicesDir)
	if err != nil {
		return &Errors{[]Problem{{File: n.ServicesDir, Key: "services_dir", Message: cause(err)}}}
	}
	all := &Errors{}
	seen := map[string]bool{}
	for _, s := range n.Services {
		seen[s.Name] = true
	}
	for _, e := range entries {
		if filepath.Ext(e.Name()) != ".toml" || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		var s AnnouncedService
		s.setDefaults()
		err := DecodeFile(filepath.Join(n.ServicesDir, e.Name()), &s, func(bad func(key, format string, args ...any)) {
			if s.Name == "" {
				s.Name = strings.TrimSuffix(e.Name(), ".toml")
			}
			s.validate(*n, bad)
			s.checkFiles(bad)
			if seen[s.Name] {
				bad("name", "there is another service %s", s.Name)
			}
		})
		if bad := (*Errors)(nil); errors.As(err, &bad) {
			all.Problems = append(all.Problems, bad.Problems...)
		}
		seen[s.Name] = true
		n.Services = append(n.Services, s)
	}
	if len(all.Problems) > 0 {
		return all
	}
	return nil
}
