package kill_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"connectrpc.com/connect"

	"glia"
	"glia/api"
	gliav1 "glia/api/glia/v1"
	"glia/api/glia/v1/gliav1connect"
)

const (
	hostName = "node-1"
	badSlot  = "2"
	badDisk  = "S2"
	newDisk  = "NEW1"
	diskSize = 1 << 30
	viewPace = 50 * time.Millisecond
)

// host is a storage host with directories for disks, SLOT/SERIAL below slots, and the synapse that
// shows it. It outlives the repairer and is the referee: the file acts gets a line for each act that
// is really carried out. Orders are fenced by epoch and repeated by key as the real hand does, but a
// second act under another key is carried out, or refused where the disk is not as it should be.
// It is safe for concurrent use.
type host struct {
	gliav1connect.UnimplementedHostServiceHandler
	gliav1connect.UnimplementedFleetServiceHandler
	dir string
	api string // host:port

	mu       sync.Mutex
	epoch    uint64
	done     map[string]*gliav1.ExecuteResponse
	orders   []order
	dark     bool         // the locate lights can not be switched
	bad      string       // serial of a new disk that does not pass its burn-in
	rejoined time.Time    // when the new disk was; until one list of disks was told after it
	swap     func() error // to do once an inspection was answered; nil after it
}

func newHost(dir string) (*host, error) {
	h := &host{dir: dir, done: map[string]*gliav1.ExecuteResponse{}}
	var errs []error
	for _, slot := range []string{"1", "2", "3"} {
		errs = append(errs, h.put(slot, "S"+slot), h.set(slot, "S"+slot, "fs", oldUUID(slot)), h.set(slot, "S"+slot, "mounted", target(slot)))
	}
	return h, errors.Join(append(errs, h.set(badSlot, badDisk, "broken", "yes"))...)
}

func oldUUID(slot string) string { return "00000000-0000-4000-8000-00000000000" + slot }
func target(slot string) string  { return "/data/" + slot }

func (h *host) disk(slot, serial string) string { return filepath.Join(h.dir, "slots", slot, serial) }

// put plugs a disk in, with what was on it when it was pulled.
func (h *host) put(slot, serial string) error {
	d := h.disk(slot, serial)
	if err := os.MkdirAll(filepath.Dir(d), 0o755); err != nil {
		return err
	}
	err := os.Rename(filepath.Join(h.dir, serial), d)
	if errors.Is(err, os.ErrNotExist) {
		return os.Mkdir(d, 0o755)
	}
	return err
}

func (h *host) pull(slot, serial string) error {
	return os.Rename(h.disk(slot, serial), filepath.Join(h.dir, serial))
}

func (h *host) set(slot, serial, name, value string) error {
	return os.WriteFile(filepath.Join(h.disk(slot, serial), name), []byte(value), 0o600)
}

func (h *host) get(slot, serial, name string) string {
	b, _ := os.ReadFile(filepath.Join(h.disk(slot, serial), name)) // an absent file is an empty value
	return string(b)
}

