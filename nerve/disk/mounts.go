package disk

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/sys/mountinfo"
)

// mounted is one mount with the block devices that carry its filesystem.
type mounted struct {
	*mountinfo.Info
	on    []string
	known bool // on is complete; when it is empty too, no block device carries the filesystem
}

// diskless are the types of filesystem that live in memory, on the network or on raw flash.
var diskless = map[string]bool{
	"tmpfs": true, "ramfs": true, "rootfs": true,
	"nfs": true, "nfs4": true, "cifs": true, "smb3": true, "9p": true, "virtiofs": true, "ceph": true,
	"ubifs": true, "jffs2": true,
}

// resolver finds the block devices that carry a filesystem.
type resolver struct {
	tree
	devices devices
	byNum   map[string]string
	nodes   map[string]string   // path below /dev to name, for those that sysfs alone can tell
	btrfs   map[string][]string // device to all members of the btrfs filesystem that it belongs to
}

func (t tree) resolver(ds devices) resolver {
	r := resolver{tree: t, devices: ds, byNum: ds.byNum(), nodes: map[string]string{}, btrfs: map[string][]string{}}
	for _, d := range ds {
		r.nodes[d.node()] = d.name
		if d.label != d.node() {
			r.nodes["mapper/"+d.label] = d.name
		}
	}
	filesystems, _ := filepath.Glob(t.path("sys/fs/btrfs/*/devices"))
	for _, dir := range filesystems {
		entries, _ := os.ReadDir(dir)
		var members []string
		for _, e := range entries {
			members = append(members, e.Name())
		}
		for _, m := range members {
			r.btrfs[m] = members
		}
	}
	return r
}

// mounts reads the mount table of a process, in the order of mounting.
func (r resolver) mounts(process string) ([]mounted, error) {
	f, err := os.Open(r.path("proc", process, "mountinfo"))
	if err != nil {
		return nil, fmt.Errorf("mount table: %w", err)
	}
	defer f.Close()
	infos, err := mountinfo.GetMountsFromReader(f, nil)
	if err != nil {
		return nil, fmt.Errorf("mount table %s: %w", f.Name(), err)
	}
	out := make([]mounted, len(infos))
	for i, info := range infos {
		out[i].Info = info
		out[i].on, out[i].known = r.carriers(info)
	}
	for i := range out {
		if out[i].FSType == "overlay" {
			out[i].on, out[i].known = overlayCarriers(out, i)
		}
	}
	return out, nil
}

// carriers goes by the device number of the filesystem. A filesystem that may span several devices has
// the number of none, and is found by its source; btrfs names one member there and lists all in sysfs.
func (r resolver) carriers(i *mountinfo.Info) (on []string, known bool) {
	if i.FSType == "overlay" { // its source is any word; overlayCarriers knows better
		return nil, false
	}
	if i.Major != 0 {
		name, ok := r.byNum[fmt.Sprintf("%d:%d", i.Major, i.Minor)]
		if !ok {
			return nil, false
		}
		return []string{name}, true
	}
	if diskless[i.FSType] {
		return nil, true
	}
	sources := []string{i.Source}
	if i.FSType == "bcachefs" {
		sources = strings.Split(i.Source, ":")
	}
	known = true
	for _, s := range sources {
		name, ok := r.device(s)
		if !ok {
			known = false
			continue
		}
		members := []string{name}
		if i.FSType == "btrfs" && len(r.btrfs[name]) > 0 {
			members = r.btrfs[name]
		}
		on = append(on, members...)
	}
	return on, known
}

// device is the name of the device that a path below /dev leads to. No device is opened on the way.
func (r resolver) device(path string) (string, bool) {
	node, ok := strings.CutPrefix(path, "/dev/")
	if !ok {
		return "", false
	}
	if to, err := filepath.EvalSymlinks(r.path(path)); err == nil {
		if rel, err := filepath.Rel(r.path("dev"), to); err == nil {
			node = rel
		}
	}
	name, ok := r.nodes[node]
	return name, ok
}

// overlayCarriers finds what carries the layers of an overlay, by the mounts that its directories lie
// on. Inside a container those directories are the host's and lie on no mount that can be seen: their
// paths then lead back to the overlay itself, and what carries it is not known.
func overlayCarriers(all []mounted, self int) (on []string, known bool) {
	for option := range strings.SplitSeq(all[self].VFSOptions, ",") {
		key, value, _ := strings.Cut(option, "=")
		switch strings.TrimSuffix(key, "+") {
		case "lowerdir", "upperdir", "datadir":
		default:
			continue
		}
		if strings.Contains(value, `\`) { // an escaped separator; too rare to get right
			return nil, false
		}
		for dir := range strings.SplitSeq(value, ":") {
			if dir == "" {
				continue
			}
			i := mountOf(all, dir)
			if i < 0 || !all[i].known {
				return nil, false
			}
			on, known = append(on, all[i].on...), true
		}
	}
	return slices.Compact(slices.Sorted(slices.Values(on))), known
}

// mountOf is the index of the mount that a path lies on, -1 when there is none.
func mountOf(all []mounted, path string) int {
	best := -1
	for i, m := range all {
		if within(path, m.Mountpoint) && (best < 0 || len(m.Mountpoint) >= len(all[best].Mountpoint)) {
			best = i
		}
	}
	return best
}

// within says whether a path is a directory or lies below it. Both are absolute.
func within(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}

// byLink maps devices to the names that udev links them under, such as labels.
func (r resolver) byLink(dir string) map[string]string {
	out := map[string]string{}
	entries, _ := os.ReadDir(r.path("dev", dir))
	for _, e := range entries {
		if name, ok := r.device("/dev/" + dir + "/" + e.Name()); ok {
			out[name] = unescapeUdev(e.Name())
		}
	}
	return out
}
