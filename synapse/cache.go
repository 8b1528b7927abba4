package synapse

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/google/renameio/v2"

	"glia/synapse/service"
)

// cached is what is kept of one service for the next start.
type cached struct {
	State    service.State                `json:"state"`
	Sources  map[string][]service.Backend `json:"sources"`            // by name: what it told last
	Settings string                       `json:"settings,omitempty"` // that are in force
}

// cacheFile is the file.
type cacheFile struct {
	Services map[string]cached `json:"services"`
}

// saveEvery is the least time between two writings of the cache.
const saveEvery = time.Second

// readCache is empty when there is none.
func readCache(path string) (map[string]cached, error) {
	var c cacheFile
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &c)
	}
	if err != nil {
		return nil, err
	}
	return c.Services, nil
}

func (s *Services) save() {
	s.mu.Lock()
	due := s.unsaved
	c := cacheFile{Services: map[string]cached{}}
	for name, w := range s.states {
		if !w.given || !due {
			continue
		}
		one := cached{State: w.state, Sources: map[string][]service.Backend{}, Settings: w.shape.document}
		for _, h := range w.heard {
			if h.last.Err == nil {
				one.Sources[h.Name] = h.last.Backends
			}
		}
		c.Services[name] = one
	}
	s.unsaved = false
	s.mu.Unlock()
	if !due {
		return
	}
	b, err := json.Marshal(c)
	if err == nil {
		err = renameio.WriteFile(s.o.CacheFile, b, 0o600, renameio.WithTempDir(filepath.Dir(s.o.CacheFile)))
	}
	if err != nil {
		err = fmt.Errorf("remember the backends: %w", err)
	}
	s.mu.Lock()
	s.problem, s.unsaved = err, s.unsaved || err != nil
	s.mu.Unlock()
}
