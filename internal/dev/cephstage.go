package dev

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"glia/config"
	"glia/internal/program/nerved"
	testbed "glia/internal/testbed/ceph"
	"glia/repairer/storage/ceph"
)

// cephDiskSize is that of a disk with an OSD. The file is sparse.
const cephDiskSize = 2 << 30

// cephStage has a real Ceph cluster: each disk is a loop device with a BlueStore OSD on it. The disks
// belong to the process of the demo, so that all that changes them happens there; others ask it, see
// remoteStage. It is safe for concurrent use.
type cephStage struct {
	dir     string
	cluster *testbed.Cluster // nil before prepare

	mu     sync.Mutex
	pulled map[string]bool // serials of pulled disks, and whether their OSDs were running
}

func newCephStage(dir string) *cephStage {
	return &cephStage{dir: dir, pulled: map[string]bool{}}
}

func (s *cephStage) words() string {
	return "loop devices with Ceph OSDs, of a real cluster that is started now"
}

func (s *cephStage) size() int64 { return cephDiskSize }

// osd is the OSD of a slot; it keeps its id when its disk is replaced.
func (s *cephStage) osd(host string, slot int) int {
	return slices.Index(hostNames, host)*disksPerHost + slot - 1
}

// prepare starts the cluster.
func (s *cephStage) prepare(ctx context.Context) error {
	dir := filepath.Join(s.dir, "ceph")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := openTo(s.dir); err != nil {
		return err
	}
	c, err := testbed.Start(ctx, testbed.Options{
		Hosts: len(hostNames), OSDsPerHost: disksPerHost, Size: cephDiskSize, PGs: 64, Replicas: 3, Dir: dir,
		Disk: func(h, n int) (host, bay, serial string) {
			return hostNames[h], strconv.Itoa(n + 1), serialOf(hostNames[h], n+1, 0)
		},
	})
	s.cluster = c
	return err
}

// openTo lets others into a directory: ceph-volume makes OSDs as the user ceph, who must get to the disks.
func openTo(dir string) error {
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	for above := filepath.Dir(dir); above != "/" && above != "."; above = filepath.Dir(above) {
		info, err := os.Stat(above)
		if err != nil {
			return err
		}
		if info.Mode()&0o001 == 0 {
			return fmt.Errorf("%s is closed to the user ceph, who must get to the disks in %s: choose another directory with --dir", above, dir)
		}
	}
	return nil
}

// close stops the cluster and undoes its mounts and loop devices.
func (s *cephStage) close() error {
	if s.cluster == nil {
		return nil
	}
	return s.cluster.Close()
}

func (s *cephStage) globs(host string) []string { return []string{s.cluster.DisksOf(host)} }

func (s *cephStage) parts(string) nerved.Parts { return nerved.Parts{} }

// tuneNerve tells the hand of a host how OSDs are started there.
func (s *cephStage) tuneNerve(c *config.Nerve) error {
	start, stop, err := s.cluster.StarterOf(c.Host)
	c.Hand.Ceph.Manager, c.Hand.Ceph.StartCommand, c.Hand.Ceph.StopCommand = "command", []string{start, "{id}"}, []string{stop, "{id}"}
	c.Probe.Write = false // there are no filesystems
	return err
}

// settings are how the repairer reaches the cluster, as a user of its own, and how hard it drives it.
func (s *cephStage) settings(ctx context.Context) (config.Ceph, error) {
	const user = "glia"
	c := config.Ceph{
		Name: "demo", FSID: s.cluster.FSID, Conf: s.cluster.Conf, Keyring: filepath.Join(s.dir, "ceph.client."+user+".keyring"), User: user, ClusterName: s.cluster.Name,
		Timeout: config.Duration(10 * time.Second), Drains: 1, MovingPGs: 6, Latency: config.Duration(time.Second), Quiet: config.Duration(3 * time.Second), Margin: 0.03,
	}
	admin, err := ceph.Connect(ceph.Access{Conf: c.Conf, User: "admin", Timeout: time.Duration(c.Timeout)})
	if err != nil {
		return c, err
	}
	keyring, err := ceph.CreateUser(ctx, admin, user)
	if err != nil {
		return c, err
	}
	return c, os.WriteFile(c.Keyring, []byte(keyring), 0o600)
}

// tuneRepairer gives all hosts to the driver for Ceph.
func (s *cephStage) tuneRepairer(ctx context.Context, c *config.Repairer) error {
	settings, err := s.settings(ctx)
	c.Ceph = []config.Ceph{settings}
	c.Pools = []config.Pool{{Name: "osds", Hosts: hostNames, Driver: config.DriverCeph}}
	return err
}

