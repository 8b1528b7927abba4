// Package file writes the backends of services as JSON, one file a service, for programs that read such files themselves.
//
// A file is replaced as a whole, and only when it would say something else. The bytes are those of the file output of Airbnb's synapse: a
// list in the order of discovery, without spaces, with null for what is not announced. The folder belongs to this output: any other file
// in it whose name ends with .json is removed, so that services which are configured no more leave none behind.
package file

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/google/renameio/v2"

	"glia/synapse/service"
)

// Output writes the files of some services. It is safe for concurrent use.
type Output struct {
	dir      string
	services map[string]bool

	mu     sync.Mutex
	failed map[string]error // services whose file could not be written
}

// New makes the folder if it is missing, and removes what does not belong there.
func New(dir string, services []string) (*Output, error) {
	o := &Output{dir: dir, services: map[string]bool{}, failed: map[string]error{}}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("folder of the file output: %w", err)
	}
	for _, s := range services {
		o.services[s] = true
	}
	there, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, err
	}
	for _, f := range there {
		if !o.services[strings.TrimSuffix(filepath.Base(f), ".json")] {
			if err := os.Remove(f); err != nil {
				return nil, fmt.Errorf("remove the file of a service that is configured no more: %w", err)
			}
		}
	}
	return o, nil
}

// Set writes the file of a service. One that could not be written is written by the next Set, and named by Problem until then.
func (o *Output) Set(name string, backends []service.Backend) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.services[name] {
		return
	}
	if err := o.write(name, backends); err != nil {
		o.failed[name] = err
	} else {
		delete(o.failed, name)
	}
}

func (o *Output) write(name string, backends []service.Backend) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if backends == nil {
		backends = []service.Backend{}
	}
	if err := e.Encode(backends); err != nil {
		return fmt.Errorf("write the backends of %s: %w", name, err)
	}
	text := bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	path := filepath.Join(o.dir, name+".json")
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, text) {
		return nil
	}
	if err := renameio.WriteFile(path, text, 0o644, renameio.WithTempDir(o.dir), renameio.IgnoreUmask()); err != nil {
		return fmt.Errorf("write the backends of %s: %w", name, err)
	}
	return nil
}

// Problem names the files that could not be written, or is nil.
func (o *Output) Problem() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	var all []error
	for _, err := range o.failed {
		all = append(all, err)
	}
	return errors.Join(all...)
}
