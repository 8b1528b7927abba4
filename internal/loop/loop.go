// Package loop attaches files to loop devices and detaches them, for the demo and for tests on real
// block devices. It needs root and /dev/loop-control. Interface: loop(4).
package loop

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Device is one attached loop device.
type Device struct {
	Name string // kernel name, such as loop7
	File string // absolute path of the backing file
}

// Path is the device node.
func (d Device) Path() string { return "/dev/" + d.Name }

const control = "/dev/loop-control"

// Usable says why loop devices can not be used here; nil when they can.
func Usable() error {
	if os.Geteuid() != 0 {
		return errors.New("loop devices need root")
	}
	f, err := os.OpenFile(control, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("this kernel offers no loop devices: %w", err)
	}
	return f.Close()
}

// Attach makes a loop device of a file. Others may take the free device that the kernel named before
// we do; then the next one is tried.
func Attach(file string) (Device, error) {
	file, err := filepath.Abs(file)
	if err != nil {
		return Device{}, err
	}
	back, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		return Device{}, fmt.Errorf("attach %s: %w", file, err)
	}
	defer func() { _ = back.Close() }() // the kernel holds its own reference
	ctl, err := os.OpenFile(control, os.O_RDWR, 0)
	if err != nil {
		return Device{}, fmt.Errorf("attach %s: %w", file, err)
	}
	defer func() { _ = ctl.Close() }()
	for range 100 {
		n, err := unix.IoctlRetInt(int(ctl.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return Device{}, fmt.Errorf("attach %s: find a free loop device: %w", file, err)
		}
		d := Device{Name: fmt.Sprintf("loop%d", n), File: file}
		err = configure(d, back)
		if err == nil {
			return d, nil
		}
		if !errors.Is(err, unix.EBUSY) {
			return Device{}, fmt.Errorf("attach %s to %s: %w", file, d.Path(), err)
		}
	}
	return Device{}, fmt.Errorf("attach %s: every loop device was taken by others", file)
}

func configure(d Device, back *os.File) error {
	dev, err := os.OpenFile(d.Path(), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { _ = dev.Close() }()
	c := unix.LoopConfig{Fd: uint32(back.Fd())}
	copy(c.Info.File_name[:len(c.Info.File_name)-1], d.File)
	return unix.IoctlLoopConfigure(int(dev.Fd()), &c)
}

// Detach takes a loop device from its file. It returns an error while the device is mounted. A device
// that is not attached is no error.
func Detach(d Device) error {
	if file, _ := backing(d.Name); file == "" {
		return nil
	}
	dev, err := os.OpenFile(d.Path(), os.O_RDONLY, 0)
	if err != nil {
		return fmt.Errorf("detach %s: %w", d.Path(), err)
	}
	defer func() { _ = dev.Close() }()
	if err := unix.IoctlSetInt(int(dev.Fd()), unix.LOOP_CLR_FD, 0); err != nil && !errors.Is(err, unix.ENXIO) {
		return fmt.Errorf("detach %s: %w", d.Path(), err)
	}
	return nil
}

// Below lists the loop devices whose files are below a directory, deleted files included.
func Below(dir string) ([]Device, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	found, err := filepath.Glob("/sys/block/loop*")
	if err != nil {
		return nil, err
	}
	var out []Device
	for _, p := range found {
		name := filepath.Base(p)
		file, err := backing(name)
		if err != nil {
			return nil, err
		}
		if strings.HasPrefix(file, dir+"/") {
			out = append(out, Device{Name: name, File: file})
		}
	}
	slices.SortFunc(out, func(a, b Device) int { return strings.Compare(a.File, b.File) })
	return out, nil
}

// backing is the file behind a device; empty when it is not attached.
func backing(name string) (string, error) {
	b, err := os.ReadFile("/sys/block/" + name + "/loop/backing_file")
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENXIO) || errors.Is(err, unix.ENODEV) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return strings.TrimSuffix(strings.TrimSpace(string(b)), " (deleted)"), nil
}
