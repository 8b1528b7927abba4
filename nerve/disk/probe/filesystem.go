package probe

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"glia"
)

// FS looks at the mounted filesystems of a disk, without writing. For each mount it tells
//
//	fs.statfs_errors  1 when asking for the filesystem's state ends in an I/O error, else 0
//	fs.readonly       1 when the kernel made it read-only after an error, else 0; read-only mounts
//	                  that somebody asked for are 0
//	fs.shutdown       XFS only: 1 when it has shut itself down, else 0
//	fs.errors[TARGET] ext4 only: how many errors the filesystem has counted since it was last checked
//	btrfs.*           see btrfsErrors; also of filesystems that span several disks
//
// Filesystems that span several disks are left out otherwise, and a full filesystem is not a fault. btrfs
// makes itself read-only for want of space, too; that is unknown unless it has met errors of the disk.
type FS struct {
	Roots   Roots
	Excuses Excuses
}

// Name is "filesystem".
func (f *FS) Name() string { return "filesystem" }

// Probe looks at each mount of the disk.
func (f *FS) Probe(ctx context.Context, d glia.Disk) []glia.Evidence {
	if len(d.Mounts) == 0 {
		return nil
	}
	table, err := f.Roots.mountTable()
	if err != nil {
		return []glia.Evidence{f.saw("fs.statfs_errors", glia.Evidence{Unknown: whyNot("read the list of mounts", err)})}
	}
	var out []glia.Evidence
	counted := map[string]bool{}
	for _, m := range d.Mounts {
		own := f.Roots.own(d, m)
		if !own && m.FSType != "btrfs" {
			continue
		}
		if ctx.Err() != nil {
			return append(out, f.saw("fs.statfs_errors", glia.Evidence{Unknown: whyEnded(ctx) + " before " + m.Target}))
		}
		now, err := f.Roots.find(table, m)
		if err != nil {
			out = append(out, f.saw("fs.statfs_errors", glia.Evidence{Unknown: err.Error()}))
			continue
		}
		var met []glia.Evidence
		if m.FSType == "btrfs" && !counted[m.Source] {
			counted[m.Source] = true
			met = f.btrfsErrors(d, m)
			out = append(out, met...)
		}
		if !own {
			continue
		}
		fault := func(what string, e glia.Evidence) {
			out = append(out, f.Excuses.excuse(ctx, d, m, f.saw(what, e))...)
		}
		fault("fs.readonly", readOnly(now, met))
		if m.FSType == "ext4" && !counted[m.Source] {
			counted[m.Source] = true
			if e, ok := f.ext4Errors(m); ok {
				out = append(out, e)
			}
		}
		// Last, because it is the only one that may block.
		stat := statErrors(m)
		if m.FSType == "xfs" {
			fault("fs.shutdown", shutdown(m, stat))
		}
		fault("fs.statfs_errors", stat)
	}
	return out
}

func (f *FS) saw(what string, e glia.Evidence) glia.Evidence {
	e.Class, e.Source, e.What = glia.Filesystem, f.Name(), what
	return e
}

// readOnly judges a mount. met is what btrfs has met on the disk.
func readOnly(m mounted, met []glia.Evidence) glia.Evidence {
	if how := m.forced(); how != "" {
		if m.FSType == "btrfs" && !slices.ContainsFunc(met, func(e glia.Evidence) bool { return e.Unknown == "" && e.Value > 0 }) {
			return glia.Evidence{Unknown: fmt.Sprintf("btrfs has made %s read-only and has met no error of the disk; its log says why", m.Target)}
		}
		return glia.Evidence{Value: 1, Detail: fmt.Sprintf("%s of %s is mounted rw, and the kernel has made it read-only (%s)", m.FSType, m.Target, how)}
	}
	return glia.Evidence{}
}

// shutdown goes by what stat of the root said: XFS that has shut itself down answers it with EIO, and has no
// other reason to, because the root is in memory (fs/xfs/xfs_iops.c, xfs_vn_getattr). Mount table and sysfs do
// not show it.
func shutdown(m glia.Mount, stat glia.Evidence) glia.Evidence {
	if stat.Value > 0 {
		return glia.Evidence{Value: 1, Detail: "XFS of " + m.Target + " has shut itself down: " + stat.Detail}
	}
	return glia.Evidence{Unknown: stat.Unknown}
}

// statErrors asks for the filesystem and for its root: XFS that has shut itself down still answers the
// first question.
func statErrors(m glia.Mount) glia.Evidence {
	var fs unix.Statfs_t
	var root unix.Stat_t
	call := "statfs"
	err := unix.Statfs(m.Target, &fs)
	if err == nil {
		call, err = "stat", unix.Stat(m.Target, &root)
	}
	switch {
	case err == nil:
		return glia.Evidence{}
	case isFSError(err):
		return glia.Evidence{Value: 1, Detail: fmt.Sprintf("%s at %s of %s", errName(err), call, m.Target)}
	}
	return glia.Evidence{Unknown: whyNot(call+" "+m.Target, err)}
}

// ext4Errors reads the counter of the superblock. It stays over mounts and is set back by e2fsck only.
// The target is part of the name of the quantity, because each filesystem counts for itself.
func (f *FS) ext4Errors(m glia.Mount) (glia.Evidence, bool) {
	e := f.saw("fs.errors["+m.Target+"]", glia.Evidence{})
	text, err := f.Roots.attr("fs/ext4", m.Source, "errors_count")
	if err != nil {
		return e, false // a kernel without the counter
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		e.Unknown = fmt.Sprintf("errors_count of %s is %q, which is no number", m.Source, text)
		return e, true
	}
	e.Value = float64(n)
	if n > 0 {
		e.Detail = fmt.Sprintf("ext4 on %s has counted %d errors", m.Target, n)
		for _, end := range []string{"first", "last"} {
			at, _ := f.Roots.attr("fs/ext4", m.Source, end+"_error_time")
			where, _ := f.Roots.attr("fs/ext4", m.Source, end+"_error_func")
			if sec, err := strconv.ParseInt(at, 10, 64); err == nil && sec > 0 {
				e.Detail += fmt.Sprintf(", %s at %s in %s", end, time.Unix(sec, 0).UTC().Format(time.RFC3339), where)
			}
		}
	}
	return e, true
}
