package dev

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"glia/internal/loop"
	"glia/internal/program/nerved"
)

// diskSize is that of a demo disk: the smallest that mkfs.xfs accepts, and some. The file is sparse.
const diskSize = 320 << 20

// realStage has loop devices for disks, with ext4 and XFS on them, mounted.
type realStage struct{ dir string }

func (s realStage) words() string { return "loop devices with ext4 and XFS, really mounted" }

func (s realStage) size() int64 { return diskSize }

func (s realStage) slotDir(host string, slot int) string {
	return filepath.Join(s.dir, host, "slots", fmt.Sprint(slot))
}

func (s realStage) target(host string, slot int) string {
	return filepath.Join(s.dir, host, "data", fmt.Sprint(slot))
}

// globs are the backing files of the host's disks.
func (s realStage) globs(host string) []string {
	return []string{filepath.Join(s.dir, host, "slots", "*", "*.img")}
}

// prepare makes and mounts the disks of all hosts.
func (s realStage) prepare(ctx context.Context) error {
	var g errgroup.Group
	for _, host := range hostNames {
		for slot := 1; slot <= disksPerHost; slot++ {
			g.Go(func() error {
				serial := serialOf(host, slot, 0)
				d, err := s.attach(host, slot, serial, diskSize)
				if err != nil {
					return err
				}
				return s.format(ctx, d, host, slot)
			})
		}
	}
	return g.Wait()
}

// attach puts a new disk into a slot.
func (s realStage) attach(host string, slot int, serial string, size int64) (loop.Device, error) {
	file := filepath.Join(s.slotDir(host, slot), serial+".img")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return loop.Device{}, err
	}
	f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return loop.Device{}, err
	}
	if err := errors.Join(f.Truncate(size), f.Close()); err != nil {
		return loop.Device{}, err
	}
	return loop.Attach(file)
}

