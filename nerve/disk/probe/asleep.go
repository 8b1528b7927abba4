package probe

import (
	"context"

	"glia"
)

// UnlessAsleep wraps a source that would wake a sleeping disk: while the disk sleeps, its evidence is unknown.
func UnlessAsleep(r Roots, s Source) Source { return &awake{r, s} }

type awake struct {
	roots Roots
	Source
}

func (a *awake) Probe(ctx context.Context, d glia.Disk) []glia.Evidence {
	if why := a.roots.Asleep(ctx, d); why != "" {
		return []glia.Evidence{{Source: a.Name(), What: a.Name(), Unknown: why}}
	}
	return a.Source.Probe(ctx, d)
}

// Asleep says how a disk sleeps, and nothing when it is awake or cannot tell. Asking wakes no disk: the kernel's
// own suspending is read from sysfs, and the disk is asked in the way of its kind.
func (r Roots) Asleep(ctx context.Context, d glia.Disk) string {
	name := d.Location.Device
	if why := r.suspended(name); why != "" {
		return why
	}
	dev, err := r.system().Open(name)
	if err != nil {
		return "" // the source will say it better
	}
	defer dev.Close()
	if how, err := dev.Asleep(ctx); err == nil && how != "" {
		return asleep + how
	}
	return ""
}

const asleep = "asleep: "

// suspended says that the kernel has suspended a device, which opening it would end.
func (r Roots) suspended(name string) string {
	if s, err := r.attr("block", name, "device/power/runtime_status"); err == nil && s == "suspended" {
		return asleep + "the kernel has suspended it"
	}
	return ""
}
