package ceph

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// namePrefix begins the names of all clusters that are made here; behind it come the pid and a number.
const namePrefix = "glia-"

// usable says what is missing for a cluster on this machine.
func usable() error {
	if err := rootNeeded(); err != nil {
		return err
	}
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		return fmt.Errorf("needs loop devices: %w", err)
	}
	for _, program := range []string{"ceph", "ceph-mon", "ceph-mgr", "ceph-osd", "rados", "monmaptool"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("%w; install Ceph with: sh internal/testbed/install.sh ceph", err)
		}
	}
	return nil
}

func rootNeeded() error {
	if os.Geteuid() != 0 {
		return errors.New("needs root for loop devices and mounts")
	}
	return nil
}

// unmountBelow unmounts everything in a directory whose name there begins with a prefix.
func unmountBelow(root, prefix string) error {
	mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(root))
	if err != nil {
		return err
	}
	var errs []error
	for _, m := range mounts {
		if strings.HasPrefix(m.Mountpoint, filepath.Join(root, prefix)) {
			errs = append(errs, unix.Unmount(m.Mountpoint, unix.MNT_DETACH))
		}
	}
	return errors.Join(errs...)
}

// removeTraces removes what a cluster left in the directories that it shares with others.
func removeTraces(name string) error {
	var errs []error
	for _, f := range []string{confLink(name), bootstrapKeyring(name)} {
		if err := os.Remove(f); err != nil && !os.IsNotExist(err) {
			errs = append(errs, err)
		}
	}
	dirs, _ := filepath.Glob(filepath.Join(osdRoot, name+"-*"))
	for _, d := range dirs {
		errs = append(errs, os.RemoveAll(d))
	}
	return errors.Join(errs...)
}

// sweep removes the traces of clusters whose process is gone. What can not be removed stays for the next
// time.
func sweep() {
	links, _ := filepath.Glob(filepath.Join(confRoot, namePrefix+"*.conf"))
	for _, link := range links {
		name := strings.TrimSuffix(filepath.Base(link), ".conf")
		pid, _, _ := strings.Cut(strings.TrimPrefix(name, namePrefix), "-")
		n, err := strconv.Atoi(pid)
		if err != nil || n <= 0 || !errors.Is(unix.Kill(n, 0), unix.ESRCH) {
			continue
		}
		dir, _ := os.Readlink(link)
		_ = cmp.Or(unmountBelow(osdRoot, name+"-"), removeTraces(name))
		if dir = filepath.Dir(dir); strings.HasPrefix(filepath.Base(dir), namePrefix) {
			_ = os.RemoveAll(dir)
		}
	}
}
