package probe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"glia"
	"glia/nerve/disk/smart"
)

// Smartctl reads disks that only smartctl can reach: those behind RAID controllers (megaraid, cciss, areca…) and
// USB bridges. It runs "smartctl -j -x -n standby -d TYPE" for each type of a disk; evidence is that of SMART.
// With several types, which are the disks behind one volume, each piece names its type in brackets:
// "ata.pending[megaraid,4]". A disk that is not listed is left to Otherwise.
type Smartctl struct {
	Disks     []SmartctlDisk
	Otherwise Source
	Roots     Roots

	// Run runs a program and returns what it writes to its standard output; RunProgram if nil. A program that
	// ended with an exit status other than 0 is no error.
	Run func(ctx context.Context, argv ...string) ([]byte, error)
}

// SmartctlDisk is one block device that smartctl is asked about.
type SmartctlDisk struct {
	Device string   // absolute path of its node or of a link to it, such as one in /dev/disk/by-id
	Types  []string // for -d, at least one
}

// smartctlPatience bounds one run, whatever the deadline of the probe.
const smartctlPatience = time.Minute

// Name is that of the source for all other disks.
func (s *Smartctl) Name() string { return s.Otherwise.Name() }

// Probe runs smartctl for each type of the disk.
func (s *Smartctl) Probe(ctx context.Context, d glia.Disk) []glia.Evidence {
	entry, ok := s.entry(d.Location.Device)
	if !ok {
		return s.Otherwise.Probe(ctx, d)
	}
	var out []glia.Evidence
	for _, kind := range entry.Types {
		one, serial := s.read(ctx, kind, s.Roots.dev(d.Location.Device))
		for _, e := range one {
			e.Source = s.Name()
			if len(entry.Types) > 1 {
				e.What += "[" + kind + "]"
			}
			if serial != "" && serial != d.Identity.Serial && e.Detail != "" {
				e.Detail = "disk " + serial + " (" + kind + "): " + e.Detail
			}
			out = append(out, e)
		}
	}
	return out
}

// entry finds the entry of a kernel name. Links are followed each time, because names move.
func (s *Smartctl) entry(name string) (SmartctlDisk, bool) {
	for _, e := range s.Disks {
		if node, err := filepath.EvalSymlinks(e.Device); err == nil && filepath.Base(node) == name {
			return e, true
		}
	}
	return SmartctlDisk{}, false
}

func (s *Smartctl) read(ctx context.Context, kind, path string) (out []glia.Evidence, serial string) {
	unknown := func(why string) []glia.Evidence {
		return []glia.Evidence{{Class: glia.Media, What: "smart", Unknown: why}}
	}
	run := s.Run
	if run == nil {
		run = RunProgram
	}
	ctx, cancel := context.WithTimeout(ctx, smartctlPatience)
	defer cancel()
	b, err := run(ctx, "smartctl", "-j", "-x", "-n", "standby", "-d", kind, path)
	switch {
	case ctx.Err() != nil:
		return unknown("smartctl -d " + kind + ": " + whyEnded(ctx)), ""
	case errors.Is(err, exec.ErrNotFound):
		return unknown("smartctl is not installed (package smartmontools)"), ""
	case err != nil:
		return unknown(fmt.Sprintf("smartctl -d %s: %v", kind, err)), ""
	}
	var r smart.Reading
	about, err := r.Smartctl(b)
	switch {
	case err != nil:
		return unknown(fmt.Sprintf("smartctl -d %s: %v", kind, err)), ""
	case about.Asleep != "":
		return unknown(asleep + about.Asleep), ""
	}
	return Evidence(&r, Names{Of: about.Names}), about.Serial
}

// outputLimit is far more than smartctl writes of any disk.
const outputLimit = 4 << 20

// errOutput ends a program that writes without end.
var errOutput = errors.New("it writes more than smartctl does")

// RunProgram runs a program without a shell, in the locale C, and returns its standard output. It is killed when
// ctx ends; one that hangs in the kernel is waited for.
func RunProgram(ctx context.Context, argv ...string) ([]byte, error) {
	var out, errs limited
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = append(cmd.Environ(), "LC_ALL=C")
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &out, &errs, time.Second
	err := cmd.Run()
	if out.over {
		return nil, errOutput
	}
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.Exited() && out.buf.Len() > 0 {
		err = nil // the output says what the status says
	}
	if words := strings.TrimSpace(errs.buf.String()); err != nil && words != "" {
		err = fmt.Errorf("%w: %s", err, words)
	}
	return out.buf.Bytes(), err
}

// limited is a buffer that takes no more than outputLimit.
type limited struct {
	buf  bytes.Buffer
	over bool
}

func (l *limited) Write(b []byte) (int, error) {
	if l.buf.Len()+len(b) > outputLimit {
		l.over = true
		return 0, errOutput
	}
	return l.buf.Write(b)
}