// did notes an act in the host's own account.
func (h *host) did(act string) error {
	f, err := os.OpenFile(filepath.Join(h.dir, "acts"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, act)
	return errors.Join(err, f.Close())
}

func (h *host) acts() string {
	b, _ := os.ReadFile(filepath.Join(h.dir, "acts")) // none yet
	return string(b)
}

// disks lists what is plugged in.
func (h *host) disks() ([]glia.DiskStatus, error) {
	dirs, err := filepath.Glob(filepath.Join(h.dir, "slots", "*", "*"))
	if err != nil {
		return nil, err
	}
	now := time.Now()
	var out []glia.DiskStatus
	for _, dir := range dirs {
		slot, serial := filepath.Base(filepath.Dir(dir)), filepath.Base(dir)
		s := glia.DiskStatus{
			Disk: glia.Disk{
				Identity: glia.Identity{Serial: serial, Model: "directory", Size: diskSize, Class: glia.ClassSSD},
				Location: glia.Location{Host: hostName, Slot: slot, Device: "dir" + slot},
			},
			Verdict: glia.Verdict{State: glia.StateHealthy, ObservedAt: now, ExpiresAt: now.Add(time.Hour)},
		}
		if m := h.get(slot, serial, "mounted"); m != "" {
			s.Disk.Mounts = []glia.Mount{{Source: "dir" + slot, Target: m, FSType: "ext4", Options: "rw", Label: "d" + slot, UUID: h.get(slot, serial, "fs")}}
		}
		if h.get(slot, serial, "broken") != "" {
			s.Verdict.State = glia.StateFailed
			for _, class := range []glia.EvidenceClass{glia.Media, glia.Filesystem} {
				s.Verdict.Reasons = append(s.Verdict.Reasons, glia.Reason{Rule: string(class), Class: class, State: glia.StateFailed, Words: "it fails"})
			}
		}
		out = append(out, s)
	}
	return out, nil
}

// ListDisks is part of the nerve's API. The first list after the rejoin tells of a probe before it, so
// that the repairer always has to wait for the next one.
func (h *host) ListDisks(context.Context, *connect.Request[gliav1.ListDisksRequest]) (*connect.Response[gliav1.ListDisksResponse], error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	disks, err := h.disks()
	if err != nil {
		return nil, err
	}
	if !h.rejoined.IsZero() {
		for i := range disks {
			disks[i].Verdict.ObservedAt = h.rejoined
		}
		h.rejoined = time.Time{}
	}
	return connect.NewResponse(&gliav1.ListDisksResponse{Host: hostName, Generation: 1, Disks: api.DiskStatusesToProto(disks)}), nil
}

// ProbeDisk is part of the nerve's API.
func (h *host) ProbeDisk(_ context.Context, r *connect.Request[gliav1.ProbeDiskRequest]) (*connect.Response[gliav1.ProbeDiskResponse], error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	disks, err := h.disks()
	if err != nil {
		return nil, err
	}
	for _, d := range disks {
		if d.Disk.Serial() == r.Msg.GetSerial() {
			return connect.NewResponse(&gliav1.ProbeDiskResponse{Disk: api.DiskStatusToProto(d)}), nil
		}
	}
	return nil, connect.NewError(connect.CodeNotFound, glia.ErrNotFound)
}

// Fence is part of the nerve's API.
func (h *host) Fence(_ context.Context, r *connect.Request[gliav1.FenceRequest]) (*connect.Response[gliav1.FenceResponse], error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.admit(r.Msg.GetEpoch()); err != nil {
		return nil, err
	}
	return connect.NewResponse(&gliav1.FenceResponse{}), nil
}

// admit refuses older epochs.
func (h *host) admit(epoch uint64) error {
	if epoch < h.epoch {
		return connect.NewError(connect.CodeAborted, fmt.Errorf("epoch %d, the newest is %d: %w", epoch, h.epoch, glia.ErrStaleEpoch))
	}
	h.epoch = epoch
	return nil
}

// order is one that was accepted.
type order struct {
	epoch uint64
	at    time.Time
}

// accepted are the orders since the first n.
func (h *host) accepted(n int) []order {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.orders[n:])
}

// Execute is part of the nerve's API. A format is told to run still when it is ordered, and to be done
// when it is asked about, as one that takes its time.
func (h *host) Execute(_ context.Context, r *connect.Request[gliav1.ExecuteRequest]) (*connect.Response[gliav1.ExecuteResponse], error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	o := r.Msg.GetOrder()
	if err := h.admit(o.GetEpoch()); err != nil {
		return nil, err
	}
	h.orders = append(h.orders, order{o.GetEpoch(), time.Now()})
	if known := h.done[o.GetKey()]; known != nil {
		return connect.NewResponse(known), nil
	}
	disks, err := h.disks()
	if err != nil {
		return nil, err
	}
	if o.GetVerb() == gliav1.Verb_VERB_BURN_IN && o.GetSerial() == h.bad {
		return connect.NewResponse(&gliav1.ExecuteResponse{State: gliav1.OrderState_ORDER_STATE_FAILED, Reason: "burn-in: it reads back something else"}), nil
	}
	answer := &gliav1.ExecuteResponse{State: gliav1.OrderState_ORDER_STATE_DONE}
	if err := h.carryOut(o, disks, answer); err != nil {
		return connect.NewResponse(&gliav1.ExecuteResponse{State: gliav1.OrderState_ORDER_STATE_REFUSED, Reason: err.Error()}), nil
	}
	h.done[o.GetKey()] = answer
	if h.swap != nil && o.GetVerb() == gliav1.Verb_VERB_INSPECT {
		if err := h.swap(); err != nil {
			return nil, err
		}
		h.swap = nil
	}
	if o.GetVerb() == gliav1.Verb_VERB_FORMAT {
		answer = &gliav1.ExecuteResponse{State: gliav1.OrderState_ORDER_STATE_RUNNING}
	}
	return connect.NewResponse(answer), nil
}

