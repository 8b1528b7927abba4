package haproxy

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

// state is what an Output remembers over its own restarts.
type state struct {
	Structure string                       `json:"structure"` // hash of the structure that HAProxy was last reloaded with
	Process   process                      `json:"process"`   // that Loaded is about: the one at the first socket
	Loaded    map[string]map[string]Loaded `json:"loaded"`    // by backend and server
	IDs       map[string]IDs               `json:"ids"`       // by service
	Gone      map[string][]Gone            `json:"gone"`      // by service; still rendered
	At        time.Time                    `json:"at"`
}

// Gone is a server that is not discovered any more.
type Gone struct {
	Backend service.Backend `json:"backend"`
	Since   time.Time       `json:"since"`
}

// readState is empty when there is none. One that can not be read is an error beside an empty one: HAProxy is then reloaded once.
func readState(path string) (s state, err error) {
	b, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(b, &s)
	}
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	if err != nil {
		s, err = state{}, fmt.Errorf("state of the output: %w", err)
	}
	if s.Loaded == nil {
		s.Loaded = map[string]map[string]Loaded{}
	}
	if s.IDs == nil {
		s.IDs = map[string]IDs{}
	}
	if s.Gone == nil {
		s.Gone = map[string][]Gone{}
	}
	return s, err
}

func writeState(path string, b []byte) error {
	return renameio.WriteFile(path, b, 0o600, renameio.WithTempDir(filepath.Dir(path)))
}
