package hand

import (
	"fmt"
	"strings"

	"glia"
	gliav1 "glia/api/glia/v1"
)

// find returns the one disk with a serial. Without one the error wraps glia.ErrNotFound; with several
// nothing says which one is meant.
func find(disks []glia.Disk, serial string) (glia.Disk, error) {
	var found []glia.Disk
	for _, d := range disks {
		if d.Serial() == serial {
			found = append(found, d)
		}
	}
	switch len(found) {
	case 0:
		return glia.Disk{}, fmt.Errorf("disk %s is %w on this host", serial, glia.ErrNotFound)
	case 1:
		return found[0], nil
	}
	return glia.Disk{}, fmt.Errorf("%w: %d disks of this host have the serial %s: %s", glia.ErrIdentityMismatch, len(found), serial, devices(found))
}

// inPlace returns the disks that are in a place.
func inPlace(disks []glia.Disk, place string) []glia.Disk {
	var out []glia.Disk
	for _, d := range disks {
		if d.Location.Place() == place {
			out = append(out, d)
		}
	}
	return out
}

// ordered returns the disk of an order, if it is on this host exactly once, where the order says, and
// not protected. It never returns a disk with an error. The error wraps glia.ErrNotFound
// only if no disk has the serial.
func ordered(disks []glia.Disk, o *gliav1.Order) (glia.Disk, error) {
	d, err := find(disks, o.GetSerial())
	if err != nil {
		if there := inPlace(disks, o.GetPlace()); len(there) > 0 {
			err = fmt.Errorf("%w; in %s is %s", err, o.GetPlace(), serials(there))
		}
		return glia.Disk{}, err
	}
	switch {
	case d.Location.Place() != o.GetPlace():
		return glia.Disk{}, fmt.Errorf("%w: disk %s is in %s, not in %s", glia.ErrIdentityMismatch, d.Serial(), orNone(d.Location.Place()), o.GetPlace())
	case len(inPlace(disks, o.GetPlace())) > 1:
		return glia.Disk{}, fmt.Errorf("%w: several disks claim to be in %s: %s", glia.ErrIdentityMismatch, o.GetPlace(), serials(inPlace(disks, o.GetPlace())))
	case d.Protected != "":
		return glia.Disk{}, fmt.Errorf("%w: %s: %s", glia.ErrProtected, d, d.Protected)
	}
	return d, nil
}

// usesOf tells what uses a disk, one sentence each, but for mounts.
func usesOf(d glia.Disk) []string {
	var out []string
	for _, h := range d.Holders {
		out = append(out, fmt.Sprintf("%s is used by %s (%s)", h.On, h.Name, h.Kind))
	}
	for _, s := range d.Swap {
		out = append(out, fmt.Sprintf("%s is active swap", s))
	}
	return out
}

// candidateFindings says why a disk may not take the part of another one, as far as the inventory
// knows. What is written on the disk is for proof to find out.
func candidateFindings(d glia.Disk, minSize uint64, retired []string) []string {
	var out []string
	if d.Serial() == "" {
		out = append(out, "has no serial: it can not be identified")
	}
	for _, r := range retired {
		if r == d.Serial() {
			out = append(out, d.Serial()+" is a retired disk (it was taken out before)")
			break
		}
	}
	if d.Identity.Size < minSize {
		out = append(out, fmt.Sprintf("is too small: %s, the old disk has %s", bytesInWords(d.Identity.Size), bytesInWords(minSize)))
	}
	if d.Protected != "" {
		out = append(out, fmt.Sprintf("%v: %s", glia.ErrProtected, d.Protected))
	}
	if len(d.Partitions) > 0 {
		var names []string
		for _, p := range d.Partitions {
			names = append(names, p.Name)
		}
		out = append(out, "has partitions: "+strings.Join(names, ", "))
	}
	for _, m := range d.Mounts {
		out = append(out, fmt.Sprintf("%s is mounted on %s", m.Source, m.Target))
	}
	return append(out, usesOf(d)...)
}

// bytesInWords writes a size as disks are sold, and exactly: "4.00 TB (4000787030016 bytes)".
func bytesInWords(n uint64) string {
	units := []string{"bytes", "kB", "MB", "GB", "TB", "PB", "EB"}
	v, u := float64(n), 0
	for v >= 999.995 && u < len(units)-1 {
		v, u = v/1000, u+1
	}
	if u == 0 {
		return fmt.Sprintf("%d bytes", n)
	}
	return fmt.Sprintf("%.2f %s (%d bytes)", v, units[u], n)
}

func devices(disks []glia.Disk) string {
	var out []string
	for _, d := range disks {
		out = append(out, orNone(d.Location.Device))
	}
	return strings.Join(out, ", ")
}

func serials(disks []glia.Disk) string {
	var out []string
	for _, d := range disks {
		out = append(out, orNone(d.Serial()))
	}
	return strings.Join(out, ", ")
}

func orNone(s string) string {
	if s == "" {
		return "(unknown)"
	}
	return s
}
