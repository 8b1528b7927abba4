//go:build lab

package lab_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"glia"
	"glia/internal/lab"
)

// patience bounds each wait. Only a failing test takes so long, or a machine that is shared with many others.
const patience = 5 * time.Minute

// lifetime bounds the life of a machine.
const lifetime = 14 * time.Minute

// image is made once for all machines.
var image = sync.OnceValues(func() (lab.Image, error) { return lab.BuildImage(context.Background(), scratch, nil) })

var scratch string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "lab") // paths of sockets must be short
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	scratch = dir
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// host is a machine with a nerve.
type host struct {
	*lab.Machine
	registry *lab.Registry
}

// Of the defaults only the times are changed, and what a machine on a busy test machine can not keep: its timers may be
// late, and most of its disks are made to fail within a minute.
const config = `
state_dir = "/var/lib/glia/nerve"
[probe]
interval = "%s"
deadline = "8s"
expiry = "25s"
%s
[judge]
together = 0
late = "0s"
memory_pressure = 0
io_pressure = 0
`

const interval = 2 * time.Second

// start boots a machine with these disks and starts its nerve. More is put into the section [probe].
func start(t testing.TB, more string, disks ...lab.Disk) *host {
	t.Helper()
	h := boot(t, lab.Spec{Disks: disks})
	h.nerve(t, fmt.Sprintf(config, interval, more))
	return h
}

