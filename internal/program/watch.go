package program

import (
	"context"
	"log/slog"
	"path/filepath"

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
	Begin()                 // before the inventory is taken
	Look(disks []glia.Disk) // what it showed
}

// watchedInventory tells watchers of what the nerve's scans show.
type watchedInventory struct {
	nerve.Inventory
	watchers []watcher
}

var _ nerve.Doubter = watchedInventory{}

func watched(i nerve.Inventory, watchers ...watcher) nerve.Inventory {
	return watchedInventory{i, watchers}
}

// ScanAll is part of nerve.Doubter. The nerve's scans come one after another, and so do the looks; Scan,
// which others call at any time, is not watched.
func (w watchedInventory) ScanAll(ctx context.Context) (disks []glia.Disk, doubtful map[string]string, err error) {
	for _, x := range w.watchers {
		x.Begin()
	}
	if all, ok := w.Inventory.(nerve.Doubter); ok {
		disks, doubtful, err = all.ScanAll(ctx)
	} else {
		disks, err = w.Inventory.Scan(ctx)
	}
	if err == nil {
		for _, x := range w.watchers {
			x.Look(disks)
		}
	}
	return disks, doubtful, err
}
