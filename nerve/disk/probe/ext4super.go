package probe

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"glia"
)

// Ext4Errors is what the superblock of an ext4 filesystem keeps of the errors that were met in it since it
// was last checked.
type Ext4Errors struct {
	UUID        [16]byte
	Count       uint32
	First, Last time.Time // zero: none, or a kernel that did not write it
	FirstFunc   string    // function of the kernel that met it
	LastFunc    string
}

// Where things are in struct ext4_super_block (Documentation/filesystems/ext4/super.rst), little endian.
const (
	ext4SuperAt   = 1024 // bytes from the start of the device
	ext4SuperSize = 1024

	ext4Magic       = 0xef53
	ext4MagicAt     = 0x38
	ext4RoCompatAt  = 0x64
	ext4UUIDAt      = 0x68
	ext4ErrorsAt    = 0x194
	ext4FirstTimeAt = 0x198
	ext4FirstFuncAt = 0x1a8
	ext4LastTimeAt  = 0x1cc
	ext4LastFuncAt  = 0x1e0
	ext4FirstHiAt   = 0x278 // bits 32 to 39 of the time
	ext4LastHiAt    = 0x279
	ext4ChecksumAt  = 0x3fc
	ext4FuncSize    = 32
	ext4HasChecksum = 0x400 // in RoCompat: metadata_csum
)

var (
	errNoExt4   = errors.New("no superblock of ext4")
	errChecksum = errors.New("the superblock of ext4 has a wrong checksum")
)

// DecodeExt4Errors reads a superblock of 1024 bytes. ext2 and ext3 have the same.
func DecodeExt4Errors(b []byte) (Ext4Errors, error) {
	if len(b) < ext4SuperSize || binary.LittleEndian.Uint16(b[ext4MagicAt:]) != ext4Magic {
		return Ext4Errors{}, errNoExt4
	}
	u32 := func(at int) uint32 { return binary.LittleEndian.Uint32(b[at:]) }
	// The kernel's crc32c starts with all ones and does not invert the result.
	if u32(ext4RoCompatAt)&ext4HasChecksum != 0 && ^crc32.Checksum(b[:ext4ChecksumAt], crc32.MakeTable(crc32.Castagnoli)) != u32(ext4ChecksumAt) {
		return Ext4Errors{}, errChecksum
	}
	when := func(lo, hi int) time.Time {
		if sec := int64(b[hi])<<32 | int64(u32(lo)); sec != 0 {
			return time.Unix(sec, 0).UTC()
		}
		return time.Time{}
	}
	where := func(at int) string {
		name, _, _ := bytes.Cut(b[at:at+ext4FuncSize], []byte{0})
		return string(bytes.ToValidUTF8(name, []byte("?")))
	}
	return Ext4Errors{
		UUID: [16]byte(b[ext4UUIDAt:]), Count: u32(ext4ErrorsAt),
		First: when(ext4FirstTimeAt, ext4FirstHiAt), FirstFunc: where(ext4FirstFuncAt),
		Last: when(ext4LastTimeAt, ext4LastHiAt), LastFunc: where(ext4LastFuncAt),
	}, nil
}

// Superblock reads the error counters of ext4 filesystems that are not mounted, or that are mounted by a
// kernel that does not show them, from their superblocks:
//
//	fs.errors[UUID]  how many errors the filesystem has counted since it was last checked
//
// It reads one block of the disk and of each partition that nothing is built on. What can not be read there
// is not its finding; Read reads such places too.
type Superblock struct{ Roots Roots }

// Name is "superblock".
func (s *Superblock) Name() string { return "superblock" }

// Probe reads the superblocks that are there.
func (s *Superblock) Probe(ctx context.Context, d glia.Disk) []glia.Evidence {
	var out []glia.Evidence
	names := []string{d.Location.Device}
	for _, p := range d.Partitions {
		names = append(names, p.Name)
	}
	for _, name := range names {
		if ctx.Err() != nil {
			break
		}
		if slices.ContainsFunc(d.Holders, func(h glia.Holder) bool { return h.On == name }) {
			continue
		}
		if _, err := s.Roots.attr("fs/ext4", name, "errors_count"); err == nil {
			continue // mounted, and FS tells it
		}
		b, err := s.Roots.readFront(name, ext4SuperAt+ext4SuperSize)
		if err != nil {
			continue
		}
		sb, err := DecodeExt4Errors(b[ext4SuperAt:])
		if errors.Is(err, errNoExt4) {
			continue
		}
		e := glia.Evidence{Class: glia.Filesystem, Source: s.Name(), What: fmt.Sprintf("fs.errors[%x]", sb.UUID), Value: float64(sb.Count)}
		switch {
		case err != nil:
			e.What, e.Unknown = "fs.errors", fmt.Sprintf("%s: %v", name, err)
		case sb.Count > 0:
			e.Detail = fmt.Sprintf("ext4 on %s has counted %d errors%s%s", name, sb.Count, metAt("first", sb.First, sb.FirstFunc), metAt("last", sb.Last, sb.LastFunc))
		}
		out = append(out, e)
	}
	return out
}

func metAt(which string, at time.Time, where string) string {
	if at.IsZero() {
		return ""
	}
	return fmt.Sprintf(", %s at %s in %s", which, at.Format(time.RFC3339), where)
}

// readFront reads the first bytes of a disk or partition from the device itself, past the cache.
func (r Roots) readFront(name string, n int) ([]byte, error) {
	fd, err := retry(func() (int, error) {
		return unix.Open(r.dev(name), unix.O_RDONLY|unix.O_DIRECT|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, err
	}
	want, err := r.number(name)
	if have := fmt.Sprintf("%d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev)); err != nil || have != want {
		return nil, errOther
	}
	buf := aligned(readLength)
	got, err := retry(func() (int, error) { return unix.Pread(fd, buf, 0) })
	if err != nil || got < n {
		return nil, errors.Join(err, errNoExt4)
	}
	return buf[:got], nil
}
