package disk_test

import (
	"fmt"
	"testing"

	"glia"
)

// sas makes a disk of a host bus adapter, whose driver links it to its PCI function, SCSI host and port.
func (h *host) sas(name, serial, driver, firmware string) {
	h.t.Helper()
	function := "sys/devices/pci0000:3a/0000:3a:00.0/0000:3b:00.0"
	scsi := function + "/host8"
	dev := scsi + "/port-8:0/end_device-8:0/target8:0:0/8:0:0:0"
	h.whole(name, dev+"/block", 15628053168)
	h.link(h.dirs[name]+"/device", dev)
	h.file(dev+"/vpd_pg80", serialPage(serial))
	h.link(function+"/driver", "sys/bus/pci/drivers/"+driver)
	h.file(function+"/vendor", "0x1000\n")
	h.file(function+"/device", "0x00c4\n")
	if firmware != "" {
		h.file(fmt.Sprintf("%s/scsi_host/host8/%s", scsi, firmware), "16.00.10.00\n")
	}
}

func TestSource_TellsTheController(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, driver, firmware string
		want                   glia.Controller
	}{
		{"mpt3sas", "mpt3sas", "version_fw", glia.Controller{Address: "0000:3b:00.0", Driver: "mpt3sas", Model: "1000:00c4", Firmware: "16.00.10.00"}},
		{"smartpqi", "smartpqi", "firmware_version", glia.Controller{Address: "0000:3b:00.0", Driver: "smartpqi", Model: "1000:00c4", Firmware: "16.00.10.00"}},
		{"a driver that tells no firmware", "megaraid_sas", "", glia.Controller{Address: "0000:3b:00.0", Driver: "megaraid_sas", Model: "1000:00c4"}},
	} {
		h := newHost(t)
		h.sas("sda", "ZA1", tc.driver, tc.firmware)
		equal(t, tc.name, h.disks()["ZA1"].Location.Controller, tc.want)
	}
	h := newHost(t)
	h.nvme(0, "S64HNE0R")
	equal(t, "NVMe", h.disks()["S64HNE0R"].Location.Controller.Address, "0000:00:05.0")
}
