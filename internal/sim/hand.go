package sim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"glia"
	"glia/api"
	gliav1 "glia/api/glia/v1"
)

// Fence is part of repairer.Hosts.
func (f *Fleet) Fence(_ context.Context, host string, epoch uint64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	h := f.hosts[host]
	switch {
	case h == nil || h.Down:
		return fmt.Errorf("%s: %w", host, glia.ErrUnreachable)
	case epoch < h.epoch:
		return fmt.Errorf("epoch %d, the newest is %d: %w", epoch, h.epoch, glia.ErrStaleEpoch)
	}
	h.epoch = epoch
	return nil
}

// Heard is the newest epoch that the hand of a host has heard of.
func (f *Fleet) Heard(host string) uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	if h := f.hosts[host]; h != nil {
		return h.epoch
	}
	return 0
}

// Execute is part of repairer.Hosts.
func (f *Fleet) Execute(_ context.Context, host string, o *gliav1.Order) (*gliav1.ExecuteResponse, error) {
	if f.Fault != nil {
		if err := f.Fault(o, false); err != nil {
			return nil, err
		}
	}
	r, err := f.execute(host, o)
	if err == nil && f.Fault != nil {
		if err := f.Fault(o, true); err != nil {
			return nil, err
		}
	}
	return r, err
}

func (f *Fleet) execute(host string, o *gliav1.Order) (*gliav1.ExecuteResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	h := f.hosts[host]
	if h == nil || h.Down {
		return nil, fmt.Errorf("%s: %w", host, glia.ErrUnreachable)
	}
	if o.GetEpoch() < h.epoch {
		return nil, fmt.Errorf("order of epoch %d, the newest is %d: %w", o.GetEpoch(), h.epoch, glia.ErrStaleEpoch)
	}
	h.epoch = o.GetEpoch()
	if n, runs := h.running[o.GetKey()]; runs {
		if n > 1 {
			h.running[o.GetKey()] = n - 1
			return &gliav1.ExecuteResponse{State: gliav1.OrderState_ORDER_STATE_RUNNING}, nil
		}
		delete(h.running, o.GetKey())
		return h.orders[o.GetKey()], nil
	}
	if r := h.orders[o.GetKey()]; r != nil && r.State == gliav1.OrderState_ORDER_STATE_DONE {
		return r, nil
	}
	r := &gliav1.ExecuteResponse{State: gliav1.OrderState_ORDER_STATE_DONE}
	switch err := f.carryOut(h, o, r); {
	case errors.Is(err, errDied):
		return nil, fmt.Errorf("%s: %w: %w", host, glia.ErrUnreachable, err)
	case err != nil:
		r.State, r.Reason = gliav1.OrderState_ORDER_STATE_REFUSED, err.Error()
	}
	h.orders[o.GetKey()] = r
	if h.Slow > 0 {
		h.running[o.GetKey()] = h.Slow // what runs goes on, whoever leads by then
		return &gliav1.ExecuteResponse{State: gliav1.OrderState_ORDER_STATE_RUNNING}, nil
	}
	return r, nil
}

// errDied is a hand that died in the midst of an order, and was started again.
var errDied = errors.New("the nerve died")

// leftBy is what a burn-in that was cut short leaves on its disk. The same order goes on with it.
func leftBy(o *gliav1.Order) string { return "the samples of burn-in " + o.GetKey() }

// has says whether the disk is anywhere in the host.
func (h *Host) has(serial string) bool {
	for _, d := range h.visible() {
		if d.Serial == serial {
			return true
		}
	}
	return false
}

