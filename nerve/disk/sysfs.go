package disk

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"glia/nerve/disk/smart"
)

// sector is the unit of sizes and starts in sysfs, whatever the block size of the disk
// (Documentation/ABI/stable/sysfs-block).
const sector = 512

// tree reads files below a root, "/" or a fixture.
type tree struct{ root string }

func (t tree) path(elem ...string) string {
	return filepath.Join(append([]string{t.root}, elem...)...)
}

// text is the content of an attribute, without the padding around it, or nothing when there is none.
func text(elem ...string) string {
	b, err := smart.ReadAttribute(filepath.Join(elem...)) // a scan reads thousands, and os.ReadFile is dear
	if err != nil {
		return ""
	}
	return trim(b)
}

// trim removes the blanks and zero bytes that devices pad their strings with.
func trim(s string) string { return strings.Trim(s, " \t\r\n\x00") }

// device is one block device: a whole one, a partition, or one that is built on others.
type device struct {
	name      string // as in sysfs, which writes ! for /
	dir       string // its own directory in sysfs, all links resolved
	num       string // major:minor
	seq       string // diskseq; empty on kernels before 5.15 and for partitions
	start     uint64 // bytes; partitions only
	size      uint64 // bytes
	number    int    // of a partition; 0 for whole devices
	whole     string // name of the whole device, which may be itself
	hidden    bool   // one path of an NVMe multipath disk
	removable bool
	backing   string // file behind a loop device
	kind      string // as in glia.Holder
	label     string // name for people: the device mapper's, else the kernel's
	above     []string
	udev      Record
	inUdev    bool  // udev has looked at it
	trouble   error // what could not be read about it
}

// diskSeq is the number of the device; 0 when the kernel does not tell.
func (d *device) diskSeq() uint64 {
	n, err := strconv.ParseUint(d.seq, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// node is the kernel name as it stands below /dev.
func (d *device) node() string { return strings.ReplaceAll(d.name, "!", "/") }

type devices map[string]*device

func (ds devices) sorted() []*device {
	return slices.SortedFunc(maps.Values(ds), func(a, b *device) int { return cmp.Compare(a.name, b.name) })
}

func (ds devices) byNum() map[string]string {
	out := make(map[string]string, len(ds))
	for _, d := range ds {
		out[d.num] = d.name
	}
	return out
}

// closure is the device and all that is built on it, each once, nearest first.
func (ds devices) closure(name string) []*device {
	var out []*device
	seen := map[string]bool{}
	for next := []string{name}; len(next) > 0; next = next[1:] {
		d := ds[next[0]]
		if d == nil || seen[d.name] {
			continue
		}
		seen[d.name] = true
		out = append(out, d)
		next = append(next, d.above...)
	}
	return out
}

// devices reads all block devices. Those that vanish meanwhile are left out.
func (t tree) devices(ctx context.Context) (devices, error) {
	entries, err := os.ReadDir(t.path("sys/block"))
	if err != nil {
		return nil, fmt.Errorf("%w; is sysfs mounted?", err)
	}
	out := devices{}
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		to, err := os.Readlink(t.path("sys/block", e.Name()))
		if err != nil {
			continue // vanished
		}
		dir := t.path("sys/block", to) // on its way are no more links
		for _, d := range t.readWhole(e.Name(), dir) {
			out[d.name] = d
		}
	}
	return out, nil
}

// readWhole reads a whole device and its partitions; nothing when it is gone.
func (t tree) readWhole(name, dir string) []*device {
	d, ok := t.readDevice(name, dir)
	if !ok {
		return nil
	}
	d.whole = name
	d.seq = text(dir, "diskseq")
	d.hidden = text(dir, "hidden") == "1"
	d.removable = text(dir, "removable") == "1"
	d.kind, d.label = kindOf(name, text(dir, "dm/uuid")), cmp.Or(text(dir, "dm/name"), d.node())
	d.backing = backingFile(dir)
	out := []*device{d}
	entries, err := os.ReadDir(dir)
	if gone(err) {
		return nil
	}
	d.fail("partitions", err)
	for _, e := range entries {
		if !e.IsDir() || !strings.HasPrefix(e.Name(), name) { // block/partitions/core.c names them so
			continue
		}
		sub := filepath.Join(dir, e.Name())
		number, err := strconv.Atoi(text(sub, "partition"))
		if err != nil {
			continue // some other directory, or a partition that is being removed
		}
		p, ok := t.readDevice(e.Name(), sub)
		if !ok {
			continue
		}
		p.number, p.whole, p.kind, p.label = number, name, d.kind, p.node()
		p.start = bytesOf(p, sub, "start")
		d.above = append(d.above, p.name)
		out = append(out, p)
	}
	return out
}

// readDevice reads what whole devices and partitions have in common.
func (t tree) readDevice(name, dir string) (*device, bool) {
	d := &device{name: name, dir: dir, num: text(dir, "dev")}
	if d.num == "" {
		return d, text(dir, "hidden") == "1" // hidden devices have no number; others are gone
	}
	d.size = bytesOf(d, dir, "size")
	holders, err := os.ReadDir(filepath.Join(dir, "holders"))
	if !gone(err) {
		d.fail("holders", err)
	}
	for _, h := range holders {
		d.above = append(d.above, h.Name())
	}
	b, err := os.ReadFile(t.path("run/udev/data", "b"+d.num))
	d.inUdev = err == nil
	d.udev = ParseRecord(b)
	return d, true
}

// present says whether the disk is still the one that was read.
func (t tree) present(d *device) bool {
	return text(t.path("sys/block", d.name, "dev")) == d.num && text(t.path("sys/block", d.name, "diskseq")) == d.seq
}

func (d *device) fail(what string, err error) {
	if err != nil && d.trouble == nil {
		d.trouble = fmt.Errorf("read its %s: %w", what, err)
	}
}

func bytesOf(d *device, dir, attribute string) uint64 {
	n, err := strconv.ParseUint(text(dir, attribute), 10, 64)
	if err != nil || n > 1<<54 { // 2^54 sectors are 8 EiB, beyond which bytes no longer fit
		d.fail(attribute, fmt.Errorf("%q is not a number of sectors", text(dir, attribute)))
		return 0
	}
	return n * sector
}

func gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENXIO)
}

// kindOf names what a device that is built on others is. The prefixes of device mapper UUIDs are set by
// the tools that make the devices: LVM2, cryptsetup and multipath-tools.
func kindOf(name, dmUUID string) string {
	switch {
	case strings.HasPrefix(dmUUID, "LVM-"):
		return "lvm"
	case strings.HasPrefix(dmUUID, "CRYPT-"):
		return "crypt"
	case strings.HasPrefix(dmUUID, "mpath-"):
		return "multipath"
	case strings.HasPrefix(name, "dm-"):
		return "dm"
	case strings.HasPrefix(name, "md"):
		return "md"
	}
	return "other"
}

// deletedMark is what the kernel appends to the path of a file that has been removed.
const deletedMark = " (deleted)"

func backingFile(dir string) string {
	b, err := os.ReadFile(filepath.Join(dir, "loop/backing_file"))
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), deletedMark)
}
