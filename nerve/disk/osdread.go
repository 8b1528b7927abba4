package disk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"glia/nerve/disk/bluestore"
)

// front is what the first bytes of a device tell.
type front struct {
	label *bluestore.Label // nil: it carries none
	lvm   bool             // it is a physical volume of LVM
	err   error            // why that is not known, or what is wrong with the label
}

// reading is one read of a front and what must be the same for it to hold.
type reading struct {
	front
	written string // counters of writes and discards at that time; empty where the kernel does not count
}

// reader reads the fronts of devices, as few as possible: one that nobody has written to since is not
// read again, so that a sleeping disk is not woken. A device that does not answer costs a scan the
// patience and one parked goroutine. It is safe for concurrent use.
type reader struct {
	mu     sync.Mutex
	known  map[string]reading // by device, diskseq and place
	parked map[string]bool    // reads that have not returned
}

// identityOf names a device for as long as it is the same one. A kernel without diskseq can not tell a
// new disk by the same name, so that nothing is remembered there.
func identityOf(ds devices, d *device) string {
	seq := d.seq
	if whole := ds[d.whole]; whole != nil {
		seq = whole.seq
	}
	if seq == "" {
		return ""
	}
	return fmt.Sprint(d.name, " ", seq, " ", d.start, " ", d.size)
}

// writesTo are the counters of completed writes and discards (Documentation/block/stat.rst).
func writesTo(ds devices, d *device) string {
	whole := ds[d.whole]
	f := strings.Fields(text(d.dir, "stat"))
	if whole == nil || text(whole.dir, "queue/iostats") == "0" || len(f) < 12 {
		return ""
	}
	return f[4] + " " + f[11]
}

// fronts reads those of several devices side by side and waits for all of them, but not beyond the
// patience.
func (r *reader) fronts(ctx context.Context, t tree, ds devices, wanted []*device) map[string]front {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("no answer after %s", patience))
	defer cancel()
	type answer struct {
		name string
		front
	}
	answers := make(chan answer, len(wanted))
	for _, d := range wanted {
		go func() { answers <- answer{d.name, r.front(ctx, t, ds, d)} }()
	}
	out := map[string]front{}
	for range wanted {
		a := <-answers
		out[a.name] = a.front
	}
	return out
}

// front reads one device. When a device that could be read before can not be read any more, what it told
// then stands: the same device, by its diskseq, does not become another OSD's while it is broken.
func (r *reader) front(ctx context.Context, t tree, ds devices, d *device) front {
	id, written := identityOf(ds, d), writesTo(ds, d)
	r.mu.Lock()
	before, known := r.known[id]
	known = known && id != ""
	if known && written != "" && before.written == written {
		r.mu.Unlock()
		return before.front
	}
	key := d.name + " " + id
	if r.parked[key] {
		r.mu.Unlock()
		if known {
			return before.front
		}
		return front{err: errors.New("an earlier read has not returned")}
	}
	if r.parked == nil {
		r.parked, r.known = map[string]bool{}, map[string]reading{}
	}
	r.parked[key] = true
	r.mu.Unlock()

	done := make(chan reading, 1)
	go func() {
		now := reading{front: t.readFront(d), written: written}
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.parked, key)
		if !unreadable(now.err) && id != "" {
			r.known[id] = now
		}
		done <- now
	}()
	select {
	case now := <-done:
		if known && unreadable(now.err) {
			return before.front
		}
		return now.front
	case <-ctx.Done():
		if known {
			return before.front
		}
		return front{err: context.Cause(ctx)}
	}
}

// errRead marks what was not read, rather than read and wrong.
var errRead = errors.New("can not be read")

func unreadable(err error) bool { return errors.Is(err, errRead) }

// readFront opens a device for reading and decodes its front. With a tree that is not the host's own,
// files play the devices.
func (t tree) readFront(d *device) front {
	b, err := t.firstBytes(d)
	if err != nil {
		return front{err: fmt.Errorf("%w: %w", errRead, err)}
	}
	f := front{lvm: isPV(b)}
	l, err := bluestore.Decode(b)
	switch {
	case err == nil:
		f.label = &l
	case !errors.Is(err, bluestore.ErrNoLabel):
		f.err = err
	}
	return f
}

func (t tree) firstBytes(d *device) ([]byte, error) {
	f, err := os.OpenFile(t.path("dev", d.node()), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return nil, err
	}
	block := st.Mode&unix.S_IFMT == unix.S_IFBLK
	if number := fmt.Sprintf("%d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev)); block && number != d.num || !block && t.root == "/" {
		return nil, fmt.Errorf("%s is not the node of device %s", f.Name(), d.num)
	}
	b := make([]byte, bluestore.Size)
	n, err := io.ReadFull(io.NewSectionReader(f, 0, bluestore.Size), b)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, err
	}
	return b[:n], nil
}

// isPV looks for the label of an LVM physical volume, which is in one of the first four sectors
// (lib/label/label.h of LVM2).
func isPV(b []byte) bool {
	for at := 0; at+sector <= len(b) && at < 4*sector; at += sector {
		if string(b[at:at+8]) == "LABELONE" {
			return true
		}
	}
	return false
}

// stable is a name of a device that survives a reboot, where udev gives one.
func (t tree) stable(d *device) string {
	for _, dir := range []string{"disk/by-partuuid", "disk/by-id"} {
		entries, err := os.ReadDir(t.path("dev", dir))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		for _, e := range entries {
			if to, err := filepath.EvalSymlinks(t.path("dev", dir, e.Name())); err == nil && to == t.path("dev", d.node()) {
				return "/dev/" + dir + "/" + e.Name()
			}
		}
	}
	return "/dev/" + d.node()
}
