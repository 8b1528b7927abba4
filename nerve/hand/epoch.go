package hand

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/google/renameio/v2"

	"glia"
)

// fence remembers the highest epoch that ever gave an order, on disk, and turns older ones away.
// It is safe for concurrent use.
type fence struct {
	path string

	mu      sync.Mutex // also serialises the writes of the file: an epoch counts once it is durable
	highest uint64
}

// openFence reads the highest epoch. A missing file means that no order was ever taken.
func openFence(dir string) (*fence, error) {
	f := &fence{path: filepath.Join(dir, "epoch")}
	text, err := os.ReadFile(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err != nil {
		return nil, fmt.Errorf("highest epoch: %w", err)
	}
	line, complete := strings.CutSuffix(string(text), "\n")
	f.highest, err = strconv.ParseUint(line, 10, 64)
	if err != nil || !complete || f.highest == 0 {
		return nil, fmt.Errorf("highest epoch: %s holds %.40q, which is not an epoch; write the repairer's present epoch and a newline into it", f.path, text)
	}
	return f, nil
}

// Check returns an error that wraps glia.ErrStaleEpoch if a newer epoch was seen.
func (f *fence) Check(epoch uint64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.check(epoch)
}

func (f *fence) check(epoch uint64) error {
	if epoch < f.highest {
		return fmt.Errorf("order of epoch %d: %w: %d; another repairer has taken over", epoch, glia.ErrStaleEpoch, f.highest)
	}
	return nil
}

// Admit is Check, and from then on older epochs are refused, also after a crash. raised says whether
// this epoch is a new one.
func (f *fence) Admit(epoch uint64) (raised bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.check(epoch); err != nil {
		return false, err
	}
	if epoch == f.highest {
		return false, nil
	}
	if err := writeDurably(f.path, []byte(strconv.FormatUint(epoch, 10)+"\n")); err != nil {
		return false, fmt.Errorf("remember epoch %d: %w", epoch, err)
	}
	f.highest = epoch
	return true, nil
}

// writeDurably replaces a file so that after a crash either the old or the new content is there, and
// after its return only the new one.
func writeDurably(path string, data []byte) error {
	dir := filepath.Dir(path)
	if err := renameio.WriteFile(path, data, 0o600, renameio.WithTempDir(dir)); err != nil {
		return err
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
