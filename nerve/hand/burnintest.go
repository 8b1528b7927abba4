package hand

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"glia"
	"glia/nerve/disk/selftest"
)

// examination is what a disk says of itself during its burn-in.
type examination struct {
	open   func(device string) (selftest.Device, error)
	device string
	before []selftest.Count // from before the first attempt of this order
	silent string           // why the disk can not be asked; empty when it can
}

// examine looks at the disk before its burn-in. If an attempt of the same order was begun before, the counts
// from before that one stand: what the disk lost since then counts.
func (h *Hand) examine(d glia.Disk, former record) examination {
	x := examination{open: h.opts.SelfTest, device: d.Location.Device}
	r, err := x.look()
	switch {
	case errors.Is(err, selftest.ErrNone):
		x.silent = "no self-test: " + err.Error()
	case err != nil:
		x.silent = "no self-test: the disk can not be asked about itself: " + err.Error()
	}
	x.before = r.Counts
	if len(former.begun.Counts) > 0 {
		x.before = former.begun.Counts
	}
	return x
}

func (x examination) look() (selftest.Report, error) {
	dev, err := x.open(x.device)
	if err != nil {
		return selftest.Report{}, err
	}
	r, err := dev.Look()
	return r, errors.Join(err, dev.Close())
}

// plan is what will be done, for the journal.
func (x examination) plan() string {
	if x.silent != "" {
		return "(nerve itself) " + x.silent
	}
	return "(nerve itself) have the disk run its short self-test, if it offers one"
}

// selfTest has the disk test itself. A test that says nothing is told and not held against the disk, which is
// still to be written and read.
func (x examination) selfTest(ctx context.Context) (words string, err error) {
	if x.silent != "" {
		return x.silent, nil
	}
	dev, err := x.open(x.device)
	if err != nil {
		return "no self-test: " + err.Error(), nil
	}
	defer func() { _ = dev.Close() }() // it was read only
	outcome, words, err := selftest.Run(ctx, dev)
	switch {
	case context.Cause(ctx) != nil:
		return "", fmt.Errorf("interrupted: %w", context.Cause(ctx))
	case err != nil:
		return "no self-test: " + err.Error(), nil
	case outcome == selftest.Failed:
		return words, errors.New(burnInFailed + words)
	case outcome == selftest.Silent:
		return "no result of a self-test: " + words, nil
	}
	return words, nil
}

// compare looks at the disk after its burn-in.
func (x examination) compare() (words string, err error) {
	if len(x.before) == 0 {
		return "the disk does not tell how many sectors it has given up", nil
	}
	r, err := x.look()
	switch {
	case err != nil:
		return "the disk can not be asked again how many sectors it has given up: " + err.Error(), nil
	case len(r.Counts) == 0:
		return "the disk does not tell any more how many sectors it has given up", nil
	}
	if grown := selftest.Grown(x.before, r.Counts); len(grown) > 0 {
		words = strings.Join(grown, "; ")
		return words, errors.New(burnInFailed + "the disk gave up sectors: " + words)
	}
	return "no sector was given up (" + selftest.Words(r.Counts) + ")", nil
}
