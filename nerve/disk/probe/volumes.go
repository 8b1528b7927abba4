package probe

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"glia"
	"glia/nerve/disk/devmapper"
)

// Volumes tells what MD arrays and the device mapper say of a disk that they are built on. It touches no disk.
//
//	md.faulty[ARRAY]           storage    1 when MD has thrown the disk out of the array for its errors, else 0
//	md.read_errors[ARRAY]      storage    read errors that MD has corrected from the other members
//	md.degraded[ARRAY]         storage    members that the array lacks; no word about this disk
//	md.mismatches[ARRAY]       storage    sectors on which the members differed at the last check; likewise
//	multipath.failed[DEVICE]   interface  1 when multipath does not use this path any more, else 0
//	volume.full[DEVICE]        filesystem 1 when a snapshot or a thin pool on the disk has run out of space, else 0
//
// The last one is the fault of no disk: it is why FS and KernelLog take an I/O error of what is mounted on it as
// unknown. The device mapper is asked only where something of it is on a disk, at most every askEvery.
type Volumes struct {
	Roots Roots

	// Status asks the device mapper for the status of all devices; nil: dmsetup.
	Status func(context.Context) ([]byte, error)

	mu     sync.Mutex
	asking bool
	when   time.Time
	list   []devmapper.Target
	err    error
}

const (
	// askEvery is how old an answer of the device mapper may be.
	askEvery = 20 * time.Second
	// dmsetupTimeout bounds one run of dmsetup. Without flushing, it only reads what the kernel has in memory.
	dmsetupTimeout = 10 * time.Second
	// volumePatience is how long a probe waits for it.
	volumePatience = 2 * time.Second
)

// Name is "volumes".
func (v *Volumes) Name() string { return "volumes" }

// Probe tells of each array and each mapped device on the disk.
func (v *Volumes) Probe(ctx context.Context, d glia.Disk) []glia.Evidence {
	var out []glia.Evidence
	var seen []string
	mapped := false
	for _, h := range d.Holders {
		switch {
		case slices.Contains(seen, h.Name):
		case h.Kind == "md":
			out = append(out, v.array(d, h.Name)...)
		case strings.HasPrefix(h.Name, "dm-"):
			mapped = true
		}
		seen = append(seen, h.Name)
	}
	if !mapped {
		return out
	}
	targets, err := v.targets(ctx)
	if err != nil {
		return append(out, v.saw(glia.Filesystem, "volume.full", glia.Evidence{Unknown: err.Error()}))
	}
	number, _ := v.Roots.number(d.Location.Device)
	for _, h := range d.Holders {
		name, err := v.Roots.attr("block", h.Name, "dm/name")
		if err != nil {
			continue
		}
		for _, t := range targets {
			if t.Device != name {
				continue
			}
			switch t.Type {
			case "snapshot", "snapshot-merge", "thin-pool":
				out = append(out, v.saw(glia.Filesystem, "volume.full["+name+"]", full(t)))
			}
			for _, p := range t.Paths {
				if p.Number == number {
					out = append(out, v.saw(glia.Interface, "multipath.failed["+name+"]", one(p.Failed, "multipath does not use the path "+d.Location.Device+" of "+name)))
				}
			}
		}
	}
	return out
}

func (v *Volumes) saw(class glia.EvidenceClass, what string, e glia.Evidence) glia.Evidence {
	e.Class, e.Source, e.What = class, v.Name(), what
	return e
}

func full(t devmapper.Target) glia.Evidence {
	if t.State == devmapper.Unknown {
		return glia.Evidence{Unknown: fmt.Sprintf("the device mapper says %q of the %s %s", t.Words, t.Type, t.Device)}
	}
	return one(t.State == devmapper.Full, fmt.Sprintf("the %s %s has run out of space: %s", t.Type, t.Device, t.Words))
}

func one(is bool, detail string) glia.Evidence {
	if is {
		return glia.Evidence{Value: 1, Detail: detail}
	}
	return glia.Evidence{}
}

