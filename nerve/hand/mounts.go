package hand

import (
	"fmt"
	"os"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// survey is the mount table as seen from one directory and one set of devices.
type survey struct {
	on        []*mountinfo.Info // mounted on the directory, the topmost one last
	below     []*mountinfo.Info // mounted below the directory
	elsewhere []*mountinfo.Info // of the devices, mounted on other directories
}

// look is pure. owned says whether a mount is of the devices.
func look(table []*mountinfo.Info, target string, owned func(*mountinfo.Info) bool) survey {
	var s survey
	for _, m := range table {
		switch {
		case m.Mountpoint == target:
			s.on = append(s.on, m)
		case owned(m):
			s.elsewhere = append(s.elsewhere, m)
		case strings.HasPrefix(m.Mountpoint, target+"/"):
			s.below = append(s.below, m)
		}
	}
	return s
}

// mountTable reads the mounts of the nerve's own mount namespace.
func mountTable() ([]*mountinfo.Info, error) {
	table, err := mountinfo.GetMounts(nil)
	if err != nil {
		return nil, fmt.Errorf("mount table: %w", err)
	}
	return table, nil
}

// ownedBy tells mounts of devices by their number. Where the filesystem has a number of its own, as
// btrfs does, the source's node tells it.
func ownedBy(numbers map[string]string) func(*mountinfo.Info) bool {
	return func(m *mountinfo.Info) bool {
		if _, ok := numbers[numberOf(m)]; ok {
			return true
		}
		if m.Major != 0 || !strings.HasPrefix(m.Source, "/dev/") {
			return false
		}
		var st unix.Stat_t
		if err := unix.Stat(m.Source, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFBLK {
			return false
		}
		_, ok := numbers[fmt.Sprintf("%d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev))]
		return ok
	}
}

func numberOf(m *mountinfo.Info) string { return fmt.Sprintf("%d:%d", m.Major, m.Minor) }

// describe lists mounts for people: "/dev/sdk1 on /data/1, …".
func describe(mounts []*mountinfo.Info) string {
	var out []string
	for _, m := range mounts {
		out = append(out, m.Source+" on "+m.Mountpoint)
	}
	return strings.Join(out, ", ")
}

// deviceGone says whether the kernel has no block device with this number any more.
func deviceGone(number string) bool {
	_, err := os.Stat("/sys/dev/block/" + number)
	return os.IsNotExist(err)
}
