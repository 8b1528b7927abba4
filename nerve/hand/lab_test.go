package hand_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"glia"
	gliav1 "glia/api/glia/v1"
	"glia/internal/loop"
	"glia/internal/loop/looptest"
	"glia/nerve/hand"
)

const mib = 1 << 20

// The kernel mounts an XFS of a UUID once, whichever process has made it.
var oldUUID, newUUID = uuid.NewString(), uuid.NewString()

// lab is one storage host with loop devices for disks. Its slots are filled and emptied by the test.
type lab struct {
	t   *testing.T
	dir string

	mu    sync.Mutex
	disks []glia.Disk
	files map[string]string // backing file by serial
	held  map[string]*loop.Held
}

// newLab needs root and loop devices.
func newLab(t *testing.T) *lab {
	t.Helper()
	if err := loop.Usable(); err != nil {
		t.Skip(err)
	}
	return fakeLab(t)
}

// fakeLab is a host whose disks have no devices behind them.
func fakeLab(t *testing.T) *lab {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return &lab{t: t, dir: dir, files: map[string]string{}, held: map[string]*loop.Held{}}
}

func place(slot int) string { return "enc0 slot " + strconv.Itoa(slot) }

func (l *lab) add(serial string, slot int, device string, size int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.disks = append(l.disks, glia.Disk{
		Identity: glia.Identity{Serial: serial, Model: "LOOP", Size: uint64(size), Class: glia.ClassHDD},
		Location: glia.Location{Host: "node-1", Enclosure: "enc0", Slot: strconv.Itoa(slot), Device: device},
	})
}

func TestMain(m *testing.M) { looptest.Main(m) }

var mountingXFS sync.Mutex

// alone keeps tests apart that mount XFS: the kernel takes each UUID once. Call it before attach.
func (l *lab) alone(fsType string) {
	if fsType == "xfs" {
		mountingXFS.Lock()
		l.t.Cleanup(mountingXFS.Unlock)
	}
}

// attach puts a blank disk into a slot and returns its kernel name.
func (l *lab) attach(serial string, slot int, size int64) string {
	l.t.Helper()
	file := filepath.Join(l.dir, serial+".img")
	f, err := os.Create(file)
	if err != nil {
		l.t.Fatal(err)
	}
	if err := f.Truncate(size); err != nil {
		l.t.Fatal(err)
	}
	f.Close()
	held := looptest.Attach(l.t, file, unix.LO_FLAGS_PARTSCAN)
	l.t.Cleanup(func() {
		for _, d := range l.inventory() {
			for _, m := range d.Mounts {
				if d.Serial() == serial {
					unix.Unmount(m.Target, unix.MNT_DETACH)
				}
			}
		}
		l.pull(serial)
	})
	l.files[serial], l.held[serial] = file, held
	l.add(serial, slot, held.Name, size)
	l.change(serial, func(d *glia.Disk) { d.Location.DiskSeq = held.Seq })
	return held.Name
}

// change alters what the inventory tells of a disk.
func (l *lab) change(serial string, f func(*glia.Disk)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.disks {
		if l.disks[i].Serial() == serial {
			f(&l.disks[i])
		}
	}
}

// pull takes a disk out of the inventory and gives its loop device back.
func (l *lab) pull(serial string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, d := range l.disks {
		if d.Serial() == serial {
			if h := l.held[serial]; h != nil {
				if err := h.Detach(); err != nil {
					l.t.Error(err)
				}
			}
			l.disks = append(l.disks[:i:i], l.disks[i+1:]...)
			return
		}
	}
}

func (l *lab) inventory() []glia.Disk {
	l.mu.Lock()
	defer l.mu.Unlock()
	table, err := mountinfo.GetMounts(nil)
	if err != nil {
		panic(err)
	}
	var out []glia.Disk
	for _, d := range l.disks {
		names := []string{d.Location.Device}
		parts, _ := filepath.Glob("/sys/class/block/" + d.Location.Device + "p*")
		d.Partitions = append([]glia.Partition(nil), d.Partitions...)
		for i, p := range parts {
			names = append(names, filepath.Base(p))
			d.Partitions = append(d.Partitions, glia.Partition{Name: filepath.Base(p), Number: i + 1})
		}
		d.Mounts = append([]glia.Mount(nil), d.Mounts...)
		for _, m := range table {
			for _, n := range names {
				if m.Source == "/dev/"+n {
					d.Mounts = append(d.Mounts, glia.Mount{Source: n, Target: m.Mountpoint, FSType: m.FSType, Options: m.Options})
				}
			}
		}
		out = append(out, d)
	}
	return out
}

func (l *lab) sh(argv ...string) string {
	l.t.Helper()
	out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		l.t.Fatalf("%s: %v\n%s", strings.Join(argv, " "), err, out)
	}
	return string(out)
}

func (l *lab) mkdir(name string) string {
	l.t.Helper()
	dir := filepath.Join(l.dir, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		l.t.Fatal(err)
	}
	return dir
}

// hash is the content of a disk's backing file.
func (l *lab) hash(serial string) string {
	l.t.Helper()
	unix.Sync()
	f, err := os.Open(l.files[serial])
	if err != nil {
		l.t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		l.t.Fatal(err)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

// write puts bytes on a disk through its device; a negative position counts from the end.
func (l *lab) write(device string, pos int64, data string) {
	l.t.Helper()
	f, err := os.OpenFile("/dev/"+device, os.O_WRONLY, 0)
	if err != nil {
		l.t.Fatal(err)
	}
	defer f.Close()
	if pos < 0 {
		end, _ := f.Seek(0, io.SeekEnd)
		pos += end
	}
	if _, err := f.WriteAt([]byte(data), pos); err != nil {
		l.t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		l.t.Fatal(err)
	}
}

// recorder is a System that notes what it is asked for, and passes it on if there is somebody to.
type recorder struct {
	to     hand.System
	before func(call string)
	run    func(ctx context.Context, argv, env []string) (string, error) // instead of to.Run

	mu    sync.Mutex
	calls []string
}

var _ hand.System = (*recorder)(nil)

func (r *recorder) note(call string) {
	r.mu.Lock()
	r.calls = append(r.calls, call)
	r.mu.Unlock()
	if r.before != nil {
		r.before(call)
	}
}

func (r *recorder) Calls() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.calls...)
}

