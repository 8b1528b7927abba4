package dev

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Act changes a disk of a demo that runs in a directory; it is the hand of the person who tries it.
type Act struct {
	Dir  string // empty: DefaultDir
	Host string
	Slot int
}

func (a *Act) stage() (slots, error) {
	if a.Dir == "" {
		a.Dir = DefaultDir()
	}
	b, err := os.ReadFile(filepath.Join(a.Dir, "demo.json"))
	if err != nil {
		return nil, fmt.Errorf("no demo runs in %s: start it with glia dev", a.Dir)
	}
	var n note
	if err := json.Unmarshal(b, &n); err != nil {
		return nil, fmt.Errorf("%s/demo.json: %w", a.Dir, err)
	}
	switch {
	case !slices.Contains(hostNames, a.Host):
		return nil, fmt.Errorf("host %q: the demo has %s", a.Host, strings.Join(hostNames, ", "))
	case a.Slot < 1 || a.Slot > disksPerHost:
		return nil, fmt.Errorf("slot %d: the hosts of the demo have slots 1 to %d", a.Slot, disksPerHost)
	case n.Ceph:
		return remoteStage{a.Dir, cephDiskSize}, nil
	case n.Simulated:
		return simulatedStage{a.Dir}, nil
	}
	return realStage{a.Dir}, nil
}

// Fail breaks the disk and returns its serial and how it was broken.
func (a Act) Fail() (serial, how string, err error) {
	s, err := a.stage()
	if err != nil {
		return "", "", err
	}
	if serial, err = s.serial(a.Host, a.Slot); err != nil {
		return "", "", err
	}
	how, err = s.fail(a.Host, a.Slot)
	return serial, how, err
}

// Pull takes the disk out, and returns its serial.
func (a Act) Pull() (string, error) {
	s, err := a.stage()
	if err != nil {
		return "", err
	}
	serial, err := s.serial(a.Host, a.Slot)
	if err != nil {
		return "", err
	}
	return serial, s.pull(a.Host, a.Slot)
}

// Insert puts a disk in: the named one that was pulled before, or, without a serial, a new one, which
// may be too small or carry data. It returns the serial.
func (a Act) Insert(ctx context.Context, serial string, small, used bool) (string, error) {
	s, err := a.stage()
	if err != nil {
		return "", err
	}
	size := s.size()
	if small {
		size /= 2
	}
	if serial == "" {
		serial = a.unusedSerial()
	} else if _, err := os.Stat(filepath.Join(a.Dir, "shelf")); err != nil {
		return "", fmt.Errorf("no disk was pulled yet, so %s can not be put back", serial)
	}
	return serial, s.insert(ctx, a.Host, a.Slot, serial, size, used)
}

// unusedSerial is the first serial of the slot that no disk has had, in it or on the shelf.
func (a Act) unusedSerial() string {
	for nth := 1; nth < 26; nth++ {
		serial := serialOf(a.Host, a.Slot, nth)
		found, _ := filepath.Glob(filepath.Join(a.Dir, "*", "slots", "*", serial+"*")) // the pattern is ours
		osds, _ := filepath.Glob(filepath.Join(a.Dir, "ceph", "disks", "*", "*", serial+"*"))
		shelf, _ := filepath.Glob(filepath.Join(a.Dir, "shelf", serial+"*"))
		if len(found)+len(osds)+len(shelf) == 0 {
			return serial
		}
	}
	return serialOf(a.Host, a.Slot, 25)
}
