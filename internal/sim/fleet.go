// Package sim holds a fleet in memory for what real hosts can not show: time, crashes at chosen points
// and faults by the thousand. Its hands obey the same contract as the real one: fenced by epoch,
// idempotent by key, checked by serial and place at the moment of the act.
package sim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"glia"
	"glia/api"
	gliav1 "glia/api/glia/v1"
)

// Disk is one simulated disk.
type Disk struct {
	Serial    string
	Size      uint64
	State     glia.State
	Witnesses []glia.EvidenceClass // of a failing or failed disk
	Content   string               // what stands on it; empty is blank
	Mounted   string               // mount point; empty is not mounted
	Protected string
	NoWrites  bool // fails its burn-in
}

// Host is one simulated host. Slots are named by number.
type Host struct {
	Name   string
	Slots  map[string]*Disk
	Down   bool      // does not answer
	Blind  bool      // its controller hides all disks
	Silent time.Time // when its probing stopped; zero while it probes
	known  map[string]knownDisk
	epoch  uint64
	orders map[string]*gliav1.ExecuteResponse
}

type knownDisk struct {
	disk  glia.Disk
	place string
}

// Fleet is a set of hosts. It is safe for concurrent use through its methods; tests change hosts
// inside Do.
type Fleet struct {
	Now func() time.Time
	// Fault, when set, is asked before each order is carried out (after false) and after it was, but
	// before its answer is heard (after true). An error is what the caller gets instead of the answer.
	Fault func(o *gliav1.Order, after bool) error
	// Acted, when set, hears of each act that changes a disk, with the disk as it was before. It must
	// not call the fleet.
	Acted func(host string, o *gliav1.Order, before Disk)

	mu    sync.Mutex
	hosts map[string]*Host
	acts  []string // what was really done, in order

	lights []string // switched locate lights, in order
}

// NewFleet makes hosts with four mounted disks each.
func NewFleet(now func() time.Time, hosts int) *Fleet {
	f := &Fleet{Now: now, hosts: map[string]*Host{}}
	for i := 1; i <= hosts; i++ {
		h := &Host{Name: fmt.Sprintf("node-%d", i), Slots: map[string]*Disk{}, known: map[string]knownDisk{}, orders: map[string]*gliav1.ExecuteResponse{}}
		for s := 1; s <= 4; s++ {
			serial := fmt.Sprintf("N%dS%d", i, s)
			h.Slots[fmt.Sprint(s)] = &Disk{Serial: serial, Size: 1000, State: glia.StateHealthy, Content: "fs-" + serial, Mounted: fmt.Sprintf("/data/%d", s)}
		}
		f.hosts[h.Name] = h
	}
	return f
}

// Do changes a host.
func (f *Fleet) Do(host string, change func(*Host)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f.hosts[host])
}

// Acts are what hands have really done, as "verb serial".
func (f *Fleet) Acts() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.acts)
}

// Lights are the switched locate lights, as "host place on=true".
func (f *Fleet) Lights() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.lights)
}

// visible are the disks that the kernel of the host sees, by slot.
func (h *Host) visible() map[string]*Disk {
	if h.Blind {
		return nil
	}
	return h.Slots
}

// Fail makes a disk fail with two witnesses.
func (d *Disk) Fail() {
	d.State, d.Witnesses = glia.StateFailed, []glia.EvidenceClass{glia.Media, glia.Filesystem}
}

// View is the fleet as a synapse would show it.
func (f *Fleet) View() (glia.FleetView, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	v := glia.FleetView{At: f.Now()}
	names := make([]string, 0, len(f.hosts))
	for n := range f.hosts {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		h := f.hosts[n]
		disks := f.disks(h)
		hv := glia.HostView{Member: glia.Member{Announcement: glia.NewAnnouncement(h.Name, h.Name+":7411", disks), Status: glia.MemberAlive}, FetchedAt: f.Now()}
		if h.Down {
			hv.Member.Status = glia.MemberGone
		}
		if hv.Member.Announcement.Worst.Bad() {
			hv.Disks = disks
		}
		v.Hosts = append(v.Hosts, hv)
	}
	return v, nil
}

