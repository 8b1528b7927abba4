package lab

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Bus is what a disk is attached to.
type Bus string

// The buses. A machine has one SATA controller with six ports and one SCSI controller; each NVMe disk is its own
// controller. Disks on SATA can not be pulled: QEMU has no hot-plug there.
const (
	NVMe Bus = "nvme"
	SATA Bus = "sata"
	SCSI Bus = "scsi"
)

// Disk is one disk of a machine.
type Disk struct {
	Bus    Bus
	Port   int    // NVMe: slot 0 to 7; SATA: port 0 to 5; SCSI: target 0 to 255
	Serial string // up to 20 characters
	Model  string // SATA: up to 40 characters, SCSI: up to 16; an NVMe disk of QEMU has but one
	Image  string // file of this machine, which is what is on the disk
}

// ID is the name by which the machine knows the disk: nvme0, sata3. Another disk in the same place has the same.
func (d Disk) ID() string { return string(d.Bus) + strconv.Itoa(d.Port) }

// slots is how many NVMe disks a machine can have.
const slots = 8

// Blank makes the file of a blank disk of so many MiB; it takes no room until it is written.
func Blank(path string, mb int64) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("blank disk: %w", err)
	}
	if err := f.Truncate(mb << 20); err != nil {
		_ = f.Close() // what failed is told
		return fmt.Errorf("blank disk: %w", err)
	}
	return f.Close()
}

// The nodes of QEMU's block layer below a disk: the file, the filter that makes errors when there is one, and the
// one that the device uses, which is put on top of either.
func (d Disk) fileNode() string   { return "file-" + d.ID() }
func (d Disk) filterNode() string { return "filter-" + d.ID() }
func (d Disk) topNode() string    { return "top-" + d.ID() }

func (d Disk) file() map[string]any {
	return map[string]any{"driver": "file", "node-name": d.fileNode(), "filename": d.Image, "discard": "unmap",
		"cache": map[string]any{"direct": false, "no-flush": true}, "locking": "off"}
}

// top lies on another node.
func (d Disk) top(on string) map[string]any {
	return map[string]any{"driver": "raw", "node-name": d.topNode(), "file": on}
}

func (d Disk) device() map[string]any {
	p := map[string]any{"id": d.ID(), "drive": d.topNode(), "serial": d.Serial}
	switch d.Bus {
	case NVMe:
		p["driver"], p["bus"] = "nvme", fmt.Sprintf("slot%d", d.Port)
	case SATA:
		p["driver"], p["bus"], p["model"] = "ide-hd", fmt.Sprintf("ide.%d", d.Port), d.Model
	case SCSI:
		p["driver"], p["bus"], p["scsi-id"], p["lun"] = "scsi-hd", "scsi.0", d.Port, 0
		p["vendor"], p["product"], p["device_id"] = "LAB", d.Model, d.Serial
	}
	if d.Bus != NVMe {
		p["werror"], p["rerror"] = "report", "report"
	}
	return p
}

func (d Disk) check() error {
	ports := map[Bus]int{NVMe: slots, SATA: 6, SCSI: 256}[d.Bus]
	switch {
	case ports == 0:
		return fmt.Errorf("disk %s: no such bus", d.ID())
	case d.Port < 0 || d.Port >= ports:
		return fmt.Errorf("disk %s: %s has ports 0 to %d", d.ID(), d.Bus, ports-1)
	case d.Serial == "" || len(d.Serial) > 20 || strings.ContainsAny(d.Serial, " ,"):
		return fmt.Errorf("disk %s: the serial %q is not 1 to 20 characters without blanks", d.ID(), d.Serial)
	}
	return nil
}
