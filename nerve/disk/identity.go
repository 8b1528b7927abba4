package disk

import (
	"cmp"
	"context"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode"

	"glia"
)

// identity reads what a disk is. What the kernel knows comes first, because it is there before udev has
// looked and stays when udev is stopped; udev's database fills the gaps.
func (s *Source) identity(ctx context.Context, d *device) glia.Identity {
	dev := filepath.Join(d.dir, "device")
	id := glia.Identity{Size: d.size, Class: classOf(d)}

	vpd80, _ := os.ReadFile(filepath.Join(dev, "vpd_pg80"))
	vpdSerial, _ := DecodeSerialPage(vpd80)
	id.Serial = cmp.Or(
		cleanSerial(text(dev, "serial")),                           // NVMe, eMMC
		cleanSerial(vpdSerial),                                     // SCSI and everything that speaks it
		cleanSerial(s.ask(ctx, d, filepath.Join(d.dir, "serial"))), // virtio
		cleanSerial(d.udev.serial()),
	)

	vpd83, _ := os.ReadFile(filepath.Join(dev, "vpd_pg83"))
	vpdWWN, _ := DecodeDevicePage(vpd83)
	id.WWN = cmp.Or(NormalWWN(text(d.dir, "wwid")), NormalWWN(text(dev, "wwid")), vpdWWN, d.udev.wwn())

	id.Model = fuller(cmp.Or(text(dev, "model"), text(dev, "name")), d.udev.model())
	id.Firmware = fuller(cmp.Or(text(dev, "firmware_rev"), text(dev, "rev"), text(dev, "fwrev")), d.udev.Properties["ID_REVISION"])
	return id
}

// fuller takes udev's form of a string where the kernel's is a piece of it: the SCSI layer cuts the model
// of a SATA disk to 16 bytes and its firmware to 4.
func fuller(kernel, udev string) string {
	if kernel == "" || strings.Contains(udev, kernel) {
		return udev
	}
	return kernel
}

// cleanSerial is the serial without padding, or nothing when it can not be one: a string of zeros is what
// bridges and emulated disks give for want of a serial, and unprintable bytes are a broken answer.
func cleanSerial(s string) string {
	s = trim(s)
	if strings.Trim(s, "0") == "" || strings.ContainsFunc(s, func(r rune) bool { return r == unicode.ReplacementChar || !unicode.IsPrint(r) }) {
		return ""
	}
	return s
}

func classOf(d *device) glia.Class {
	if strings.HasPrefix(d.name, "nvme") {
		return glia.ClassNVMe
	}
	switch text(d.dir, "queue/rotational") {
	case "0":
		return glia.ClassSSD
	case "1":
		return glia.ClassHDD
	}
	return glia.ClassUnknown
}

// patience is how long a scan waits for an attribute that the kernel must ask the device for. A healthy
// device answers in milliseconds.
const patience = 2 * time.Second

// ask reads an attribute whose reading is a request to the device, which can hang for ever: the serial of
// a virtio disk. A device that does not answer costs one scan the patience, and one parked goroutine until
// it does. An answer is kept as long as the disk is the same one by its diskseq.
func (s *Source) ask(ctx context.Context, d *device, file string) string {
	if _, err := os.Lstat(file); err != nil {
		return ""
	}
	key := d.name + " " + d.seq
	s.mu.Lock()
	if known, ok := s.serials[d.seq]; ok && d.seq != "" {
		s.mu.Unlock()
		return known
	}
	if s.asking[key] {
		s.mu.Unlock()
		return ""
	}
	if s.asking == nil {
		s.asking, s.serials = map[string]bool{}, map[string]string{}
	}
	s.asking[key] = true
	s.mu.Unlock()

	answer := make(chan string, 1)
	go func() {
		b, err := os.ReadFile(file)
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.asking, key)
		if err == nil && d.seq != "" {
			s.serials[d.seq] = string(b)
		}
		answer <- string(b)
	}()
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case a := <-answer:
		return a
	case <-late.C:
	case <-ctx.Done():
	}
	return ""
}