// format makes the filesystem of a slot and mounts it: ext4 in odd slots, XFS in even ones.
func (s realStage) format(ctx context.Context, d loop.Device, host string, slot int) error {
	label := fmt.Sprintf("%s-d%d", strings.TrimPrefix(host, "node-"), slot)
	mkfs := []string{"mkfs.ext4", "-q", "-L", label, "-E", "lazy_itable_init=0,lazy_journal_init=0", d.Path()}
	fsType := "ext4"
	if slot%2 == 0 {
		mkfs, fsType = []string{"mkfs.xfs", "-q", "-L", label, d.Path()}, "xfs"
	}
	if out, err := exec.CommandContext(ctx, mkfs[0], mkfs[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(mkfs, " "), err, out)
	}
	target := s.target(host, slot)
	if err := os.MkdirAll(target, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(d.Path(), target, fsType, unix.MS_NOATIME, ""); err != nil {
		return fmt.Errorf("mount %s on %s: %w", d.Path(), target, err)
	}
	return os.WriteFile(filepath.Join(target, "data"), []byte("something that is worth keeping\n"), 0o600)
}

func (s realStage) parts(string) nerved.Parts { return nerved.Parts{} }

// inSlot finds the disk that is attached in a slot.
func (s realStage) inSlot(host string, slot int) (loop.Device, error) {
	list, err := loop.Below(s.slotDir(host, slot))
	if err != nil {
		return loop.Device{}, err
	}
	if len(list) == 0 {
		return loop.Device{}, fmt.Errorf("slot %d of %s is empty", slot, host)
	}
	return list[0], nil
}

func (s realStage) serial(host string, slot int) (string, error) {
	d, err := s.inSlot(host, slot)
	return strings.TrimSuffix(filepath.Base(d.File), ".img"), err
}

// leaves is what is left of a disk that breaks, in bytes. Reads behind it are beyond the end of the
// backing file, which the loop driver answers with EIO. XFS puts small files right behind its first
// 32 kB, and they must be lost too.
const leaves = 16 << 10

func (s realStage) fail(host string, slot int) (string, error) {
	d, err := s.inSlot(host, slot)
	if err != nil {
		return "", err
	}
	if err := syncfs(s.target(host, slot)); err != nil { // what is written back later would make the file long again
		return "", err
	}
	if err := os.Truncate(d.File, leaves); err != nil {
		return "", err
	}
	return fmt.Sprintf("its backing file was cut to %d kB, so that the kernel answers reads with EIO", leaves>>10), nil
}

func syncfs(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(unix.Syncfs(int(f.Fd())), f.Close())
}

// pull takes the disk out. The kernel does not let go of a mounted loop device, so it is unmounted
// lazily first; a real disk would be gone with its filesystem still mounted.
func (s realStage) pull(host string, slot int) error {
	d, err := s.inSlot(host, slot)
	if err != nil {
		return err
	}
	if err := unmountAll(d.Path()); err != nil {
		return err
	}
	if err := loop.Detach(d); err != nil {
		return err
	}
	shelf := filepath.Join(s.dir, "shelf")
	if err := os.MkdirAll(shelf, 0o755); err != nil {
		return err
	}
	return os.Rename(d.File, filepath.Join(shelf, filepath.Base(d.File)))
}

// insert puts a disk into an empty slot: the named one from the shelf, or a new one of that size. A
// disk that was mounted when it was pulled is not mounted again by itself.
func (s realStage) insert(ctx context.Context, host string, slot int, serial string, size int64, used bool) error {
	if d, err := s.inSlot(host, slot); err == nil {
		return fmt.Errorf("slot %d of %s holds %s: pull that first", slot, host, filepath.Base(d.File))
	}
	old := filepath.Join(s.dir, "shelf", serial+".img")
	if _, err := os.Stat(old); err == nil {
		file := filepath.Join(s.slotDir(host, slot), serial+".img")
		if err := os.Rename(old, file); err != nil {
			return err
		}
		d, err := loop.Attach(file)
		if err != nil || !strings.HasSuffix(serial, "A") {
			return err
		}
		fsType := "ext4"
		if slot%2 == 0 {
			fsType = "xfs"
		}
		_ = unix.Mount(d.Path(), s.target(host, slot), fsType, unix.MS_NOATIME, "") // a broken disk can not be mounted
		return nil
	}
	d, err := s.attach(host, slot, serial, size)
	if err != nil || !used {
		return err
	}
	out, err := exec.CommandContext(ctx, "mkfs.ext4", "-q", "-L", "holiday", d.Path()).CombinedOutput()
	if err != nil {
		return fmt.Errorf("mkfs.ext4 %s: %w: %s", d.Path(), err, out)
	}
	return nil
}

// unmountAll unmounts a device lazily wherever it is mounted.
func unmountAll(source string) error {
	mounts, err := mountinfo.GetMounts(func(m *mountinfo.Info) (skip, stop bool) { return m.Source != source, false })
	if err != nil {
		return err
	}
	for _, m := range mounts {
		if err := unix.Unmount(m.Mountpoint, unix.MNT_DETACH); err != nil {
			return fmt.Errorf("unmount %s: %w", m.Mountpoint, err)
		}
	}
	return nil
}

// sweep removes everything below a demo's directory: mounts, loop devices, files. It is what a demo
// does at its end, and at its start for one that has crashed.
func sweep(dir string) error {
	mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(dir))
	if err != nil {
		return err
	}
	slices.SortFunc(mounts, func(a, b *mountinfo.Info) int { return len(b.Mountpoint) - len(a.Mountpoint) })
	var errs []error
	for _, m := range mounts {
		if err := unix.Unmount(m.Mountpoint, 0); err != nil {
			if err = unix.Unmount(m.Mountpoint, unix.MNT_DETACH); err != nil {
				errs = append(errs, fmt.Errorf("unmount %s: %w", m.Mountpoint, err))
			}
		}
	}
	devices, err := loop.Below(dir)
	if err != nil {
		errs = append(errs, err)
	}
	for _, d := range devices {
		errs = append(errs, loop.Detach(d))
	}
	return errors.Join(append(errs, os.RemoveAll(dir))...)
}
