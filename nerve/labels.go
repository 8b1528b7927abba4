package nerve

import (
	"fmt"

	"github.com/siderolabs/go-blockdevice/v2/blkid"

	"glia"
)

// label is what the superblock of a mounted filesystem says.
type label struct {
	Label string `json:"label,omitempty"`
	UUID  string `json:"uuid"`
}

// SuperblockLabels reads label and UUID from the device itself, read-only. It is needed where udev's
// database is absent, and blocks when the device does.
func SuperblockLabels(device string) (string, string, error) {
	info, err := blkid.ProbePath(device, blkid.WithSkipLocking(true))
	if err != nil {
		return "", "", fmt.Errorf("read the superblock of %s: %w", device, err)
	}
	if info.UUID == nil {
		return "", "", fmt.Errorf("read the superblock of %s: no filesystem with a UUID", device)
	}
	l := ""
	if info.Label != nil {
		l = *info.Label
	}
	return l, info.UUID.String(), nil
}

func labelKey(m glia.Mount) string { return m.Source + " " + m.Target }

// labelled is the disk with the labels that were read before.
func (e *entry) labelled(d glia.Disk) glia.Disk {
	mounts := make([]glia.Mount, len(d.Mounts))
	for i, m := range d.Mounts {
		if l, ok := e.labels[labelKey(m)]; ok && m.UUID == "" {
			m.Label, m.UUID = l.Label, l.UUID
		}
		mounts[i] = m
	}
	if len(mounts) > 0 {
		d.Mounts = mounts
	}
	return d
}

// readLabels reads the labels that nobody has told yet, once for each mount, while the disk can still
// be read.
func (n *Nerve) readLabels(serial string, d glia.Disk) {
	if n.Labels == nil {
		return
	}
	for _, m := range d.Mounts {
		if m.UUID != "" || m.Source == "" {
			continue
		}
		l, uuid, err := n.Labels("/dev/" + m.Source)
		if err != nil {
			n.Log.Debug("label can not be read", "serial", serial, "error", err)
			continue
		}
		n.mu.Lock()
		if e := n.disks[serial]; e != nil {
			e.labels[labelKey(m)] = label{Label: l, UUID: uuid}
			e.disk = e.labelled(e.disk)
			n.dirty = true
		}
		n.mu.Unlock()
	}
}
