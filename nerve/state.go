package nerve

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/google/renameio/v2"

	"glia"
	"glia/nerve/judge"
)

// stateVersion is the version of the state file. A newer one is refused, not guessed at.
const stateVersion = 1

type stateFile struct {
	Version    int                  `json:"version"`
	Generation uint64               `json:"generation"`
	Disks      map[string]savedDisk `json:"disks"`
}

type savedDisk struct {
	Disk    glia.Disk        `json:"disk"`
	Seen    time.Time        `json:"seen"`
	State   judge.DiskState  `json:"state"`
	Verdict glia.Verdict     `json:"verdict"`
	Labels  map[string]label `json:"labels,omitempty"`
}

// load reads the state file. What it says of a disk are counts and the last verdict; the disk is
// unknown until it is probed again.
func (n *Nerve) load() error {
	b, err := os.ReadFile(n.StateFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var f stateFile
	if err := json.Unmarshal(b, &f); err != nil {
		return fmt.Errorf("%s: %w", n.StateFile, err)
	}
	if f.Version != stateVersion {
		return fmt.Errorf("%s is of version %d, this nerve knows %d", n.StateFile, f.Version, stateVersion)
	}
	n.generation = f.Generation
	for serial, s := range f.Disks {
		e := &entry{disk: s.Disk, seen: s.Seen, state: s.State.AfterRestart(), labels: s.Labels, verdict: judge.Unprobed("it was not probed since the nerve started; before, it was " + s.Verdict.State.String())}
		if s.Verdict.State == glia.StateMissing {
			e.verdict, e.missing, e.gone = s.Verdict, true, s.Seen
		}
		if e.labels == nil {
			e.labels = map[string]label{}
		}
		n.disks[serial] = e
	}
	return nil
}

// save writes the state file when there is something new. What could not be written stays new.
func (n *Nerve) save(force bool) (err error) {
	n.saving.Lock() // an older state must not be written over a newer one
	defer n.saving.Unlock()
	n.mu.Lock()
	if !n.dirty && !force {
		n.mu.Unlock()
		return nil
	}
	f := stateFile{Version: stateVersion, Generation: n.generation, Disks: map[string]savedDisk{}}
	for serial, e := range n.disks {
		f.Disks[serial] = savedDisk{Disk: e.disk, Seen: e.seen, State: e.state, Verdict: e.verdict, Labels: e.labels}
	}
	n.dirty = false
	n.mu.Unlock()
	defer func() {
		if err != nil {
			n.mu.Lock()
			n.dirty = true
			n.mu.Unlock()
		}
	}()
	if err := os.MkdirAll(filepath.Dir(n.StateFile), 0o700); err != nil {
		return err
	}
	to, err := renameio.NewPendingFile(n.StateFile, renameio.WithStaticPermissions(0o600))
	if err != nil {
		return err
	}
	defer func() { _ = to.Cleanup() }() // does nothing after the end
	if err := f.write(to); err != nil {
		return err
	}
	return to.CloseAtomicallyReplace()
}

// write writes the file as json.Marshal would, but disk by disk: a host may have a hundred of them, and what is needed for
// a moment stays with the process for long.
func (f stateFile) write(to io.Writer) error {
	b := bufio.NewWriter(to)
	_, _ = fmt.Fprintf(b, `{"version":%d,"generation":%d,"disks":{`, f.Version, f.Generation) // Flush tells the error
	for i, serial := range slices.Sorted(maps.Keys(f.Disks)) {
		name, err := json.Marshal(serial)
		if err != nil {
			return err
		}
		one, err := json.Marshal(f.Disks[serial])
		if err != nil {
			return fmt.Errorf("disk %s: %w", serial, err)
		}
		if i > 0 {
			_ = b.WriteByte(',')
		}
		_, _ = b.Write(append(append(name, ':'), one...))
	}
	_, _ = b.WriteString("}}")
	return b.Flush()
}

// saveLoop saves what changed soon and the counts from time to time, and once more at the end.
func (n *Nerve) saveLoop(ctx context.Context) {
	soon := time.NewTicker(time.Second)
	defer soon.Stop()
	last := time.Now()
	failed := false
	for {
		stop := false
		select {
		case <-ctx.Done():
			stop = true
		case <-soon.C:
		}
		force := stop || time.Since(last) >= saveEvery
		if force {
			last = time.Now()
		}
		err := n.save(force)
		if err != nil && !failed {
			n.Log.Error("state can not be saved; a restart would lose the counts", "file", n.StateFile, "error", err)
		}
		failed = err != nil
		if stop {
			return
		}
	}
}