func (r *recorder) Run(ctx context.Context, argv, env []string) (string, error) {
	r.note(strings.Join(argv, " "))
	if r.run != nil {
		return r.run(ctx, argv, env)
	}
	if r.to == nil {
		return "", nil
	}
	return r.to.Run(ctx, argv, env)
}

func (r *recorder) Unmount(ctx context.Context, target string, detach bool) error {
	r.note(fmt.Sprintf("unmount %s detach=%t", target, detach))
	if r.to == nil {
		return nil
	}
	return r.to.Unmount(ctx, target, detach)
}

func (r *recorder) MakeDir(path string) error {
	r.note("mkdir " + path)
	if r.to == nil {
		return nil
	}
	return r.to.MakeDir(path)
}

func (r *recorder) Partition(device string, parts []hand.Partition) error {
	r.note(fmt.Sprintf("partition %s %d", device, len(parts)))
	if r.to == nil {
		return nil
	}
	return r.to.Partition(device, parts)
}

func (l *lab) options(sys hand.System) hand.Options {
	return hand.Options{
		Host:      "node-1",
		Inventory: func(context.Context) ([]glia.Disk, error) { return l.inventory(), nil },
		System:    sys,
		StateDir:  filepath.Join(l.dir, "state"),
	}
}

// hand starts a hand on the lab's host and closes it with the test.
func (l *lab) hand(opts hand.Options) *hand.Hand {
	l.t.Helper()
	h, err := hand.New(opts)
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { stop(l.t, h) })
	return h
}

func stop(t *testing.T, h *hand.Hand) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := h.Close(ctx); err != nil {
		t.Error(err)
	}
}

var keys struct {
	sync.Mutex
	n int
}

// order is a valid order of epoch 5 with a fresh key.
func order(verb gliav1.Verb, serial string, slot int, change ...func(*gliav1.Order)) *gliav1.Order {
	keys.Lock()
	keys.n++
	n := keys.n
	keys.Unlock()
	o := &gliav1.Order{
		Epoch: 5, CaseId: "case-1", Key: fmt.Sprintf("case-1/%d", n), Verb: verb, Serial: serial, Place: place(slot),
		MinSize: 16 * mib, Filesystem: &gliav1.Filesystem{Type: "ext4", Uuid: newUUID, Label: "data1"},
	}
	for _, c := range change {
		c(o)
	}
	return o
}

func filesystem(fs *gliav1.Filesystem) func(*gliav1.Order) {
	return func(o *gliav1.Order) { o.Filesystem = fs }
}

func on(target string) func(*gliav1.Order) {
	return func(o *gliav1.Order) { o.Filesystem.Target = target }
}

// longest is for what the hand runs, which has bounds of its own: ceph-volume takes minutes where many tests run.
const longest = 10 * time.Minute

// finish sends an order until it is not running any more, or is told to wait.
func finish(t *testing.T, h *hand.Hand, o *gliav1.Order) *gliav1.ExecuteResponse {
	t.Helper()
	for deadline := time.Now().Add(longest); ; {
		r, err := h.Execute(t.Context(), o)
		if err != nil {
			t.Fatalf("%s: %v", o.Verb, err)
		}
		if r.State != gliav1.OrderState_ORDER_STATE_RUNNING || r.Reason != "" {
			return r
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s still runs", o.Verb)
		}
	}
}

// outcome sends an order again as long as it runs, as a repairer does: how long it takes is nobody's promise.
func outcome(h *hand.Hand, o *gliav1.Order) (*gliav1.ExecuteResponse, error) {
	for {
		r, err := h.Execute(context.Background(), o)
		if err != nil || r.State != gliav1.OrderState_ORDER_STATE_RUNNING {
			return r, err
		}
	}
}

func wantDone(t *testing.T, r *gliav1.ExecuteResponse) {
	t.Helper()
	if r.State != gliav1.OrderState_ORDER_STATE_DONE {
		t.Fatalf("got %s: %s (output %q), want done", r.State, r.Reason, r.Output)
	}
}

// wantNo wants a refusal, failure or wait whose reason has all the words.
func wantNo(t *testing.T, r *gliav1.ExecuteResponse, state gliav1.OrderState, words ...string) {
	t.Helper()
	if r.State != state {
		t.Fatalf("got %s (%s), want %s", r.State, r.Reason, state)
	}
	for _, w := range words {
		if !strings.Contains(r.Reason, w) {
			t.Errorf("reason %q does not say %q", r.Reason, w)
		}
	}
}

const (
	refused = gliav1.OrderState_ORDER_STATE_REFUSED
	failed  = gliav1.OrderState_ORDER_STATE_FAILED
	waits   = gliav1.OrderState_ORDER_STATE_RUNNING
	drain   = gliav1.Verb_VERB_DRAIN
	unmount = gliav1.Verb_VERB_UNMOUNT
	inspect = gliav1.Verb_VERB_INSPECT
	format  = gliav1.Verb_VERB_FORMAT
	mount   = gliav1.Verb_VERB_MOUNT
	rejoin  = gliav1.Verb_VERB_REJOIN
)
