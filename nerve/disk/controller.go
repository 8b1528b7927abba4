package disk

import (
	"cmp"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"glia"
)

// firmwareAttributes are where drivers of host bus adapters show the adapter's firmware, in the directory
// of their SCSI host: mpt3sas and mpi3mr, smartpqi, hpsa. All of them answer from memory.
var firmwareAttributes = []string{"version_fw", "firmware_version", "firmware_revision"}

var pciID = regexp.MustCompile(`^0x[0-9a-f]{4}$`)

// controller is the PCI function that the disk hangs on, by the disk's directory in sysfs; empty when it
// hangs on none.
func (t tree) controller(d *device) glia.Controller {
	dir := d.dir
	if strings.Contains(dir, "/virtual/nvme-subsystem/") {
		dir = t.nvmeController(d)
	}
	elems := strings.Split(dir, "/")
	bus, at := busOf(elems)
	address, found := strings.CutPrefix(bus, "pci-")
	if !found {
		return glia.Controller{}
	}
	function := strings.Join(elems[:at+1], "/")
	c := glia.Controller{Address: address}
	if to, err := os.Readlink(filepath.Join(function, "driver")); err == nil {
		c.Driver = filepath.Base(to)
	}
	if vendor, device := text(function, "vendor"), text(function, "device"); pciID.MatchString(vendor) && pciID.MatchString(device) {
		c.Model = vendor[2:] + ":" + device[2:]
	}
	for i, e := range elems {
		if i <= at || !scsiHost.MatchString(e) {
			continue
		}
		host := filepath.Join(strings.Join(elems[:i+1], "/"), "scsi_host", e)
		for _, a := range firmwareAttributes {
			c.Firmware = cmp.Or(c.Firmware, text(host, a))
		}
	}
	return c
}
