package hand

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"time"

	"github.com/siderolabs/go-blockdevice/v2/block"
	"github.com/siderolabs/go-blockdevice/v2/partitioning/gpt"
	"golang.org/x/sys/unix"
)

// Linux returns the System of the machine that the nerve runs on. It needs root.
func Linux() System { return &linuxSystem{unmounts: map[string]*unmounting{}} }

type linuxSystem struct {
	mu       sync.Mutex
	unmounts map[string]*unmounting // by target; those that the kernel has not finished
}

type unmounting struct {
	ended chan struct{}
	err   error // set before ended is closed
}

var _ System = (*linuxSystem)(nil)

// Run implements System. Should the nerve itself be killed, the kernel kills the command too, so that
// the act can not go on unseen next to its own repetition.
func (*linuxSystem) Run(ctx context.Context, argv, env []string) (string, error) {
	program, err := lookup(argv[0])
	if err != nil {
		return "", err
	}
	// The death signal is tied to the thread that starts the command.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	var out tail
	cmd := exec.CommandContext(ctx, program, argv[1:]...)
	cmd.Args[0] = argv[0]
	cmd.Env = env
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true, Pdeathsig: unix.SIGKILL}
	cmd.Cancel = func() error {
		err := unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
		if errors.Is(err, unix.ESRCH) {
			return os.ErrProcessDone
		}
		return err
	}
	cmd.WaitDelay = 2 * time.Second // for a grandchild that left the group and holds the pipe
	err = cmd.Run()
	if cause := context.Cause(ctx); cause != nil && err != nil {
		err = fmt.Errorf("killed: %w", cause)
	}
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil // the command itself ended well; what it left in the background is not waited for
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", argv[0], err)
	}
	return out.String(), err
}

// lookup finds a program also where a daemon's PATH does not lead: mkfs lives in sbin.
func lookup(name string) (string, error) {
	p, err := exec.LookPath(name)
	if err == nil {
		return p, nil
	}
	for _, dir := range []string{"/usr/sbin/", "/sbin/"} {
		if p, e := exec.LookPath(dir + name); e == nil {
			return p, nil
		}
	}
	return "", err
}

func (s *linuxSystem) Unmount(ctx context.Context, target string, detach bool) error {
	flags := unix.UMOUNT_NOFOLLOW
	if detach {
		flags |= unix.MNT_DETACH
	}
	s.mu.Lock()
	u := s.unmounts[target]
	if u == nil {
		u = &unmounting{ended: make(chan struct{})}
		s.unmounts[target] = u
		go func() {
			u.err = unix.Unmount(target, flags)
			s.mu.Lock()
			delete(s.unmounts, target)
			s.mu.Unlock()
			close(u.ended)
		}()
	}
	s.mu.Unlock()
	select {
	case <-u.ended:
		if u.err != nil {
			return fmt.Errorf("unmount %s: %w", target, u.err)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("unmount %s: the kernel has not finished: %w", target, context.Cause(ctx))
	}
}

func (*linuxSystem) MakeDir(path string) error { return os.Mkdir(path, 0o755) }

func (*linuxSystem) Partition(path string, parts []Partition) error {
	dev, err := block.NewFromPath(path, block.OpenForWrite())
	if err != nil {
		return err
	}
	defer dev.Close()
	err = writeTable(dev, parts)
	if err != nil {
		return fmt.Errorf("partition %s: %w", path, err)
	}
	return nil
}

func writeTable(dev *block.Device, parts []Partition) error {
	// udev looks at a disk while its table is written, unless it is locked (systemd's BLOCK_DEVICE_LOCKING).
	if err := dev.TryLock(true); err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	wrapped, err := gpt.DeviceFromBlockDevice(dev)
	if err != nil {
		return err
	}
	table, err := gpt.New(wrapped)
	if err != nil {
		return err
	}
	for _, p := range parts {
		if _, _, err := table.AllocatePartition(p.Size, p.Name, p.Type, gpt.WithUniqueGUID(p.GUID)); err != nil {
			return fmt.Errorf("place for %s: %w", p.Name, err)
		}
	}
	return table.Write()
}