// disks lists what the host's nerve would tell. The caller holds the mutex.
func (f *Fleet) disks(h *Host) []glia.DiskStatus {
	var out []glia.DiskStatus
	here := map[string]bool{}
	places := map[string]bool{}
	for slot, d := range h.visible() {
		s := f.status(h, slot, d)
		h.known[d.Serial] = knownDisk{disk: s.Disk, place: s.Disk.Location.Place()}
		here[d.Serial], places[s.Disk.Location.Place()] = true, true
		out = append(out, s)
	}
	for serial, k := range h.known {
		if here[serial] {
			continue
		}
		if places[k.place] {
			delete(h.known, serial)
			continue
		}
		out = append(out, glia.DiskStatus{Disk: k.disk, Verdict: glia.Verdict{State: glia.StateMissing, Why: "pulled", ObservedAt: f.Now()}})
	}
	slices.SortFunc(out, func(a, b glia.DiskStatus) int { return strings.Compare(a.Disk.Serial(), b.Disk.Serial()) })
	return out
}

func (f *Fleet) status(h *Host, slot string, d *Disk) glia.DiskStatus {
	now := f.Now()
	if !h.Silent.IsZero() {
		now = h.Silent
	}
	disk := glia.Disk{
		Identity: glia.Identity{Serial: d.Serial, Size: d.Size, Class: glia.ClassSSD, Model: "SIM"},
		Location: glia.Location{Host: h.Name, Slot: slot, Device: "sd" + slot}, Protected: d.Protected,
	}
	if d.Mounted != "" {
		disk.Mounts = []glia.Mount{{Source: "sd" + slot, Target: d.Mounted, FSType: "xfs", Options: "rw", Label: "data" + slot, UUID: d.Content}}
	}
	v := glia.Verdict{State: d.State, ObservedAt: now, ExpiresAt: now.Add(time.Hour)}
	for _, w := range d.Witnesses {
		v.Reasons = append(v.Reasons, glia.Reason{Rule: string(w), Class: w, State: d.State, Words: "it fails"})
	}
	return glia.DiskStatus{Disk: disk, Verdict: v}
}

// Disks is part of repairer.Hosts.
func (f *Fleet) Disks(_ context.Context, host string) ([]glia.DiskStatus, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	h := f.hosts[host]
	if h == nil || h.Down {
		return nil, fmt.Errorf("%s: %w", host, glia.ErrUnreachable)
	}
	return f.disks(h), nil
}

// Probe is part of repairer.Hosts.
func (f *Fleet) Probe(ctx context.Context, host, serial string) (glia.DiskStatus, error) {
	disks, err := f.Disks(ctx, host)
	if err != nil {
		return glia.DiskStatus{}, err
	}
	for _, d := range disks {
		if d.Disk.Serial() == serial {
			return d, nil
		}
	}
	return glia.DiskStatus{}, fmt.Errorf("disk %s on %s: %w", serial, host, glia.ErrNotFound)
}

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
	if r := h.orders[o.GetKey()]; r != nil && r.State == gliav1.OrderState_ORDER_STATE_DONE {
		return r, nil
	}
	r := &gliav1.ExecuteResponse{State: gliav1.OrderState_ORDER_STATE_DONE}
	if err := f.carryOut(h, o, r); err != nil {
		r.State, r.Reason = gliav1.OrderState_ORDER_STATE_REFUSED, err.Error()
	}
	h.orders[o.GetKey()] = r
	return r, nil
}

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
		case d.Content != "":
			return fmt.Errorf("can not be used: %s carries %s", d.Serial, d.Content)
		case d.NoWrites:
			r.State, r.Reason = gliav1.OrderState_ORDER_STATE_FAILED, "burn-in: write at byte 0: input/output error"
			return nil
		}
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