func (h *host) carryOut(o *gliav1.Order, disks []glia.DiskStatus, answer *gliav1.ExecuteResponse) error {
	if o.GetVerb() == gliav1.Verb_VERB_LOCATE { // the light is the place's, whatever is in it
		if h.dark {
			return errors.New("there is no such light")
		}
		return h.did(fmt.Sprintf("locate %s %t", o.GetPlace(), o.GetOn()))
	}
	for _, s := range disks {
		slot, serial := s.Disk.Location.Slot, s.Disk.Serial()
		switch {
		case s.Disk.Location.Place() != o.GetPlace():
			continue
		case o.GetVerb() == gliav1.Verb_VERB_INSPECT:
			answer.Inspection = &gliav1.Inspection{Disk: api.DiskToProto(s.Disk), Acceptable: true}
			if h.get(slot, serial, "fs") != "" {
				answer.Inspection.Acceptable, answer.Inspection.Findings = false, []string{serial + " carries a filesystem"}
			}
			return nil
		case serial != o.GetSerial():
			return fmt.Errorf("%s is in %s, not %s", serial, o.GetPlace(), o.GetSerial())
		}
		if err := h.act(o, slot, serial); err != nil {
			return err
		}
		return h.did(verb(o) + " " + serial)
	}
	return fmt.Errorf("%s is not in %s", o.GetSerial(), o.GetPlace())
}

// act changes the directory, if the act is due.
func (h *host) act(o *gliav1.Order, slot, serial string) error {
	fs, mounted := h.get(slot, serial, "fs"), h.get(slot, serial, "mounted")
	switch o.GetVerb() {
	case gliav1.Verb_VERB_UNMOUNT:
		if mounted == "" {
			return fmt.Errorf("%s is not mounted", serial)
		}
		return h.set(slot, serial, "mounted", "")
	case gliav1.Verb_VERB_FORMAT:
		if fs != "" {
			return fmt.Errorf("%s carries a filesystem", serial)
		}
		return h.set(slot, serial, "fs", o.GetFilesystem().GetUuid())
	case gliav1.Verb_VERB_MOUNT:
		if fs != o.GetFilesystem().GetUuid() || mounted != "" {
			return fmt.Errorf("%s carries %q and is mounted on %q", serial, fs, mounted)
		}
		return h.set(slot, serial, "mounted", o.GetFilesystem().GetTarget())
	case gliav1.Verb_VERB_REJOIN:
		h.rejoined = time.Now()
	}
	return nil
}

// WatchFleet is the synapse's API: the whole view, again and again.
func (h *host) WatchFleet(ctx context.Context, _ *connect.Request[gliav1.WatchFleetRequest], stream *connect.ServerStream[gliav1.WatchFleetResponse]) error {
	t := time.NewTicker(viewPace)
	defer t.Stop()
	for {
		h.mu.Lock()
		disks, err := h.disks()
		h.mu.Unlock()
		if err != nil {
			return err
		}
		v := glia.FleetView{At: time.Now(), Hosts: []glia.HostView{{
			Member: glia.Member{Announcement: glia.NewAnnouncement(hostName, h.api, disks), Status: glia.MemberAlive}, Disks: disks, FetchedAt: time.Now(),
		}}}
		if err := stream.Send(&gliav1.WatchFleetResponse{View: api.FleetViewToProto(v)}); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
		}
	}
}
