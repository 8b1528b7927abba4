// Package devmapper decodes what the device mapper says of the devices that it makes: snapshots and thin
// pools that have overflowed, paths of multipath devices that have failed. It is pure.
//
// It reads the answer of "dmsetup status". A target that it does not know, or whose answer has another form
// than the kernel's sources give it, has the state Unknown, which is neither good nor bad.
package devmapper

import (
	"fmt"
	"strconv"
	"strings"
)

// State is how a target is.
type State string

// The states of targets.
const (
	Good    State = "good"
	Full    State = "full"   // it has run out of space: writes to it, or all of it, fail
	Failed  State = "failed" // it has given up, for another reason
	Unknown State = "unknown"
)

// Target is one segment of a device.
type Target struct {
	Device string // name of the device, as below /dev/mapper
	Type   string // snapshot, thin-pool, thin, multipath, linear…
	State  State
	Words  string // of the kernel, about its state
	Paths  []Path // of multipath
}

// Path is one path of a multipath target.
type Path struct {
	Number string // major:minor
	Failed bool
}

// Decode reads lines "NAME: START LENGTH TYPE ANSWER". The answers are documented with each target in
// Documentation/admin-guide/device-mapper (snapshot.rst, thin-provisioning.rst, dm-init.rst) and made in
// drivers/md, by the status function of the target. No devices is an answer too.
func Decode(status []byte) ([]Target, error) {
	var out []Target
	for line := range strings.Lines(string(status)) {
		line = strings.TrimRight(line, " \n")
		if line == "" || line == "No devices found" {
			continue
		}
		name, rest, found := strings.Cut(line, ": ")
		f := strings.Fields(rest)
		if !found && strings.HasSuffix(line, ":") {
			continue // a device without a table
		}
		if !found || len(f) < 3 || !number(f[0]) || !number(f[1]) {
			return nil, fmt.Errorf("status of the device mapper: %q has not the form NAME: START LENGTH TYPE", line)
		}
		t := Target{Device: name, Type: f[2], State: Unknown, Words: strings.Join(f[3:], " ")}
		answer := f[3:]
		switch t.Type {
		case "snapshot", "snapshot-merge":
			t.State = snapshot(answer)
		case "thin-pool":
			t.State = thinPool(answer)
		case "thin":
			t.State = thin(answer)
		case "multipath":
			t.State, t.Paths = multipath(answer)
		}
		out = append(out, t)
	}
	return out, nil
}

func number(s string) bool { _, err := strconv.ParseUint(s, 10, 64); return err == nil }

// fraction is "used/total".
func fraction(s string) (used, total uint64, ok bool) {
	a, b, found := strings.Cut(s, "/")
	used, err1 := strconv.ParseUint(a, 10, 64)
	total, err2 := strconv.ParseUint(b, 10, 64)
	return used, total, found && err1 == nil && err2 == nil
}

// snapshot: "used/total metadata", or a word (drivers/md/dm-snap.c, snapshot_status). A snapshot that has
// overflowed is invalid: the kernel does not tell the two apart everywhere.
func snapshot(answer []string) State {
	if len(answer) == 0 {
		return Unknown
	}
	switch answer[0] {
	case "Invalid", "Overflow":
		return Full
	case "Merge": // failed
		return Failed
	}
	if _, _, ok := fraction(answer[0]); ok {
		return Good
	}
	return Unknown
}

// thinPool: "id used/total used/total root mode …", or a word (drivers/md/dm-thin.c, pool_status).
func thinPool(answer []string) State {
	if len(answer) == 1 && (answer[0] == "Fail" || answer[0] == "Error") {
		return Failed
	}
	if len(answer) < 5 || !number(answer[0]) {
		return Unknown
	}
	used, total, ok1 := fraction(answer[1])
	_, _, ok2 := fraction(answer[2])
	if !ok1 || !ok2 {
		return Unknown
	}
	switch answer[4] {
	case "out_of_data_space":
		return Full
	case "ro": // it can not write its metadata any more, mostly because there is no space for them
		if used >= total {
			return Full
		}
		return Failed
	case "rw":
		return Good
	}
	return Unknown
}

// thin: "mapped highest" or a word (drivers/md/dm-thin.c, thin_status).
func thin(answer []string) State {
	switch {
	case len(answer) == 1 && (answer[0] == "Fail" || answer[0] == "Error"):
		return Failed
	case len(answer) >= 1 && number(answer[0]):
		return Good
	}
	return Unknown
}

// multipath: features, then the hardware handler's words, then groups of paths, the first three each with
// their number in front (drivers/md/dm-mpath.c, multipath_status).
func multipath(answer []string) (State, []Path) {
	w := words{rest: answer}
	w.skip(w.count()) // features
	w.skip(w.count()) // of the hardware handler
	groups := w.count()
	w.skip(1) // the next group
	var paths []Path
	failed := 0
	for range groups {
		w.skip(1)         // state of the group
		w.skip(w.count()) // of the selector
		n, args := w.count(), w.count()
		for range n {
			p := Path{Number: w.next()}
			state := w.next()
			w.skip(1 + args) // failures so far, and words of the selector
			if w.bad || state != "A" && state != "F" {
				return Unknown, nil
			}
			if p.Failed = state == "F"; p.Failed {
				failed++
			}
			paths = append(paths, p)
		}
	}
	switch {
	case w.bad || len(paths) == 0:
		return Unknown, nil
	case failed == len(paths):
		return Failed, paths
	}
	return Good, paths
}

// words reads an answer from the left.
type words struct {
	rest []string
	bad  bool // it was shorter than it said, or no number was where one belongs
}

func (w *words) next() string {
	if len(w.rest) == 0 {
		w.bad = true
		return ""
	}
	s := w.rest[0]
	w.rest = w.rest[1:]
	return s
}

// count is a number of things that follow, so it is not beyond what is left.
func (w *words) count() int {
	n, err := strconv.Atoi(w.next())
	if err != nil || n < 0 || n > len(w.rest) {
		w.bad = true
		return 0
	}
	return n
}

func (w *words) skip(n int) {
	for range n {
		w.next()
	}
}
