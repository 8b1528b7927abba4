package probe

import (
	"context"
	"fmt"
	"strconv"

	"glia"
)

// Kernel reads what the kernel counts about its talk with a disk. It touches no disk.
//
//	kernel.iotmo_cnt     commands that timed out (SCSI and SATA)
//	kernel.ioerr_cnt     commands that did not end well (SCSI and SATA)
//	kernel.device_state  1 when the kernel has given the device up, else 0
//
// All of it is of class interface: it tells that the talk went wrong, not which end is to blame.
// kernel.ioerr_cnt counts every command that was answered with anything but plain success, those included
// that the disk does not support; reading SMART itself makes it grow on many disks. It is there for people
// to look at and must not be judged.
type Kernel struct{ Roots Roots }

// Name is "kernel".
func (k *Kernel) Name() string { return "kernel" }

// Probe reads the counters that the kernel has for this kind of device; loop and virtio disks have none.
func (k *Kernel) Probe(_ context.Context, d glia.Disk) []glia.Evidence {
	var out []glia.Evidence
	for _, name := range []string{"iotmo_cnt", "ioerr_cnt"} {
		text, err := k.Roots.attr("block", d.Location.Device, "device", name)
		if err != nil {
			continue
		}
		e := glia.Evidence{Class: glia.Interface, Source: k.Name(), What: "kernel." + name}
		if n, err := strconv.ParseUint(text, 0, 64); err == nil { // they are written as 0x1b
			e.Value = float64(n)
		} else {
			e.Unknown = fmt.Sprintf("%s is %q, which is no number", name, text)
		}
		out = append(out, e)
	}
	if state, err := k.Roots.attr("block", d.Location.Device, "device", "state"); err == nil {
		e := glia.Evidence{Class: glia.Interface, Source: k.Name(), What: "kernel.device_state"}
		switch state {
		case "running", "live": // SCSI, NVMe
		case "offline", "transport-offline", "dead":
			e.Value, e.Detail = 1, "the kernel's state of the device is "+state
		default:
			e.Unknown = "the kernel's state of the device is " + strconv.Quote(state) // on its way to another one
		}
		out = append(out, e)
	}
	return out
}
