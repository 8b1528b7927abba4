package probe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"glia"
)

// TestFileName is the file that Write keeps in the root of each filesystem, with mode 0600.
const TestFileName = ".glia-probe"

const tempName = TestFileName + ".tmp"

// Write keeps a small file on each filesystem of a disk that is mounted for writing. Each probe first reads
// back, past the cache, what the former one wrote, then writes a new one and reads that back, too:
//
//	fs.readback_errors  1 when the former file can not be read or is not what was written. It is then left as
//	                    it is, as evidence, and nothing is written until a person has removed it
//	fs.write_errors     1 when writing ends in an I/O error, or what is read back differs
//	fs.write_erofs      1 when a filesystem that is mounted for writing refuses to be written
//
// No space, no quota and a filesystem without direct I/O are unknown. Read-only mounts, filesystems that
// span several disks and disks that carry the running system are left out.
type Write struct {
	Roots   Roots
	Excuses Excuses

	mu   sync.Mutex
	last map[string]written // by serial and target
}

// written is what this process wrote last to a filesystem.
type written struct {
	inode uint64
	seq   uint64
}

// Name is "write".
func (w *Write) Name() string { return "write" }

// Probe tests each filesystem of the disk.
func (w *Write) Probe(ctx context.Context, d glia.Disk) []glia.Evidence {
	if len(d.Mounts) == 0 || d.Protected != "" {
		return nil
	}
	table, err := w.Roots.mountTable()
	if err != nil {
		return []glia.Evidence{w.unknown(whyNot("read the list of mounts", err))}
	}
	var out []glia.Evidence
	done := map[string]bool{}
	for _, m := range d.Mounts {
		if done[m.Source] || !w.Roots.own(d, m) {
			continue
		}
		now, err := w.Roots.find(table, m)
		switch {
		case err != nil:
			out = append(out, w.unknown(err.Error()))
		case !now.writable():
		case ctx.Err() != nil:
			return append(out, w.unknown(whyEnded(ctx)+" before "+m.Target))
		default:
			done[m.Source] = true
			out = append(out, w.Excuses.excuse(ctx, d, m, w.test(ctx, d, now)...)...)
		}
	}
	return out
}

func (w *Write) saw(what string, value float64, detail string) glia.Evidence {
	return glia.Evidence{Class: glia.Filesystem, Source: w.Name(), What: what, Value: value, Detail: detail}
}

func (w *Write) unknown(why string) glia.Evidence {
	return glia.Evidence{Class: glia.Filesystem, Source: w.Name(), What: "fs.write_errors", Unknown: why}
}

// test reads the former file back, writes the next one, and reads that back.
func (w *Write) test(ctx context.Context, d glia.Disk, m mounted) []glia.Evidence {
	dir, err := openRoot(m)
	if err != nil {
		if isFSError(err) {
			return []glia.Evidence{w.saw("fs.write_errors", 1, fmt.Sprintf("%s opening %s", errName(err), m.Target))}
		}
		return []glia.Evidence{w.unknown(whyNot("open "+m.Target, err))}
	}
	defer unix.Close(dir)

	key := d.Serial() + "\x00" + m.Target
	w.mu.Lock()
	mine := w.last[key]
	w.mu.Unlock()

	var out []glia.Evidence
	next := mine.seq + 1
	switch block, inode, err := readBack(dir); {
	case errors.Is(err, unix.ENOENT):
	case isFSError(err):
		return []glia.Evidence{w.saw("fs.readback_errors", 1, fmt.Sprintf("%s reading back %s/%s", errName(err), m.Target, TestFileName))}
	case err != nil:
		return []glia.Evidence{w.unknown(whyNot("read back "+m.Target+"/"+TestFileName, err))}
	default:
		old, err := DecodeTestFile(block)
		if err == nil && inode == mine.inode && old.Seq != mine.seq {
			err = fmt.Errorf("%w: it is number %d, and number %d was written", errTestFile, old.Seq, mine.seq)
		}
		if err != nil {
			return []glia.Evidence{w.saw("fs.readback_errors", 1,
				fmt.Sprintf("%s/%s: %v; it is left for inspection, remove it once the disk has been looked at", m.Target, TestFileName, err))}
		}
		out = append(out, w.saw("fs.readback_errors", 0, ""))
		next = max(next, old.Seq+1)
	}
	if ctx.Err() != nil {
		return append(out, w.unknown(whyEnded(ctx)+" before writing to "+m.Target))
	}

	want := TestFile{Seq: next, Serial: d.Serial()}.Encode()
	inode, err := replace(dir, want)
	if err == nil {
		var have []byte
		if have, _, err = readBack(dir); err == nil && !bytes.Equal(have, want) {
			err = fmt.Errorf("%w right after writing", errTestFile)
		}
	}
	switch {
	case err == nil:
		w.mu.Lock()
		if w.last == nil {
			w.last = map[string]written{}
		}
		w.last[key] = written{inode, next}
		w.mu.Unlock()
		return append(out, w.saw("fs.write_errors", 0, ""), w.saw("fs.write_erofs", 0, ""))
	case errors.Is(err, unix.EROFS):
		return append(out, w.saw("fs.write_erofs", 1, m.Target+" is mounted for writing and refuses it (EROFS)"))
	case errors.Is(err, errTestFile):
		return append(out, w.saw("fs.write_errors", 1, fmt.Sprintf("%s/%s: %v", m.Target, TestFileName, err)))
	case isFSError(err):
		return append(out, w.saw("fs.write_errors", 1, fmt.Sprintf("%s writing to %s: %v", errName(err), m.Target, err)))
	}
	return append(out, w.unknown(whyNot("write to "+m.Target, err)))
}