// array tells of a member of an MD array (Documentation/admin-guide/md.rst).
func (v *Volumes) array(d glia.Disk, name string) []glia.Evidence {
	var out []glia.Evidence
	count := func(what, detail string, attribute ...string) {
		text, err := v.Roots.attr(append([]string{"block", name, "md"}, attribute...)...)
		if err != nil {
			return // linear and RAID 0 have none
		}
		e := glia.Evidence{}
		if n, err := strconv.ParseUint(text, 10, 64); err != nil {
			e.Unknown = fmt.Sprintf("%s of %s is %q, which is no number", attribute[len(attribute)-1], name, text)
		} else if e.Value = float64(n); n > 0 {
			e.Detail = fmt.Sprintf(detail, n, name)
		}
		out = append(out, v.saw(glia.Storage, what+"["+name+"]", e))
	}
	members := []string{d.Location.Device}
	for _, p := range d.Partitions {
		members = append(members, p.Name)
	}
	for _, m := range members {
		state, err := v.Roots.attr("block", name, "md", "dev-"+m, "state")
		if err != nil {
			continue
		}
		out = append(out, v.saw(glia.Storage, "md.faulty["+name+"]",
			one(slices.Contains(strings.Split(state, ","), "faulty"), fmt.Sprintf("MD has taken %s out of %s for its errors (%s)", m, name, state))))
		count("md.read_errors", "MD has corrected %d read errors of "+m+" in %s", "dev-"+m, "errors")
	}
	if len(out) > 0 {
		count("md.degraded", "%d members of %s are missing", "degraded")
		count("md.mismatches", "%d sectors of %s differed between its members at the last check", "mismatch_cnt")
	}
	return out
}

// Excuse says why an I/O error of what is mounted on a device does not speak about the disk: a snapshot or thin
// pool that it lies on has run out of space. It is empty when nothing does.
func (v *Volumes) Excuse(ctx context.Context, _ glia.Disk, m glia.Mount) string {
	device := m.Source
	if !strings.HasPrefix(device, "dm-") {
		return ""
	}
	below := v.below(device, 0)
	targets, err := v.targets(ctx)
	if err != nil {
		return "whether a snapshot or thin pool below it has run out of space: " + err.Error()
	}
	for _, t := range targets {
		// A thin volume and its pool fail together; the pool says why.
		if t.State == devmapper.Full && slices.Contains(below, t.Device) {
			return full(t).Detail + ", which is no fault of the disk"
		}
	}
	return ""
}

// below are the names of the mapped devices that a device lies on, its own included. A snapshot lies on its
// origin's device in the kernel's tree, but does not lean on it being a snapshot's origin.
func (v *Volumes) below(device string, depth int) []string {
	var out []string
	if name, err := v.Roots.attr("block", device, "dm/name"); err == nil {
		out = append(out, name)
	}
	entries, _ := os.ReadDir(v.Roots.sys("block", device, "slaves"))
	for _, e := range entries {
		if depth < 16 {
			out = append(out, v.below(e.Name(), depth+1)...)
		}
	}
	return out
}

// targets asks the device mapper. A dmsetup that hangs costs a probe the patience; those after it get an
// error until it ends.
func (v *Volumes) targets(ctx context.Context) ([]devmapper.Target, error) {
	v.mu.Lock()
	if time.Since(v.when) < askEvery {
		defer v.mu.Unlock()
		return v.list, v.err
	}
	if v.asking {
		v.mu.Unlock()
		return nil, fmt.Errorf("the device mapper has not answered yet")
	}
	v.asking = true
	v.mu.Unlock()
	status := v.Status
	if status == nil {
		status = dmsetupStatus
	}
	type answer struct {
		list []devmapper.Target
		err  error
	}
	done := make(chan answer, 1)
	go func() {
		// Not with ctx: the answer is good for the other disks, too.
		b, err := status(context.WithoutCancel(ctx))
		var a answer
		if a.err = err; err == nil {
			a.list, a.err = devmapper.Decode(b)
		}
		v.mu.Lock()
		defer v.mu.Unlock()
		v.asking, v.when, v.list, v.err = false, time.Now(), a.list, a.err
		done <- a
	}()
	late := time.NewTimer(volumePatience)
	defer late.Stop()
	select {
	case a := <-done:
		return a.list, a.err
	case <-late.C:
		return nil, fmt.Errorf("the device mapper has not answered after %s", volumePatience)
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// dmsetupStatus asks without flushing, which would write.
func dmsetupStatus(ctx context.Context) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, dmsetupTimeout, fmt.Errorf("no answer after %s", dmsetupTimeout))
	defer cancel()
	cmd := exec.CommandContext(ctx, "dmsetup", "status", "--noflush")
	cmd.Env = append(cmd.Environ(), "LC_ALL=C")
	cmd.WaitDelay = time.Second
	var words bytes.Buffer
	cmd.Stderr = &words
	out, err := cmd.Output()
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return nil, fmt.Errorf("dmsetup status: %w: %s", err, strings.TrimSpace(words.String()))
	}
	return out, nil
}
