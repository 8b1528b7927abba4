package nerved

import (
	"context"
	"log/slog"
	"path/filepath"
	"sync"

	"glia"
	"glia/config"
	"glia/nerve"
	"glia/nerve/disk/kmsg"
	"glia/nerve/disk/probe"
)

// openKernelLog opens the log of the kernel, unless it is switched off. Where there is none, nothing is said
// about it.
func openKernelLog(c config.Nerve, log *slog.Logger) (*probe.KernelLog, error) {
	if !c.Probe.KernelLog {
		return nil, nil
	}
	records, err := kmsg.Open()
	if err != nil {
		log.Warn("what the kernel logs of disks is not seen", "error", err)
		return nil, nil
	}
	return probe.OpenKernelLog(records, filepath.Join(c.StateDir, "kernel.json"))
}

// watcher learns which disks there are from each inventory that the nerve takes.
type watcher interface {
	Begin() // before the inventory is taken
	// Look is told what it showed, and whether that may be something else than before. No disk is written to.
	Look(disks []glia.Disk, changed bool)
}

// stamper is an inventory that may be used again as long as its stamp stays what it is, see disk.Source.
type stamper interface{ Stamp() (string, error) }

// watchedInventory tells watchers of what the nerve's scans show, and spares scans that would show the same.
type watchedInventory struct {
	nerve.Inventory
	watchers []watcher

	mu    sync.Mutex
	begun uint64 // scans that began; several may go on at a time
	kept  uint64 // the one whose outcome is kept, which no earlier one replaces
	stamp string // of it; empty when it must not be used again
	disks []glia.Disk
}

var (
	_ nerve.Doubter   = (*watchedInventory)(nil)
	_ nerve.Rechecker = (*watchedInventory)(nil)
)

func watched(i nerve.Inventory, watchers ...watcher) nerve.Inventory {
	return &watchedInventory{Inventory: i, watchers: watchers}
}

// ScanAll is part of nerve.Doubter. Scan, which others call at any time, is not watched.
func (w *watchedInventory) ScanAll(ctx context.Context) (disks []glia.Disk, doubtful map[string]string, err error) {
	w.begin()
	w.mu.Lock()
	w.begun++
	scan := w.begun
	w.mu.Unlock()
	stamp := w.read() // before the scan: what changes meanwhile leads to another one
	if all, ok := w.Inventory.(nerve.Doubter); ok {
		disks, doubtful, err = all.ScanAll(ctx)
	} else {
		disks, err = w.Inventory.Scan(ctx)
	}
	if err != nil || len(doubtful) > 0 {
		stamp = ""
	}
	w.keep(scan, stamp, disks)
	if err == nil {
		w.look(disks, true)
	}
	return disks, doubtful, err
}

// keep keeps the outcome of a scan, unless that of one that began later is kept: the kernel may have told of a disk between
// the two.
func (w *watchedInventory) keep(scan uint64, stamp string, disks []glia.Disk) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if scan > w.kept {
		w.kept, w.stamp, w.disks = scan, stamp, disks
	}
}

// Recheck is part of nerve.Rechecker.
func (w *watchedInventory) Recheck(ctx context.Context) ([]glia.Disk, map[string]string, error) {
	stamp := w.read()
	w.mu.Lock()
	same, disks := stamp != "" && stamp == w.stamp, w.disks
	w.mu.Unlock()
	if !same {
		return w.ScanAll(ctx)
	}
	w.begin()
	w.look(disks, false)
	return disks, nil, nil
}

// read is the present stamp; empty when there is none.
func (w *watchedInventory) read() string {
	s, ok := w.Inventory.(stamper)
	if !ok {
		return ""
	}
	stamp, err := s.Stamp()
	if err != nil {
		return "" // the scan that follows says so
	}
	return stamp
}

func (w *watchedInventory) begin() {
	for _, x := range w.watchers {
		x.Begin()
	}
}

func (w *watchedInventory) look(disks []glia.Disk, changed bool) {
	for _, x := range w.watchers {
		x.Look(disks, changed)
	}
}
