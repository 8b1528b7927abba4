// Package disk replaces configuration files of other programs: as a whole, and only by what the program's own check takes.
package disk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/renameio/v2"
)

// File is a configuration file, and how it is checked.
type File struct {
	Path    string
	Check   []string // argv, in which {file} is the file to check; empty: it is not checked
	Timeout time.Duration
}

// Holds says whether the file says just that.
func (f File) Holds(text string) bool {
	b, err := os.ReadFile(f.Path)
	return err == nil && string(b) == text
}

// Swap puts the text in place if it passes the check, and leaves the file alone otherwise. It returns what the file said before; nil when
// there was none. The candidate lies beside the file, under its name with ".candidate".
func (f File) Swap(ctx context.Context, text string) (before []byte, err error) {
	before, err = os.ReadFile(f.Path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("read the file as it is: %w", err)
	}
	candidate := f.Path + ".candidate"
	if err := f.propose(ctx, candidate, text); err != nil {
		return before, err
	}
	if err := os.Rename(candidate, f.Path); err != nil {
		return before, fmt.Errorf("put the file in place: %w", err)
	}
	return before, syncDir(filepath.Dir(f.Path))
}

// Try says what the check says of the text, and puts nothing in place. The text lies beside the file meanwhile, under its name with ".trial".
func (f File) Try(ctx context.Context, text string) error {
	trial := f.Path + ".trial"
	defer func() { _ = os.Remove(trial) }()
	return f.propose(ctx, trial, text)
}

// propose writes a candidate and checks it.
func (f File) propose(ctx context.Context, candidate, text string) error {
	mode := os.FileMode(0o644)
	if info, err := os.Stat(f.Path); err == nil {
		mode = info.Mode().Perm()
	}
	if err := renameio.WriteFile(candidate, []byte(text), mode, renameio.WithTempDir(filepath.Dir(f.Path)), renameio.IgnoreUmask()); err != nil {
		return fmt.Errorf("write the candidate of %s: %w", f.Path, err)
	}
	argv := make([]string, len(f.Check))
	for i, a := range f.Check {
		argv[i] = strings.ReplaceAll(a, "{file}", candidate)
	}
	if len(argv) > 0 {
		if out, err := Run(ctx, f.Timeout, argv); err != nil {
			return fmt.Errorf("check %s, which is not put in place: %w: %s", candidate, err, out)
		}
	}
	return nil
}

// Restore puts back what Swap returned.
func (f File) Restore(before []byte) error {
	if before == nil {
		return nil
	}
	return renameio.WriteFile(f.Path, before, 0o644, renameio.WithTempDir(filepath.Dir(f.Path)), renameio.WithExistingPermissions(), renameio.IgnoreUmask())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()
	return d.Sync()
}

// Run executes a command of the operator, and returns the end of what it said in one line.
func Run(ctx context.Context, timeout time.Duration, argv []string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	c := exec.CommandContext(ctx, argv[0], argv[1:]...) //nolint:gosec // what the operator wrote
	c.WaitDelay = time.Second
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	err := c.Run()
	if ctx.Err() != nil {
		err = fmt.Errorf("%s did not end within %v", argv[0], timeout)
	}
	text := strings.Join(strings.Fields(out.String()), " ")
	if over := len(text) - 1000; over > 0 {
		text = "…" + text[over:]
	}
	return text, err
}