// openRoot opens the root of a mount and checks that it is that mount, so that nothing is ever written to
// what lies below the mount point.
func openRoot(m mounted) (int, error) {
	dir, err := unix.Open(m.Target, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(dir, &st); err != nil {
		unix.Close(dir)
		return -1, err
	}
	have := fmt.Sprintf("%d:%d", unix.Major(st.Dev), unix.Minor(st.Dev))
	if have != m.dev && unix.Major(st.Dev) != 0 { // btrfs numbers each subvolume itself
		unix.Close(dir)
		return -1, fmt.Errorf("its files are on device %s, not on %s", have, m.dev)
	}
	return dir, nil
}

// readBack reads the test file from the disk, past the cache, and tells its inode.
func readBack(dir int) ([]byte, uint64, error) {
	fd, err := unix.Openat(dir, TestFileName, unix.O_RDONLY|unix.O_DIRECT|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.EINVAL) {
		return nil, 0, errors.New("the filesystem has no direct I/O")
	}
	if err != nil {
		return nil, 0, err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, 0, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG || st.Size != TestFileSize || int(st.Uid) != os.Geteuid() {
		return nil, 0, errors.New("this is not a file that nerve wrote; move it away")
	}
	buf := aligned(TestFileSize)
	n, err := retry(func() (int, error) { return unix.Pread(fd, buf, 0) })
	if err != nil {
		return nil, 0, err
	}
	if n != TestFileSize {
		return nil, 0, fmt.Errorf("only %d bytes could be read", n)
	}
	return buf, st.Ino, nil
}

// replace puts the block in the place of the test file: all of it or nothing, and on the disk when it returns.
// What it leaves when it is killed half-way is cleared away by its next call.
func replace(dir int, block []byte) (inode uint64, err error) {
	if err := unix.Unlinkat(dir, tempName, 0); err != nil && !errors.Is(err, unix.ENOENT) {
		return 0, fmt.Errorf("remove %s: %w", tempName, err)
	}
	fd, err := unix.Openat(dir, tempName, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return 0, fmt.Errorf("create %s: %w", tempName, err)
	}
	defer func() {
		if err != nil {
			_ = unix.Unlinkat(dir, tempName, 0) // the first error is the one that matters
		}
	}()
	if inode, err = fill(fd, block); err != nil {
		return 0, fmt.Errorf("write %s: %w", tempName, err)
	}
	if err := unix.Renameat(dir, tempName, dir, TestFileName); err != nil {
		return 0, fmt.Errorf("rename %s to %s: %w", tempName, TestFileName, err)
	}
	if err := unix.Fsync(dir); err != nil && !errors.Is(err, unix.EINVAL) { // some filesystems cannot sync directories
		return 0, fmt.Errorf("sync the directory: %w", err)
	}
	return inode, nil
}

// fill writes and syncs the block, closes the file in any case, and tells its inode.
func fill(fd int, block []byte) (uint64, error) {
	var st unix.Stat_t
	n, err := retry(func() (int, error) { return unix.Write(fd, block) })
	if err == nil && n < len(block) {
		err = unix.ENOSPC // what a short write to a regular file means
	}
	if err == nil {
		err = unix.Fsync(fd)
	}
	if err == nil {
		err = unix.Fstat(fd, &st)
	}
	if closed := unix.Close(fd); err == nil {
		err = closed
	}
	return st.Ino, err
}
