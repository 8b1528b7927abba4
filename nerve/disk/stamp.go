package disk

import (
	"cmp"
	"fmt"
	"hash/maphash"
	"os"
)

// seed makes stamps comparable within one process.
var seed = maphash.MakeSeed()

// Stamp is equal to an earlier one as long as there is no sign that a scan would show something else than then: the names
// of the block devices, the mount and swap tables, and when udev has last written. It costs a hundredth of a scan. It does
// not see what the kernel tells by an event, such as another disk under the same name or another size; nor what is written
// to a disk. So it only stands in for a scan between two events, and not for long.
func (s *Source) Stamp() (string, error) {
	t := tree{root: cmp.Or(s.Root, "/")}
	var h maphash.Hash
	h.SetSeed(seed)
	entries, err := os.ReadDir(t.path("sys/block"))
	if err != nil {
		return "", fmt.Errorf("look for changes of the disks: %w; is sysfs mounted?", err)
	}
	for _, e := range entries {
		_, _ = h.WriteString(e.Name() + "/") // never fails
	}
	for _, table := range []string{"proc/self/mountinfo", "proc/1/mountinfo", "proc/swaps"} {
		b, err := os.ReadFile(t.path(table))
		if err != nil && table != "proc/1/mountinfo" { // see usage
			return "", fmt.Errorf("look for changes of the disks: %w; is /proc mounted?", err)
		}
		_, _ = h.Write(b)
	}
	for _, dir := range []string{"run/udev/data", "dev", "dev/disk/by-path", "dev/disk/by-label", "dev/disk/by-uuid"} {
		if i, err := os.Stat(t.path(dir)); err == nil {
			_, _ = h.WriteString(i.ModTime().String())
		}
	}
	return fmt.Sprintf("%x", h.Sum64()), nil
}
