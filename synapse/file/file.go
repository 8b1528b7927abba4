// Package file writes the backends of services as JSON, one file a service, for programs that read such files themselves.
//
// A file is replaced as a whole, and only when it would say something else. The bytes are those of the file output of Airbnb's synapse: a
// list in the order of discovery, without spaces, with null for what is not announced. The folder belongs to this output: any other file
// in it whose name ends with .json is removed, so that services which are configured no more leave none behind.
package file

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/renameio/v2"

	"glia/synapse/service"
)

// Output writes the files of some services. Set and Problem are safe for concurrent use; Run may be called once.
type Output struct {
	dir      string
	services map[string]bool
	wake     chan struct{}

	mu     sync.Mutex
	next   map[string][]service.Backend // that are not written yet
	failed map[string]error             // services whose file could not be written

	purged   bool  // what does not belong there is gone; of Run alone
	unpurged error // why it is not
}

// again is how long after a failure a file is written again.
const again = time.Second

// New makes the folder if it is missing.
func New(dir string, services []string) (*Output, error) {
	o := &Output{dir: dir, services: map[string]bool{}, wake: make(chan struct{}, 1), next: map[string][]service.Backend{}, failed: map[string]error{}}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("folder of the file output: %w", err)
	}
	for _, s := range services {
		o.services[s] = true
	}
	return o, nil
}

// Set notes the backends of a service for Run, and waits for nothing.
func (o *Output) Set(name string, backends []service.Backend) {
	if !o.services[name] {
		return
	}
	o.mu.Lock()
	o.next[name] = backends
	o.mu.Unlock()
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// Run removes what does not belong into the folder, and writes what was set until ctx is done. One that could not be written is named by Problem, and written again each second.
func (o *Output) Run(ctx context.Context) error {
	retry := time.NewTimer(again)
	defer retry.Stop()
	for {
		o.purge()
		select {
		case <-ctx.Done():
			return nil
		case <-o.wake:
		case <-retry.C:
		}
		o.writeAll()
		retry.Reset(again)
	}
}

// purge removes what does not belong into the folder, again and again until that succeeds.
func (o *Output) purge() {
	if o.purged {
		return
	}
	there, err := filepath.Glob(filepath.Join(o.dir, "*.json"))
	for _, f := range there {
		if !o.services[strings.TrimSuffix(filepath.Base(f), ".json")] {
			err = errors.Join(err, os.Remove(f))
		}
	}
	if err != nil {
		err = fmt.Errorf("remove the file of a service that has none any more: %w", err)
	}
	o.mu.Lock()
	o.purged, o.unpurged = err == nil, err
	o.mu.Unlock()
}

func (o *Output) writeAll() {
	o.mu.Lock()
	next := o.next
	o.next = map[string][]service.Backend{}
	o.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(next)) {
		err := o.write(name, next[name])
		o.mu.Lock()
		if delete(o.failed, name); err != nil {
			o.failed[name] = err
			if _, newer := o.next[name]; !newer {
				o.next[name] = next[name]
			}
		}
		o.mu.Unlock()
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
	all := []error{o.unpurged}
	for _, err := range o.failed {
		all = append(all, err)
	}
	return errors.Join(all...)
}
