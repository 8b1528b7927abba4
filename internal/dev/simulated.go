package dev

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"glia"
	"glia/api"
	gliav1 "glia/api/glia/v1"
	"glia/internal/program/nerved"
)

// simulatedStage has directories for disks, for machines without root or loop devices. A disk is
// DIR/HOST/slots/SLOT/SERIAL with the files size, and as they apply fs (the UUID of its filesystem),
// mounted (where) and broken. Serf, the API, synapse and repairer are as real as ever.
type simulatedStage struct{ dir string }

func (s simulatedStage) words() string {
	return "plain directories. SIMULATED are the disks, their filesystems and the hand; Serf, the API, synapse, repairer and tickets are real"
}

func (s simulatedStage) size() int64 { return diskSize }

func (s simulatedStage) slotDir(host string, slot int) string {
	return filepath.Join(s.dir, host, "slots", strconv.Itoa(slot))
}

func (s simulatedStage) globs(string) []string { return nil }

func (s simulatedStage) prepare(context.Context) error {
	for _, host := range hostNames {
		for slot := 1; slot <= disksPerHost; slot++ {
			serial := serialOf(host, slot, 0)
			if err := s.put(host, slot, serial, diskSize); err != nil {
				return err
			}
			d := filepath.Join(s.slotDir(host, slot), serial)
			if err := errors.Join(set(d, "fs", fmt.Sprintf("00000000-0000-4000-8000-%012d", slot)), set(d, "mounted", filepath.Join(s.dir, host, "data", strconv.Itoa(slot)))); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s simulatedStage) put(host string, slot int, serial string, size int64) error {
	d := filepath.Join(s.slotDir(host, slot), serial)
	return errors.Join(os.MkdirAll(d, 0o755), set(d, "size", strconv.FormatInt(size, 10)))
}

func set(dir, name, value string) error {
	return os.WriteFile(filepath.Join(dir, name), []byte(value), 0o600)
}

func get(dir, name string) string {
	b, _ := os.ReadFile(filepath.Join(dir, name)) // an absent file is an empty value
	return string(b)
}

func (s simulatedStage) serial(host string, slot int) (string, error) {
	list, err := os.ReadDir(s.slotDir(host, slot))
	if err != nil || len(list) == 0 {
		return "", errors.Join(fmt.Errorf("slot %d of %s is empty", slot, host), err)
	}
	return list[0].Name(), nil
}

func (s simulatedStage) fail(host string, slot int) (string, error) {
	serial, err := s.serial(host, slot)
	if err != nil {
		return "", err
	}
	return "its simulated reads now fail", set(filepath.Join(s.slotDir(host, slot), serial), "broken", "yes")
}

func (s simulatedStage) pull(host string, slot int) error {
	serial, err := s.serial(host, slot)
	if err != nil {
		return err
	}
	shelf := filepath.Join(s.dir, "shelf")
	if err := os.MkdirAll(shelf, 0o755); err != nil {
		return err
	}
	return os.Rename(filepath.Join(s.slotDir(host, slot), serial), filepath.Join(shelf, serial))
}

func (s simulatedStage) insert(_ context.Context, host string, slot int, serial string, size int64, used bool) error {
	if old, err := s.serial(host, slot); err == nil {
		return fmt.Errorf("slot %d of %s holds %s: pull that first", slot, host, old)
	}
	d := filepath.Join(s.slotDir(host, slot), serial)
	if err := os.Rename(filepath.Join(s.dir, "shelf", serial), d); err == nil {
		return nil
	}
	err := s.put(host, slot, serial, size)
	if used {
		err = errors.Join(err, set(d, "fs", "11111111-0000-4000-8000-000000000000"))
	}
	return err
}

func (s simulatedStage) parts(host string) nerved.Parts {
	h := &simulatedHost{stage: s, host: host, done: map[string]*gliav1.ExecuteResponse{}}
	return nerved.Parts{Inventory: h, Prober: h, Hand: h}
}

// simulatedHost is inventory, prober and hand of one host. It is safe for concurrent use.
type simulatedHost struct {
	stage simulatedStage
	host  string

	mu    sync.Mutex
	epoch uint64
	done  map[string]*gliav1.ExecuteResponse
}

func (h *simulatedHost) dir(d glia.Disk) string {
	return filepath.Join(h.stage.dir, h.host, "slots", d.Location.Slot, d.Serial())
}

// Scan lists the directories.
func (h *simulatedHost) Scan(context.Context) ([]glia.Disk, error) {
	dirs, err := filepath.Glob(filepath.Join(h.stage.dir, h.host, "slots", "*", "*"))
	if err != nil {
		return nil, err
	}
	var out []glia.Disk
	for _, dir := range dirs {
		slot := filepath.Base(filepath.Dir(dir))
		size, _ := strconv.ParseUint(get(dir, "size"), 10, 64) // half-written: 0, which no gate lets pass
		d := glia.Disk{
			Identity: glia.Identity{Serial: filepath.Base(dir), Model: "simulated", Size: size, Class: glia.ClassSSD},
			Location: glia.Location{Host: h.host, Slot: slot, Device: "sim" + slot},
		}
		if m := get(dir, "mounted"); m != "" {
			d.Mounts = []glia.Mount{{Source: d.Location.Device, Target: m, FSType: "ext4", Options: "rw", Label: "d" + slot, UUID: get(dir, "fs")}}
		}
		out = append(out, d)
	}
	return out, nil
}

// Probe tells whether the directory has the file broken.
func (h *simulatedHost) Probe(_ context.Context, d glia.Disk) []glia.Evidence {
	bad, detail := 0.0, ""
	if get(h.dir(d), "broken") != "" {
		bad, detail = 1, "simulated"
	}
	now := time.Now()
	out := []glia.Evidence{{Class: glia.Media, Source: "read", What: "read.errors", Value: bad, Detail: detail, At: now}}
	if len(d.Mounts) > 0 {
		out = append(out, glia.Evidence{Class: glia.Filesystem, Source: "write", What: "fs.readback_errors", Value: bad, Detail: detail, At: now})
	}
	return out
}

// Fence makes older epochs be refused, as the real hand does.
func (h *simulatedHost) Fence(epoch uint64) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if epoch < h.epoch {
		return fmt.Errorf("epoch %d, the newest is %d: %w", epoch, h.epoch, glia.ErrStaleEpoch)
	}
	h.epoch = epoch
	return nil
}

// Execute does to the directory what the real hand does to a disk.
func (h *simulatedHost) Execute(ctx context.Context, o *gliav1.Order) (*gliav1.ExecuteResponse, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if o.GetEpoch() < h.epoch {
		return nil, fmt.Errorf("order of epoch %d, the newest is %d: %w", o.GetEpoch(), h.epoch, glia.ErrStaleEpoch)
	}
	h.epoch = o.GetEpoch()
	if r := h.done[o.GetKey()]; r != nil {
		return r, nil
	}
	disks, err := h.Scan(ctx)
	if err != nil {
		return nil, err
	}
	r := &gliav1.ExecuteResponse{State: gliav1.OrderState_ORDER_STATE_DONE, Output: "simulated"}
	if err := h.carryOut(o, disks, r); err != nil {
		r.State, r.Reason = gliav1.OrderState_ORDER_STATE_REFUSED, err.Error()
		return r, nil
	}
	h.done[o.GetKey()] = r
	return r, nil
}

func (h *simulatedHost) carryOut(o *gliav1.Order, disks []glia.Disk, r *gliav1.ExecuteResponse) error {
	if o.GetVerb() == gliav1.Verb_VERB_LOCATE {
		r.Output = "no locate light known for " + o.GetPlace() + ": simulated"
		return nil
	}
	for _, d := range disks {
		if d.Location.Place() != o.GetPlace() {
			continue
		}
		if o.GetVerb() == gliav1.Verb_VERB_INSPECT {
			r.Inspection = inspect(o, d, get(h.dir(d), "fs"))
			return nil
		}
		if d.Serial() != o.GetSerial() {
			return fmt.Errorf("%s%s is in %s, not %s", untold(o), d.Serial(), o.GetPlace(), o.GetSerial())
		}
		switch fs := o.GetFilesystem(); o.GetVerb() {
		case gliav1.Verb_VERB_BURN_IN:
			if get(h.dir(d), "fs") != "" {
				return fmt.Errorf("can not be used: %s carries a filesystem", d.Serial())
			}
			return nil
		case gliav1.Verb_VERB_UNMOUNT:
			return set(h.dir(d), "mounted", "")
		case gliav1.Verb_VERB_FORMAT:
			if has := get(h.dir(d), "fs"); has != "" && has != fs.GetUuid() {
				return fmt.Errorf("%s carries a filesystem", d.Serial())
			}
			return set(h.dir(d), "fs", fs.GetUuid())
		case gliav1.Verb_VERB_MOUNT:
			return set(h.dir(d), "mounted", fs.GetTarget())
		}
		return nil
	}
	if o.GetVerb() == gliav1.Verb_VERB_INSPECT {
		r.Inspection = &gliav1.Inspection{Findings: []string{o.GetPlace() + " is empty"}}
		return nil
	}
	return fmt.Errorf("%s%s is not in %s", untold(o), o.GetSerial(), o.GetPlace())
}

// untold begins the answer about a disk that is away, as that of the real hand.
func untold(o *gliav1.Order) string {
	if o.GetVerb() == gliav1.Verb_VERB_BURN_IN {
		return "can not be told yet: "
	}
	return ""
}

func inspect(o *gliav1.Order, d glia.Disk, fs string) *gliav1.Inspection {
	in := &gliav1.Inspection{Disk: api.DiskToProto(d)}
	if d.Serial() == o.GetSerial() || strings.Contains(" "+strings.Join(o.GetRetired(), " ")+" ", " "+d.Serial()+" ") {
		in.Findings = append(in.Findings, d.Serial()+" was taken out before")
	}
	if d.Identity.Size < o.GetMinSize() {
		in.Findings = append(in.Findings, fmt.Sprintf("%s has %d bytes, %d are needed", d.Serial(), d.Identity.Size, o.GetMinSize()))
	}
	if fs != "" {
		in.Findings = append(in.Findings, d.Serial()+" carries a filesystem")
	}
	in.Acceptable = len(in.Findings) == 0
	return in
}
