package serf

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// writeDropIn writes tags into a file of a serf agent's configuration directory, as {"tags":{…}}, if it does not say that
// already. An agent that reads the directory at any moment finds the old file or the new one, and no other: one
// half-written file would make it refuse its whole configuration.
func writeDropIn(path string, tags map[string]string) error {
	if path == "" {
		return nil
	}
	content, err := json.Marshal(map[string]map[string]string{"tags": tags})
	if err != nil {
		return err
	}
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, content) {
		return nil
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".glia-*") // agents read *.json
	if err != nil {
		return fmt.Errorf("write the drop-in file: %w", err)
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write the drop-in file %s: %w", path, err), os.Remove(f.Name()))
	}
	return nil
}

func removeDropIn(path string) error {
	if path == "" {
		return nil
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
