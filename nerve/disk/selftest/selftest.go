// Package selftest starts a disk's own short self-test, and reads how that went and how many sectors the disk
// has given up, so that a new disk can be compared before and after it was worked.
//
// The short self-test writes nothing and takes a minute or two. Nothing else that is sent changes a disk.
// A disk that offers neither test nor counts is ErrNone, with the reason in words; that is not held against
// it. What can not be read is an error, and never a count of zero.
package selftest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"glia/nerve/disk/smart"
)

// ErrNone says that the disk offers no self-test and no counts: a loop device, a disk of a virtual machine,
// one behind a RAID controller or a USB bridge.
var ErrNone = smart.ErrNone

// Device is one disk. It is used by one goroutine.
type Device interface {
	// Look reads the counts and how the self-test stands. It wakes a disk that sleeps.
	Look() (Report, error)
	// Start begins the short self-test, which ends one that runs. Only a disk whose report Offers one is
	// asked.
	Start() error
	Close() error
}

// Count is how much of one kind of damage the disk has counted in its life.
type Count struct {
	Name  string `json:"name"`
	Value uint64 `json:"value"`
}

// Report is what a disk tells.
type Report struct {
	Counts  []Count
	Offers  bool // a short self-test
	Expect  time.Duration
	Running bool // a self-test, short or not
	Last    smart.SelfTest
	Tests   int // entries in the disk's own record; 0: Last is nothing
}

// Grown says which counts are higher after than before, one sentence each. A count that is not in both is not
// compared: a disk that stops telling is not a disk that got worse.
func Grown(before, after []Count) []string {
	var out []string
	for _, b := range before {
		i := slices.IndexFunc(after, func(a Count) bool { return a.Name == b.Name })
		if i >= 0 && after[i].Value > b.Value {
			out = append(out, fmt.Sprintf("%s grew from %d to %d", b.Name, b.Value, after[i].Value))
		}
	}
	return out
}

// Words are the counts for people: "reallocated sectors 0, pending sectors 0".
func Words(counts []Count) string {
	var out []string
	for _, c := range counts {
		out = append(out, fmt.Sprintf("%s %d", c.Name, c.Value))
	}
	return strings.Join(out, ", ")
}

// Patience is how long a test that should take expect is waited for: four times that, because other requests
// hold it up, and at least five minutes.
func Patience(expect time.Duration) time.Duration { return max(4*expect, 5*time.Minute) }

// Outcome is what a self-test said.
type Outcome int

// The outcomes. Silent is a test that was broken off, or whose end nobody could read: it says nothing about
// the disk.
const (
	Waiting Outcome = iota
	Passed
	Failed
	Silent
)

// Judge says how the self-test stands that was begun at a time, by the report from before it and the newest
// one. The record of an older test is not taken for the record of this one.
func Judge(before, r Report, begun, now time.Time) (Outcome, string) {
	switch {
	case r.Running && now.Sub(begun) >= Patience(r.Expect):
		return Silent, fmt.Sprintf("the short self-test still ran after %s", Patience(r.Expect))
	case r.Running:
		return Waiting, "the short self-test is running"
	case r.Tests == 0 || !before.Running && r.Tests == before.Tests && r.Last == before.Last:
		return Silent, "the disk has no record of the short self-test"
	}
	switch r.Last.Result {
	case smart.SelfTestPassed:
		return Passed, "the short self-test passed"
	case smart.SelfTestFailed:
		words := "the short self-test failed"
		if r.Last.Part != "" {
			words += " (" + r.Last.Part + ")"
		}
		if r.Last.HasLBA {
			words += fmt.Sprintf(" at sector %d", r.Last.LBA)
		}
		return Failed, words
	case smart.SelfTestRunning:
		return Waiting, "the short self-test is running"
	}
	return Silent, "the short self-test " + r.Last.Result.String()
}

// pause is the time between two looks at a test that runs.
const pause = 5 * time.Second

// Run starts the short self-test and waits for its end. One that runs already is waited for and not begun
// anew: a former nerve may have started it. When ctx ends, the test goes on and its cause is returned.
func Run(ctx context.Context, d Device) (Outcome, string, error) {
	before, err := d.Look()
	if err != nil {
		return Silent, "", err
	}
	switch {
	case !before.Offers:
		return Silent, "the disk offers no short self-test", nil
	case before.Running:
	default:
		if err := d.Start(); err != nil {
			return Silent, "", fmt.Errorf("start the short self-test: %w", err)
		}
	}
	begun := time.Now()
	for {
		select {
		case <-ctx.Done():
			return Silent, "", context.Cause(ctx)
		case <-time.After(pause):
		}
		r, err := d.Look()
		if err != nil {
			return Silent, "", err
		}
		if outcome, words := Judge(before, r, begun, time.Now()); outcome != Waiting {
			return outcome, words, nil
		}
	}
}
