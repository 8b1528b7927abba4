package probe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"os"
	"sync"
	"time"

	"github.com/google/renameio/v2"

	"glia"
	"glia/nerve/disk/kmsg"
)

// KernelLog tells what the kernel has logged about a disk. It touches no disk and never waits for one.
//
//	kernel.medium_errors      media      requests that ended in a medium error
//	kernel.io_errors          interface  requests that ended in an error that is not told apart further
//	kernel.link_resets        interface  resets of the link to the disk, or of the disk
//	kernel.controller_resets  interface  resets of what the disk is attached to; counted for each disk behind it
//	fs.readonly               filesystem 1 while a filesystem that the kernel has made read-only is mounted
//	fs.shutdown               filesystem 1 while a filesystem that has shut itself down is mounted; unknown when somebody
//	                                     has asked for it
//
// The four counters begin at 0 when the nerve first sees a disk, and then only grow, over restarts of nerve
// and of the host: growth is what counts. The kernel limits how often it repeats itself, so there were at
// least as many errors. The two others are only told when they are 1. That the kernel was silent proves
// nothing, and messages that were lost are told as unknown evidence; see package kmsg for what is charged.
//
// What was logged is read by Begin and Look, around each inventory: every few seconds, and when the kernel
// tells of a disk that comes or goes.
type KernelLog struct {
	Roots   Roots
	Excuses Excuses // besides its own

	file string
	log  Records

	mu     sync.Mutex
	names  kmsg.Names // of the newest look
	mounts kmsg.Mounts
	book   kmsg.Book
	told   map[string]uint64 // the losses that its evidence has told of, by serial
	since  uint64            // losses before this run
	dirty  bool
}

// Records is an open log of the kernel. kmsg.Log is the real one.
type Records interface {
	Boot() string
	Records() iter.Seq[kmsg.Record]
	Err() error
}

// OpenKernelLog goes on with what the file says of former runs, if there is one. A file that can not be
// read is an error, because without it old messages would be counted anew.
func OpenKernelLog(log Records, file string) (*KernelLog, error) {
	k := &KernelLog{file: file, log: log, told: map[string]uint64{}}
	b, err := os.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return k, nil
	case err == nil:
		err = json.Unmarshal(b, &k.book)
	}
	if err != nil {
		return nil, fmt.Errorf("read what the kernel has logged before: %s: %w; move the file away to start without it", file, err)
	}
	k.since = k.book.Lost
	return k, nil
}

// Name is "kernel log".
func (k *KernelLog) Name() string { return "kernel log" }

// Begin takes what was logged until now. The inventory must be taken between it and Look, so that it shows
// what the messages were about; without Look the messages wait for the next one.
func (k *KernelLog) Begin() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.book.Read(k.log.Boot(), k.log.Records(), kmsg.Clock())
}

// Look charges the messages to the disks that the kernel calls so. By which names is read when the disks may have changed.
func (k *KernelLog) Look(disks []glia.Disk, changed bool) {
	k.mu.Lock()
	names, mounts := k.names, k.mounts
	k.mu.Unlock()
	if changed || names == nil {
		names, mounts = k.Roots.logNames(disks), k.Roots.mountNumbers(disks)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.names, k.mounts = names, mounts
	k.book.Look(names, mounts, time.Now().UTC())
	k.dirty = true
}

// Probe tells what stands in the disk's account.
func (k *KernelLog) Probe(ctx context.Context, d glia.Disk) []glia.Evidence {
	out, marked := k.account(d)
	for _, m := range d.Mounts {
		mark, ok := marked[m.Source]
		if !ok {
			continue
		}
		e := glia.Evidence{Class: glia.Filesystem, Source: k.Name(), What: marks[mark.Kind], Value: 1,
			Detail: fmt.Sprintf("%s of %s, at %s: %s", m.FSType, m.Target, mark.At.Format(time.RFC3339), mark.Text)}
		if mark.Kind == kmsg.Requested {
			e.Value, e.Detail, e.Unknown = 0, "", m.Target+": "+requested(mark)
		}
		out = append(out, k.Excuses.excuse(ctx, d, m, e)...)
	}
	return out
}

// Excuse says so when somebody has shut the filesystem down. That shows as I/O errors at once, and in the log at the
// next Look.
func (k *KernelLog) Excuse(_ context.Context, d glia.Disk, m glia.Mount) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	a := k.book.Disks[d.Serial()]
	if a == nil || a.Marks[m.Source].Kind != kmsg.Requested {
		return ""
	}
	return requested(a.Marks[m.Source])
}

