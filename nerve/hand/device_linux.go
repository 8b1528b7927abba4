package hand

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/siderolabs/go-blockdevice/v2/blkid"
	"golang.org/x/sys/unix"

	"glia"
	"glia/internal/diskseq"
)

// device is an open block device, for reading only.
type device struct {
	file      *os.File
	path      string
	number    string // major:minor
	size      int64
	exclusive bool
}

// openDevice opens the node of a kernel name and proves that it is the device that the kernel calls
// so now, and the one that it called so when the inventory was taken. As long as it is open, the kernel
// gives its name to no other. With exclusive it also claims the device, which the kernel grants to nobody
// else at the same time: with EBUSY it is mounted, swap, part of something, or being formatted.
func openDevice(l glia.Location, exclusive bool) (*device, error) {
	path := filepath.Join("/dev", l.Device)
	flags := unix.O_RDONLY | unix.O_NONBLOCK | unix.O_CLOEXEC
	if exclusive {
		flags |= unix.O_EXCL
	}
	fd, err := unix.Open(path, flags, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	d := &device{file: os.NewFile(uintptr(fd), path), path: path, exclusive: exclusive}
	if err := d.identify(l); err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

// The kernel, udev and multipathd claim devices for some milliseconds while they set up others, and a program that
// is being started has our own claims until it is loaded; on a busy host that takes seconds. A user is who still holds
// the device after claimPatience.
const (
	claimPatience = 3 * time.Second
	claimPause    = 50 * time.Millisecond
)

// claimDevice opens a device exclusively. The error wraps EBUSY if somebody uses it.
func claimDevice(ctx context.Context, l glia.Location) (*device, error) {
	ctx, cancel := context.WithTimeout(ctx, claimPatience)
	defer cancel()
	for {
		d, err := openDevice(l, true)
		if !errors.Is(err, unix.EBUSY) {
			return d, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(claimPause):
		}
	}
}

func (d *device) identify(l glia.Location) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(d.file.Fd()), &st); err != nil {
		return fmt.Errorf("stat %s: %w", d.path, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFBLK {
		return fmt.Errorf("%s is not a block device", d.path)
	}
	d.number = fmt.Sprintf("%d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev))
	want, err := deviceNumber(l.Device)
	if err != nil {
		return err
	}
	if d.number != want {
		return fmt.Errorf("%w: %s is the node of device %s, the kernel's %s is %s", glia.ErrIdentityMismatch, d.path, d.number, l.Device, want)
	}
	if err := diskseq.Check(int(d.file.Fd()), l.DiskSeq); err != nil {
		return fmt.Errorf("%w: %s: %w", glia.ErrIdentityMismatch, d.path, err)
	}
	d.size, err = d.file.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("size of %s: %w", d.path, err)
	}
	return nil
}

// Close also waits, for a moment, until a claim is really given back: a program that is being started at the same
// time has a copy of every open file until it is loaded, and mkfs would find the disk in use.
func (d *device) Close() error {
	err := d.file.Close()
	if !d.exclusive {
		return err
	}
	for end := time.Now().Add(claimPatience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		fd, err := unix.Open(d.path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_EXCL, 0)
		if err == nil {
			_ = unix.Close(fd)
		}
		if !errors.Is(err, unix.EBUSY) {
			break
		}
	}
	return err
}

// readOnly says whether the kernel takes writes to the device.
func (d *device) readOnly() (bool, error) {
	ro, err := unix.IoctlGetInt(int(d.file.Fd()), unix.BLKROGET)
	if err != nil {
		return false, fmt.Errorf("write protection of %s: %w", d.path, err)
	}
	return ro != 0, nil
}

// edges reads the parts of the device that tell what it carries, past the page cache: what counts is
// what the medium holds.
func (d *device) edges() (edges, error) {
	fd, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", d.file.Fd()), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_DIRECT, 0)
	if err != nil {
		return edges{}, fmt.Errorf("open %s for direct reads: %w", d.path, err)
	}
	defer unix.Close(fd)
	e := edges{size: d.size}
	for _, part := range []struct {
		into *[]byte
		pos  int64
		n    int64
	}{
		{&e.front, 0, min(frontSize, d.size)},
		{&e.end, max(0, d.size-endSize), min(endSize, d.size)},
		{&e.mirror, btrfsMirror, mirrorSize},
	} {
		if part.pos+part.n > d.size {
			continue
		}
		if *part.into, err = readDirect(fd, part.pos, int(part.n)); err != nil {
			return edges{}, fmt.Errorf("read %s at byte %d: %w", d.path, part.pos, err)
		}
	}
	return e, nil
}

// readDirect reads n bytes into memory that is aligned to a page, as O_DIRECT demands.
func readDirect(fd int, pos int64, n int) ([]byte, error) {
	if n == 0 {
		return nil, nil
	}
	buf, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil, err
	}
	defer func() { _ = unix.Munmap(buf) }()
	for got := 0; got < n; {
		m, err := unix.Pread(fd, buf[got:], pos+int64(got))
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return nil, err
		case m == 0:
			return nil, io.ErrUnexpectedEOF
		}
		got += max(m, 0)
	}
	return bytes.Clone(buf), nil
}

// signatures tells what is on the device: what libblkid's rules accept, and what has the magic bytes.
// No lock is taken, so that nobody who looks at the same time is disturbed.
func (d *device) signatures(e edges) ([]signature, error) {
	out := recognise(e)
	info, err := blkid.Probe(d.file, blkid.WithSkipLocking(true))
	if err != nil {
		return out, fmt.Errorf("probe %s: %w", d.path, err)
	}
	if info.Name == "" {
		return out, nil
	}
	valid := signature{Kind: info.Name}
	if info.UUID != nil {
		valid.UUID = info.UUID.String()
	}
	if info.Label != nil {
		valid.Label = text(*info.Label)
	}
	for i, s := range out {
		if s.Kind == valid.Kind || s.Kind == "ext" && strings.HasPrefix(valid.Kind, "ext") {
			out[i] = valid
			return out, nil
		}
	}
	return append(out, valid), nil
}

// deviceNumber is the major:minor of a kernel name.
func deviceNumber(name string) (string, error) {
	b, err := os.ReadFile(filepath.Join("/sys/class/block", filepath.Base(name), "dev"))
	if err != nil {
		return "", fmt.Errorf("number of device %s: %w", name, err)
	}
	return strings.TrimSpace(string(b)), nil
}

// namesOf are the kernel names of a disk and its partitions.
func namesOf(d glia.Disk) []string {
	names := []string{d.Location.Device}
	for _, p := range d.Partitions {
		names = append(names, p.Name)
	}
	return names
}

// numbersOf maps major:minor to the kernel names of a disk and its partitions.
func numbersOf(d glia.Disk) (map[string]string, error) {
	out := map[string]string{}
	for _, name := range namesOf(d) {
		n, err := deviceNumber(name)
		if err != nil {
			return nil, err
		}
		out[n] = name
	}
	return out, nil
}
