package hand

import (
	"context"
	"fmt"
	"time"

	"glia"
	gliav1 "glia/api/glia/v1"
)

// formatTimeout bounds mkfs, which may discard a whole SSD first.
const formatTimeout = 30 * time.Minute

// mkfs returns the command that makes a filesystem. Without force mkfs's own checks are one guard
// more: it refuses what is mounted, and mkfs.xfs what carries a filesystem.
func mkfs(fs *gliav1.Filesystem, device string, force bool) []string {
	argv, forceFlag, uuid := []string{"mkfs.ext4", "-q"}, "-F", []string{"-U", fs.GetUuid()}
	if fs.GetType() == "xfs" {
		argv, forceFlag, uuid = []string{"mkfs.xfs", "-q"}, "-f", []string{"-m", "uuid=" + fs.GetUuid()}
	}
	if force {
		argv = append(argv, forceFlag)
	}
	if fs.GetLabel() != "" {
		argv = append(argv, "-L", fs.GetLabel())
	}
	return append(append(argv, uuid...), device)
}

// format prepares making a filesystem on the new disk, which is proven blank here. There is one
// exception: if the journal says that this very order began to format this very disk, and nothing is
// recognised on it but that filesystem, then what is on it is our own half-made work.
func (h *Hand) format(ctx context.Context, o *gliav1.Order) (step, error) {
	fs := o.GetFilesystem()
	disks, err := h.disks(ctx)
	if err != nil {
		return step{}, err
	}
	d, err := ordered(disks, o)
	if err != nil {
		return step{}, err
	}
	if findings := candidateFindings(d, o.GetMinSize(), o.GetRetired()); len(findings) > 0 {
		return step{}, fmt.Errorf("disk %s: %s", d.Serial(), inWords(findings))
	}
	p := prove(ctx, d)
	resumed := false
	if !p.blank() {
		_, resumed = h.journal.Lookup(o.GetKey())
		if !resumed || !p.ownHalfMade(fs.GetType(), fs.GetUuid()) {
			return step{}, fmt.Errorf("%w: %s: %s", glia.ErrNotBlank, d, inWords(p.findings()))
		}
	}
	if err := h.still(ctx, d, o, p.number); err != nil {
		return step{}, err
	}
	argv := mkfs(fs, d.DevicePath(), resumed)
	return step{
		commands: []string{commandLine(argv...)},
		run: func(ctx context.Context) (string, error) {
			dev, err := openDevice(d.Location, false) // mkfs goes by the name, which stays this disk's meanwhile
			if err != nil {
				return "", err
			}
			defer dev.Close()
			out, err := h.run(ctx, formatTimeout, argv, toolEnv)
			if err != nil {
				return out, err
			}
			return out, carries(d.Location.Device, fs)
		},
	}, nil
}

// still takes a second inventory and says why the disk is not any more the one that was proven.
func (h *Hand) still(ctx context.Context, d glia.Disk, o *gliav1.Order, number string) error {
	disks, err := h.disks(ctx)
	if err != nil {
		return err
	}
	again, err := ordered(disks, o)
	if err != nil {
		return err
	}
	now, err := deviceNumber(again.Location.Device)
	if err != nil {
		return err
	}
	if again.Location.Device != d.Location.Device || again.Location.DiskSeq != d.Location.DiskSeq || now != number || again.Identity != d.Identity {
		return fmt.Errorf("%w: %s changed while it was looked at (it is %s now)", glia.ErrIdentityMismatch, d, again)
	}
	return nil
}

// carries is the postcondition of format: the whole device shows the filesystem that was ordered and
// nothing else.
func carries(name string, fs *gliav1.Filesystem) error {
	found, err := filesystemsOn(name)
	if err != nil {
		return fmt.Errorf("look at the new filesystem: %w", err)
	}
	want := signature{Kind: fs.GetType(), UUID: fs.GetUuid(), Label: fs.GetLabel()}
	if len(found) != 1 || found[0] != want {
		return fmt.Errorf("after mkfs, /dev/%s should carry %s but shows %v", name, want, found)
	}
	return nil
}