func (s *cephStage) inSlot(host string, slot int) (*testbed.Disk, error) {
	for _, d := range s.cluster.Disks(host) {
		if d.Bay == strconv.Itoa(slot) {
			return d, nil
		}
	}
	return nil, fmt.Errorf("slot %d of %s is empty", slot, host)
}

func (s *cephStage) serial(host string, slot int) (string, error) {
	d, err := s.inSlot(host, slot)
	if err != nil {
		return "", err
	}
	return d.Serial, nil
}

// fail makes the part of the disk unreadable that the OSD has not used yet: the OSD goes on serving, as
// on a disk that begins to fail, and whoever reads all over the disk meets EIO.
func (s *cephStage) fail(host string, slot int) (string, error) {
	d, err := s.inSlot(host, slot)
	if err != nil {
		return "", err
	}
	used, err := usedUntil(d.File)
	if err != nil {
		return "", err
	}
	if used >= d.Size {
		return "", fmt.Errorf("%s is full to its end, so that no part of it can fail without data being lost", d.Serial)
	}
	if err := os.Truncate(d.File, used); err != nil {
		return "", err
	}
	return fmt.Sprintf("its backing file was cut to %d of %d MB, so that the kernel answers reads behind that with EIO; osd.%d still runs on it", used>>20, d.Size>>20, s.osd(host, slot)), nil
}

// usedUntil is the end of what a sparse file holds beside zeros, which a burn-in leaves up to the last block of a
// disk, and a little more.
func usedUntil(file string) (int64, error) {
	f, err := os.Open(file)
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }()
	const margin = 64 << 20
	var data [][2]int64 // stretches, from the first byte to behind the last
	for end := int64(0); ; {
		begin, err := unix.Seek(int(f.Fd()), end, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			break
		}
		if err == nil {
			end, err = unix.Seek(int(f.Fd()), begin, unix.SEEK_HOLE)
		}
		if err != nil {
			return 0, fmt.Errorf("find the data in %s: %w", file, err)
		}
		data = append(data, [2]int64{begin, end})
	}
	buf, zeros := make([]byte, 1<<20), make([]byte, 1<<20)
	for _, d := range slices.Backward(data) {
		for end := d[1]; end > d[0]; {
			b := buf[:min(int64(len(buf)), end-d[0])]
			end -= int64(len(b))
			if _, err := f.ReadAt(b, end); err != nil {
				return 0, fmt.Errorf("read the data in %s: %w", file, err)
			}
			if !bytes.Equal(b, zeros[:len(b)]) {
				return end + int64(len(b)) + margin, nil
			}
		}
	}
	return margin, nil
}

// pull takes the disk out. An OSD that runs on it dies, as it does when its disk is gone.
func (s *cephStage) pull(host string, slot int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, err := s.inSlot(host, slot)
	if err != nil {
		return err
	}
	id := s.osd(host, slot)
	s.pulled[d.Serial] = s.cluster.PID(id) != 0
	if err := s.cluster.KillOSD(context.Background(), id); err != nil {
		return err
	}
	if err := s.cluster.Pull(d); err != nil {
		return err
	}
	shelf := filepath.Join(s.dir, "shelf")
	return errors.Join(os.MkdirAll(shelf, 0o755), os.Rename(d.File, filepath.Join(shelf, filepath.Base(d.File))))
}

// insert puts a disk into an empty slot: the named one from the shelf, or a new one. The OSD of a disk
// that was pulled by mistake starts again.
func (s *cephStage) insert(ctx context.Context, host string, slot int, serial string, size int64, used bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d, err := s.inSlot(host, slot); err == nil {
		return fmt.Errorf("slot %d of %s holds %s: pull that first", slot, host, d.Serial)
	}
	old := filepath.Join(s.dir, "shelf", serial+".img")
	if info, err := os.Stat(old); err == nil {
		size, used = info.Size(), false
		if err := os.Rename(old, filepath.Join(s.cluster.Dir, "disks", host, strconv.Itoa(slot), serial+".img")); err != nil {
			return err
		}
	}
	d, err := s.cluster.Plug(host, strconv.Itoa(slot), serial, size)
	if err != nil {
		return err
	}
	if used {
		if out, err := exec.CommandContext(ctx, "mkfs.ext4", "-q", "-L", "holiday", d.Device()).CombinedOutput(); err != nil {
			return fmt.Errorf("mkfs.ext4 %s: %w: %s", d.Device(), err, out)
		}
	}
	if !s.pulled[serial] {
		return nil
	}
	delete(s.pulled, serial)
	id := s.osd(host, slot)
	block := filepath.Join(s.cluster.OSDDir(id), "block")
	if err := errors.Join(os.Remove(block), os.Symlink(d.Device(), block)); err != nil {
		return err
	}
	return s.cluster.StartOSDOn(id, host)
}
