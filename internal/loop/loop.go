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

	"glia/internal/diskseq"
)

// Device is one attached loop device.
type Device struct {
	Name string // kernel name, such as loop7
	File string // absolute path of the backing file
	Seq  uint64 // number of this attachment, see package diskseq; 0 when the kernel does not tell
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

// Attach makes a loop device of a file, which stays attached until somebody detaches it.
func Attach(file string) (Device, error) {
	d, dev, err := attach(file, 0)
	if err != nil {
		return Device{}, err
	}
	return d, dev.Close()
}

// attach returns the device also open for reading. Others may take the free device that the kernel named before
// we do; then the next one is tried.
func attach(file string, flags uint32) (Device, *os.File, error) {
	file, err := filepath.Abs(file)
	if err != nil {
		return Device{}, nil, err
	}
	fail := func(err error) error { return fmt.Errorf("attach %s: %w", file, err) }
	back, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		return Device{}, nil, fail(err)
	}
	defer func() { _ = back.Close() }() // the kernel holds its own reference
	ctl, err := os.OpenFile(control, os.O_RDWR, 0)
	if err != nil {
		return Device{}, nil, fail(err)
	}
	defer func() { _ = ctl.Close() }()
	for range 100 {
		n, err := unix.IoctlRetInt(int(ctl.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return Device{}, nil, fail(fmt.Errorf("find a free loop device: %w", err))
		}
		d := Device{Name: fmt.Sprintf("loop%d", n), File: file}
		dev, err := configure(d, back, flags)
		if err == nil {
			d.Seq = diskseq.Of(int(dev.Fd()))
			return d, dev, nil
		}
		if !errors.Is(err, unix.EBUSY) {
			return Device{}, nil, fail(fmt.Errorf("with %s: %w", d.Path(), err))
		}
	}
	return Device{}, nil, fail(errors.New("every loop device was taken by others"))
}

// configure returns the device open for reading. The node that is open for writing must be closed last of the
// two: with LO_FLAGS_AUTOCLEAR the device is detached when nobody has it open.
func configure(d Device, back *os.File, flags uint32) (*os.File, error) {
	dev, err := os.OpenFile(d.Path(), os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = dev.Close() }()
	c := unix.LoopConfig{Fd: uint32(back.Fd()), Info: unix.LoopInfo64{Flags: flags}}
	copy(c.Info.File_name[:len(c.Info.File_name)-1], d.File)
	if err := unix.IoctlLoopConfigure(int(dev.Fd()), &c); err != nil {
		return nil, err
	}
	return os.Open(d.Path())
}

// Detach takes a loop device from its file. It returns an error while the device is mounted. A device that is not
// attached any more is no error, and one that somebody else has attached since is left alone.
func Detach(d Device) error {
	dev, err := os.OpenFile(d.Path(), os.O_RDONLY, 0)
	if err != nil {
		return fmt.Errorf("detach %s: %w", d.Path(), err)
	}
	defer func() { _ = dev.Close() }() // until then the device can not become another's
	if !attached(d) {
		return nil
	}
	if err := unix.IoctlSetInt(int(dev.Fd()), unix.LOOP_CLR_FD, 0); err != nil && !errors.Is(err, unix.ENXIO) {
		return fmt.Errorf("detach %s: %w", d.Path(), err)
	}
	return nil
}

// attached says whether the device is still attached as it was.
func attached(d Device) bool {
	file, _ := backing(d.Name)
	return file != "" && (d.Seq == 0 || diskseq.Named("/sys", d.Name) == d.Seq)
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
			out = append(out, Device{Name: name, File: file, Seq: diskseq.Named("/sys", name)})
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