// boot boots a machine, which ends with the test.
func boot(t testing.TB, s lab.Spec) *host {
	t.Helper()
	if err := lab.Installed(); err != nil {
		t.Skip(err)
	}
	var err error
	if s.Image, err = image(); err != nil {
		t.Fatal(err)
	}
	if s.Dir, err = os.MkdirTemp(scratch, "m"); err != nil {
		t.Fatal(err)
	}
	for _, d := range s.Disks {
		if d.Image == "" {
			t.Fatalf("disk %s has no image", d.ID())
		}
	}
	s.Name = "lab"
	began := time.Now()
	m, err := lab.Boot(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	h := &host{Machine: m}
	leash := time.AfterFunc(lifetime, m.Kill) // all that waits for it fails then
	t.Cleanup(func() {
		leash.Stop()
		if h.registry != nil {
			_ = h.registry.Close()
		}
		m.Kill()
		if t.Failed() {
			t.Logf("console of the machine:\n%s", m.Said())
		}
	})
	t.Logf("booted in %.1f s", time.Since(began).Seconds())
	return h
}

// nerve starts the nerve of the machine with this configuration.
func (h *host) nerve(t testing.TB, config string) {
	t.Helper()
	began := time.Now()
	if err := h.StartNerve(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	var err error
	if h.registry, err = h.Registry(); err != nil {
		t.Fatal(err)
	}
	t.Logf("nerve ready after %.1f s", time.Since(began).Seconds())
}

// disk makes a disk of 320 MiB, as XFS needs it at least, and a filesystem on it with this command, if there is one.
func disk(t testing.TB, bus lab.Bus, port int, serial string, mkfs ...string) lab.Disk {
	t.Helper()
	d := lab.Disk{Bus: bus, Port: port, Serial: serial, Model: "LABDISK", Image: filepath.Join(t.TempDir(), "image")}
	if err := lab.Blank(d.Image, 320); err != nil {
		t.Fatal(err)
	}
	if len(mkfs) == 0 {
		return d
	}
	if out, err := exec.Command(mkfs[0], append(mkfs[1:], d.Image)...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", mkfs[0], err, out)
	}
	return d
}

// sh runs a script in the machine.
func (h *host) sh(t testing.TB, script string) string {
	t.Helper()
	out, err := h.Shell(t.Context(), script)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// await probes a disk until it is as it should be, and returns it.
func (h *host) await(t testing.TB, serial, what string, is func(glia.DiskStatus) bool) glia.DiskStatus {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		d, err := h.Probe(ctx, serial)
		if err == nil && is(d) {
			return d
		}
		select {
		case <-h.Ended():
			t.Fatal("the machine has ended")
		case <-ctx.Done():
			t.Fatalf("%s is not %s: %v; it is %s, by %s, with evidence %s", serial, what, err, d.Verdict.Summary(), rules(d), evidence(d))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// seen waits until the nerve, which probes at its own pace, says so of the disk, and returns it.
func (h *host) seen(t testing.TB, serial, what string, is func(glia.DiskStatus) bool) glia.DiskStatus {
	t.Helper()
	limit := time.After(patience)
	for {
		disks, err := h.Disks(t.Context())
		d := disks[serial]
		if err == nil && is(d) {
			return d
		}
		select {
		case <-h.Ended():
			t.Fatal("the machine has ended")
		case <-limit:
			t.Fatalf("%s is not %s: %v; it is %s, by %s, with evidence %s", serial, what, err, d.Verdict.Summary(), rules(d), evidence(d))
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// judged waits for a verdict that rests on a rule.
func (h *host) judged(t testing.TB, serial string, want glia.State, rule string) glia.DiskStatus {
	t.Helper()
	d := h.await(t, serial, fmt.Sprintf("%s by %s", want, rule), func(d glia.DiskStatus) bool {
		return d.Verdict.State == want && slices.Contains(rules(d), rule)
	})
	t.Logf("%s is %s; rules %s", serial, d.Verdict.Summary(), rules(d))
	return d
}

// healthy waits until the disk is healthy.
func (h *host) healthy(t testing.TB, serial string) glia.DiskStatus {
	t.Helper()
	return h.await(t, serial, "healthy", func(d glia.DiskStatus) bool { return d.Verdict.State == glia.StateHealthy })
}

// stays probes a disk some more times, more often than any rule needs to fire, and it must keep its state. A probe that
// could not look in time, as happens on a busy test machine, says nothing and does not count.
func (h *host) stays(t testing.TB, serial string, want glia.State) {
	t.Helper()
	for range 4 {
		d := h.await(t, serial, "known", func(d glia.DiskStatus) bool { return d.Verdict.State != glia.StateUnknown })
		if d.Verdict.State != want {
			t.Fatalf("%s does not stay %s: it is %s, by %s, with evidence %s", serial, want, d.Verdict.Summary(), rules(d), evidence(d))
		}
	}
}

// announced waits until what is announced is as it should be.
func (h *host) announced(t testing.TB, what string, is func(glia.Announcement) bool) {
	t.Helper()
	limit := time.After(patience)
	for {
		a, err := h.registry.Announcement()
		if err == nil && is(a) {
			return
		}
		select {
		case <-h.Ended():
			t.Fatal("the machine has ended")
		case <-limit:
			t.Fatalf("it is not announced that %s: %v; announced is %+v", what, err, a)
		case <-time.After(30 * time.Millisecond):
		}
	}
}

// pull pulls a disk and returns how long it took until that was announced.
func (h *host) pull(t testing.TB, d lab.Disk) time.Duration {
	t.Helper()
	began := time.Now()
	if err := h.Pull(d.ID()); err != nil {
		t.Fatal(err)
	}
	h.announced(t, d.Serial+" is missing", func(a glia.Announcement) bool {
		return slices.Contains(a.Bad, glia.BadDisk{Device: d.Serial, State: glia.StateMissing})
	})
	return time.Since(began)
}

// insert puts a disk into the place of one that is announced as missing, and returns how long it took until that one
// was not any more.
func (h *host) insert(t testing.TB, d, old lab.Disk) time.Duration {
	t.Helper()
	began := time.Now()
	if err := h.Insert(d); err != nil {
		t.Fatal(err)
	}
	h.announced(t, old.Serial+" was replaced", func(a glia.Announcement) bool {
		return !slices.Contains(a.Bad, glia.BadDisk{Device: old.Serial, State: glia.StateMissing})
	})
	return time.Since(began)
}

func rules(d glia.DiskStatus) []string {
	var out []string
	for _, r := range d.Verdict.Reasons {
		out = append(out, r.Rule)
	}
	return out
}

// evidence is what speaks against a disk or could not be seen.
func evidence(d glia.DiskStatus) string {
	var out []string
	for _, e := range d.Evidence {
		if e.Value != 0 || e.Unknown != "" {
			out = append(out, fmt.Sprintf("%s=%g %s%s", e.What, e.Value, e.Detail, e.Unknown))
		}
	}
	return strings.Join(out, "; ")
}

// device is the kernel's name of a disk.
func (h *host) device(t testing.TB, serial string) string {
	t.Helper()
	return h.await(t, serial, "there", func(d glia.DiskStatus) bool { return d.Disk.Location.Device != "" }).Disk.DevicePath()
}

// find waits for a disk of a model.
func (h *host) find(t testing.TB, model string) glia.DiskStatus {
	t.Helper()
	limit := time.After(patience)
	for {
		disks, err := h.Disks(t.Context())
		for _, d := range disks {
			if d.Disk.Identity.Model == model {
				return d
			}
		}
		select {
		case <-limit:
			t.Fatalf("no disk of the model %s: %v", model, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