func (f *Fleet) carryOut(h *Host, o *gliav1.Order, r *gliav1.ExecuteResponse) error {
	switch o.GetVerb() {
	case gliav1.Verb_VERB_INSPECT:
		r.Inspection = f.inspect(h, o)
		return nil
	case gliav1.Verb_VERB_LOCATE:
		f.lights = append(f.lights, fmt.Sprintf("%s %s on=%t", h.Name, o.GetPlace(), o.GetOn()))
		r.Commands = []string{fmt.Sprintf("light of %s on=%t", o.GetPlace(), o.GetOn())}
		return nil
	}
	var d *Disk
	for slot, x := range h.visible() {
		if x.Serial == o.GetSerial() && (glia.Location{Slot: slot}).Place() == o.GetPlace() {
			d = x
		}
	}
	if d == nil && o.GetVerb() == gliav1.Verb_VERB_BURN_IN {
		return fmt.Errorf("can not be told yet: %s is not in %s", o.GetSerial(), o.GetPlace())
	}
	// As at the real hand: of a disk that is gone from the host, the drain hook may run and the dead
	// mount is taken out of the tree.
	if v := o.GetVerb(); d == nil && (v == gliav1.Verb_VERB_DRAIN || v == gliav1.Verb_VERB_UNMOUNT) && !h.has(o.GetSerial()) {
		return nil
	}
	if d == nil {
		return fmt.Errorf("%s is not in %s", o.GetSerial(), o.GetPlace())
	}
	if d.Protected != "" {
		return errors.New(d.Protected)
	}
	before := *d
	switch o.GetVerb() {
	case gliav1.Verb_VERB_UNMOUNT:
		if d.Mounted == "" {
			return nil
		}
		d.Mounted = ""
	case gliav1.Verb_VERB_BURN_IN:
		switch {
		case d.Content != "" && d.Content != leftBy(o):
			return fmt.Errorf("can not be used: %s carries %s", d.Serial, d.Content)
		case d.NoWrites:
			f.unfit = append(f.unfit, h.Name+" "+d.Serial)
			r.State, r.Reason = gliav1.OrderState_ORDER_STATE_FAILED, "burn-in: write at byte 0: input/output error"
			return nil
		case h.Dies:
			h.Dies, d.Content = false, leftBy(o)
			return errDied
		}
		d.Content = ""
	case gliav1.Verb_VERB_FORMAT:
		if d.Content == o.GetFilesystem().GetUuid() {
			return nil
		}
		if d.Content != "" {
			return fmt.Errorf("%s carries %s", d.Serial, d.Content)
		}
		d.Content = o.GetFilesystem().GetUuid()
	case gliav1.Verb_VERB_MOUNT:
		if d.Mounted == o.GetFilesystem().GetTarget() {
			return nil
		}
		d.Mounted = o.GetFilesystem().GetTarget()
	}
	if f.Acted != nil {
		f.Acted(h.Name, o, before)
	}
	f.acts = append(f.acts, strings.ToLower(strings.TrimPrefix(o.GetVerb().String(), "VERB_"))+" "+d.Serial)
	return nil
}

func (f *Fleet) inspect(h *Host, o *gliav1.Order) *gliav1.Inspection {
	in := &gliav1.Inspection{}
	for slot, d := range h.visible() {
		s := f.status(h, slot, d)
		if s.Disk.Location.Place() != o.GetPlace() {
			continue
		}
		in.Disk = api.DiskToProto(s.Disk)
		switch {
		case d.Serial == o.GetSerial():
			in.Findings = append(in.Findings, "it is still the old disk")
		case slices.Contains(o.GetRetired(), d.Serial):
			in.Findings = append(in.Findings, "it is a retired disk")
		}
		if d.Size < o.GetMinSize() {
			in.Findings = append(in.Findings, fmt.Sprintf("it has %d bytes, %d are needed", d.Size, o.GetMinSize()))
		}
		if d.Content != "" {
			in.Findings = append(in.Findings, "it carries "+d.Content)
		}
	}
	if in.Disk == nil {
		in.Findings = append(in.Findings, o.GetPlace()+" is empty")
	}
	in.Acceptable = len(in.Findings) == 0
	return in
}
