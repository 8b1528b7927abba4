package disk_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"glia"
	"glia/nerve/disk"
)

// teller is what *testing.T and *rapid.T have in common.
type teller interface {
	Helper()
	Fatal(args ...any)
}

// host is a tree of /sys, /proc, /dev and /run as the kernel and udev would make it.
type host struct {
	t    teller
	root string
	nums map[string]string // device to major:minor
	dirs map[string]string // device to its directory in sysfs, below the root
	buf  map[string]string // files that grow line by line
}

func newHost(t *testing.T) *host {
	t.Helper()
	return newHostIn(t, t.TempDir())
}

func newHostIn(t teller, root string) *host {
	h := &host{t: t, root: root, nums: map[string]string{}, dirs: map[string]string{}, buf: map[string]string{}}
	for _, d := range []string{"sys/block", "dev"} {
		h.must(os.MkdirAll(filepath.Join(root, d), 0o755))
	}
	h.line("proc/self/mountinfo", "22 1 0:21 / /proc rw,relatime - proc proc rw")
	h.line("proc/swaps", "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority")
	return h
}

func (h *host) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *host) file(path, content string) {
	h.t.Helper()
	path = filepath.Join(h.root, path)
	h.must(os.MkdirAll(filepath.Dir(path), 0o755))
	h.must(os.WriteFile(path, []byte(content), 0o644))
}

func (h *host) line(path, line string) {
	h.t.Helper()
	h.buf[path] += line + "\n"
	h.file(path, h.buf[path])
}

// link makes a relative symbolic link, as those of sysfs and udev are.
func (h *host) link(path, to string) {
	h.t.Helper()
	h.must(os.MkdirAll(filepath.Join(h.root, filepath.Dir(path)), 0o755))
	rel, err := filepath.Rel(filepath.Dir("/"+path), "/"+to)
	h.must(err)
	h.must(os.Symlink(rel, filepath.Join(h.root, path)))
}

func (h *host) device(name, dir string, sectors uint64) {
	h.t.Helper()
	h.nums[name] = fmt.Sprintf("8:%d", len(h.nums))
	h.dirs[name] = dir
	h.file(dir+"/dev", h.nums[name]+"\n")
	h.file(dir+"/size", strconv.FormatUint(sectors, 10)+"\n")
	h.must(os.MkdirAll(filepath.Join(h.root, dir, "holders"), 0o755))
}

func (h *host) whole(name, dir string, sectors uint64) {
	h.t.Helper()
	h.device(name, dir+"/"+name, sectors)
	h.link("sys/block/"+name, dir+"/"+name)
	h.attr(name, "queue/rotational", "1\n")
}

func (h *host) attr(name, attribute, value string) {
	h.t.Helper()
	h.file(h.dirs[name]+"/"+attribute, value)
}

// sata makes a SATA disk on a port of an AHCI controller, numbered from 1.
func (h *host) sata(name, serial string, port int) {
	h.t.Helper()
	scsi := fmt.Sprintf("%d:0:0:0", port-1)
	ata := fmt.Sprintf("sys/devices/pci0000:00/0000:00:1f.2/ata%d", port+4)
	dev := fmt.Sprintf("%s/host%d/target%d:0:0/%s", ata, port-1, port-1, scsi)
	h.whole(name, dev+"/block", 15628053168)
	h.link(h.dirs[name]+"/device", dev)
	h.file(ata+fmt.Sprintf("/ata_port/ata%d/port_no", port+4), strconv.Itoa(port)+"\n")
	h.file(dev+"/vpd_pg80", serialPage(serial))
	h.file(dev+"/model", "ST8000NM0055-1RM\n")
	h.file(dev+"/rev", "SN05\n")
}

// nvme makes a disk on a PCI slot of its own.
func (h *host) nvme(n int, serial string) string {
	h.t.Helper()
	name := fmt.Sprintf("nvme%dn1", n)
	ctrl := fmt.Sprintf("sys/devices/pci0000:00/0000:00:%02x.0/nvme/nvme%d", n+5, n)
	h.whole(name, ctrl, 7814037168)
	h.attr(name, "queue/rotational", "0\n")
	h.attr(name, "nsid", "1\n")
	h.attr(name, "wwid", "eui.0025385b71b0a1c2\n")
	h.link(h.dirs[name]+"/device", ctrl)
	h.file(ctrl+"/serial", serial+"          \n")
	h.file(ctrl+"/model", "SAMSUNG MZQL23T8HCLS-00A07              \n")
	h.file(ctrl+"/firmware_rev", "GDC5902Q\n")
	return name
}

func (h *host) part(whole, name string, number int, start, sectors uint64) {
	h.t.Helper()
	h.device(name, h.dirs[whole]+"/"+name, sectors)
	h.attr(name, "partition", strconv.Itoa(number)+"\n")
	h.attr(name, "start", strconv.FormatUint(start, 10)+"\n")
}

// on makes a virtual device that is built on others.
func (h *host) on(name string, lower ...string) {
	h.t.Helper()
	h.whole(name, "sys/devices/virtual/block", 1<<20)
	for _, l := range lower {
		h.link(h.dirs[l]+"/holders/"+name, h.dirs[name])
	}
}

// mapped makes a device of the device mapper.
func (h *host) mapped(name, label, uuid string, lower ...string) {
	h.t.Helper()
	h.on(name, lower...)
	h.attr(name, "dm/name", label+"\n")
	h.attr(name, "dm/uuid", uuid+"\n")
}

func (h *host) loop(name, file string) {
	h.t.Helper()
	h.on(name)
	h.attr(name, "loop/backing_file", file+"\n")
}

func (h *host) mount(device, target, fsType string) {
	h.t.Helper()
	h.mountLine(h.nums[device], "/", target, fsType, "/dev/"+device, "rw")
}

func (h *host) mountLine(num, root, target, fsType, source, super string) {
	h.t.Helper()
	h.line("proc/self/mountinfo", fmt.Sprintf("30 1 %s %s %s rw,relatime shared:1 - %s %s %s", num, root, target, fsType, source, super))
}

func (h *host) swap(path, kind string) {
	h.t.Helper()
	h.line("proc/swaps", path+"\t"+kind+"\t\t8388604\t\t0\t\t-2")
}

func (h *host) udev(device string, lines ...string) {
	h.t.Helper()
	h.file("run/udev/data/b"+h.nums[device], strings.Join(lines, "\n")+"\n")
}

func (h *host) inventory(loops ...string) disk.Inventory {
	h.t.Helper()
	s := disk.Source{Host: "node-1", Root: h.root, Loop: loops}
	inv, err := s.Inventory(context.Background())
	h.must(err)
	return inv
}

// disks are the identified disks by serial.
func (h *host) disks(loops ...string) map[string]glia.Disk {
	h.t.Helper()
	return bySerial(h.inventory(loops...).Disks)
}

func bySerial(disks []glia.Disk) map[string]glia.Disk {
	out := map[string]glia.Disk{}
	for _, d := range disks {
		out[d.Serial()] = d
	}
	return out
}

func serialPage(serial string) string {
	return "\x00\x80\x00" + string(rune(len(serial))) + serial
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}