func requested(mark kmsg.Mark) string {
	return fmt.Sprintf("it was shut down on request at %s (%s), which is no fault of the disk; mount it again", mark.At.Format(time.RFC3339), mark.Text)
}

// account is what was counted for a disk, and the filesystems that the kernel gave up.
func (k *KernelLog) account(d glia.Disk) ([]glia.Evidence, map[string]kmsg.Mark) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.book.Names == nil { // no look yet: nothing can be charged
		return []glia.Evidence{k.unknown("the inventory was not looked at yet")}, nil
	}
	if err := k.log.Err(); err != nil {
		return []glia.Evidence{k.unknown(err.Error())}, nil
	}
	a := k.book.Disks[d.Serial()]
	if a == nil {
		return []glia.Evidence{k.unknown("no kernel name is this disk's alone")}, nil
	}
	var out []glia.Evidence
	for _, c := range counters {
		e := glia.Evidence{Class: c.class, Source: k.Name(), What: c.what, Value: float64(a.Counts[c.kind])}
		if last, ok := a.Last[c.kind]; ok {
			e.Detail = fmt.Sprintf("last at %s: %s", last.At.Format(time.RFC3339), last.Text)
		}
		out = append(out, e)
	}
	if lost := k.book.Lost - k.since; lost > k.told[d.Serial()] {
		out = append(out, k.unknown(fmt.Sprintf("%d messages of the kernel were overwritten before they were read", lost-k.told[d.Serial()])))
		k.told[d.Serial()] = lost
	}
	return out, maps.Clone(a.Marks)
}

func (k *KernelLog) unknown(why string) glia.Evidence {
	return glia.Evidence{Class: glia.Interface, Source: k.Name(), What: "kernel.log", Unknown: why}
}

var counters = []struct {
	kind  kmsg.Kind
	what  string
	class glia.EvidenceClass
}{
	{kmsg.MediumError, "kernel.medium_errors", glia.Media},
	{kmsg.IOError, "kernel.io_errors", glia.Interface},
	{kmsg.LinkReset, "kernel.link_resets", glia.Interface},
	{kmsg.ControllerReset, "kernel.controller_resets", glia.Interface},
}

var marks = map[kmsg.Kind]string{kmsg.ReadOnly: "fs.readonly", kmsg.Shutdown: "fs.shutdown", kmsg.Requested: "fs.shutdown"}

// saveEvery bounds what is read anew after a crash. Nothing is counted twice then, since counts and place in
// the log are one file.
const saveEvery = 10 * time.Second

// Run keeps the file up to date until ctx ends, and writes it a last time then. It returns nil.
func (k *KernelLog) Run(ctx context.Context, failed func(error)) error {
	tick := time.NewTicker(saveEvery)
	defer tick.Stop()
	well := true
	for {
		stop := false
		select {
		case <-ctx.Done():
			stop = true
		case <-tick.C:
		}
		err := k.Save()
		if err != nil && well {
			failed(err)
		}
		if well = err == nil; stop {
			return nil
		}
	}
}

// Save writes the file if there is something new.
func (k *KernelLog) Save() error {
	k.mu.Lock()
	if !k.dirty {
		k.mu.Unlock()
		return nil
	}
	b, err := json.Marshal(k.book)
	k.dirty = false
	k.mu.Unlock()
	if err == nil {
		err = renameio.WriteFile(k.file, b, 0o600)
	}
	if err != nil {
		k.mu.Lock()
		k.dirty = true
		k.mu.Unlock()
		return fmt.Errorf("save what the kernel has logged: %w", err)
	}
	return nil
}
