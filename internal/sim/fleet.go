// Package sim holds a fleet in memory for what real hosts can not show: time, crashes at chosen points
// and faults by the thousand. Its hands obey the same contract as the real one: fenced by epoch,
// idempotent by key, checked by serial and place at the moment of the act.
package sim

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"glia"
	gliav1 "glia/api/glia/v1"
)

// Disk is one simulated disk.
type Disk struct {
	Serial    string
	Size      uint64
	Model     string // empty: SIM
	Firmware  string
	State     glia.State
	Since     time.Time            // when it came to be in that state; zero: it is not told
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
	Down   bool          // does not answer
	Blind  bool          // its controller hides all disks
	Silent time.Time     // when its probing stopped; zero while it probes
	Ahead  time.Duration // its clock, of the right time
	Slow   int           // how often an order is told to be running before its outcome is
	Dies   bool          // the hand dies in the midst of the next burn-in, once

	Prober, RuleSet string

	known   map[string]knownDisk
	epoch   uint64
	orders  map[string]*gliav1.ExecuteResponse
	running map[string]int // by key: how often it is told still that the order runs
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

	unfit  []string // host and serial of the disks that have failed a burn-in
	lights []string // switched locate lights, in order
}

// NewFleet makes hosts with four mounted disks each.
func NewFleet(now func() time.Time, hosts int) *Fleet {
	f := &Fleet{Now: now, hosts: map[string]*Host{}}
	for i := 1; i <= hosts; i++ {
		h := &Host{Name: fmt.Sprintf("node-%d", i), Slots: map[string]*Disk{}, known: map[string]knownDisk{}, orders: map[string]*gliav1.ExecuteResponse{}, running: map[string]int{}}
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

// Unfit says whether a disk has failed a burn-in in a host, wherever it is now.
func (f *Fleet) Unfit(host, serial string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Contains(f.unfit, host+" "+serial)
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
	now = now.Add(h.Ahead)
	disk := glia.Disk{
		Identity: glia.Identity{Serial: d.Serial, Size: d.Size, Class: glia.ClassSSD, Model: cmp.Or(d.Model, "SIM"), Firmware: d.Firmware},
		Location: glia.Location{Host: h.Name, Slot: slot, Device: "sd" + slot}, Protected: d.Protected,
	}
	if d.Mounted != "" {
		disk.Mounts = []glia.Mount{{Source: "sd" + slot, Target: d.Mounted, FSType: "xfs", Options: "rw", Label: "data" + slot, UUID: d.Content}}
	}
	v := glia.Verdict{State: d.State, ObservedAt: now, ExpiresAt: now.Add(time.Hour), Prober: h.Prober, RuleSet: h.RuleSet}
	for _, w := range d.Witnesses {
		v.Reasons = append(v.Reasons, glia.Reason{Rule: string(w), Class: w, State: d.State, Words: "it fails", Since: d.Since})
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
