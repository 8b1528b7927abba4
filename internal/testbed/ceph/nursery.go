package ceph

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// nursery starts daemons and keeps them. The kernel kills them when this process dies: the death signal
// is tied to the thread that starts a process, so one thread starts all of them and lives as long as the
// nursery does. It is safe for concurrent use.
type nursery struct {
	starts chan func()

	mu      sync.Mutex
	closed  bool
	daemons map[string]*daemon
}

// daemon is one process; ended is closed once it has been waited for.
type daemon struct {
	cmd   *exec.Cmd
	ended chan struct{}
	err   error // set before ended is closed
}

func newNursery() *nursery {
	n := &nursery{starts: make(chan func()), daemons: map[string]*daemon{}}
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with this goroutine
		for f := range n.starts {
			f()
		}
	}()
	return n
}

// Start runs a daemon with exactly this environment; what it prints goes to a log file. A daemon of that
// name that still runs is an error.
func (n *nursery) Start(name, logFile string, env, argv []string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return errors.New("the cluster is closed")
	}
	if d := n.daemons[name]; d != nil && !d.over() {
		return fmt.Errorf("%s runs already, as pid %d", name, d.cmd.Process.Pid)
	}
	out, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer out.Close()
	d := &daemon{cmd: exec.Command(argv[0], argv[1:]...), ended: make(chan struct{})}
	d.cmd.Env, d.cmd.Dir = env, "/"
	d.cmd.Stdout, d.cmd.Stderr = out, out
	d.cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true, Pdeathsig: unix.SIGKILL}
	started := make(chan error)
	n.starts <- func() { started <- d.cmd.Start() }
	if err := <-started; err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	n.daemons[name] = d
	go func() {
		d.err = d.cmd.Wait()
		close(d.ended)
	}()
	return nil
}

func (d *daemon) over() bool {
	select {
	case <-d.ended:
		return true
	default:
		return false
	}
}

// PID is the process of a running daemon, 0 when it does not run.
func (n *nursery) PID(name string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	if d := n.daemons[name]; d != nil && !d.over() {
		return d.cmd.Process.Pid
	}
	return 0
}

// Stop sends a signal and waits until the daemon is gone. One that does not run is no error.
func (n *nursery) Stop(ctx context.Context, name string, signal unix.Signal) error {
	n.mu.Lock()
	d := n.daemons[name]
	n.mu.Unlock()
	if d == nil || d.over() {
		return nil
	}
	_ = d.cmd.Process.Signal(signal)
	select {
	case <-d.ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stop %s (pid %d): %w", name, d.cmd.Process.Pid, context.Cause(ctx))
	}
}

// Close ends all daemons: those that do not go in time are killed.
func (n *nursery) Close() {
	n.mu.Lock()
	n.closed = true
	var names []string
	for name := range n.daemons {
		names = append(names, name)
	}
	n.mu.Unlock()
	// The mon goes last, so that the others need not look for it.
	for _, mon := range []bool{false, true} {
		var all sync.WaitGroup
		for _, name := range names {
			if (name == "mon.a") != mon {
				continue
			}
			all.Go(func() {
				ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
				defer cancel()
				if n.Stop(ctx, name, unix.SIGTERM) != nil {
					_ = n.Stop(context.Background(), name, unix.SIGKILL)
				}
			})
		}
		all.Wait()
	}
	close(n.starts)
}

// environment is what a daemon gets. Ceph takes NODE_NAME for the name of the host where CONTAINER_NAME
// is set: so one machine plays many hosts.
func (c *Cluster) environment(host, daemon string) []string {
	env := []string{"PATH=" + os.Getenv("PATH"), "CEPH_CONF=" + c.Conf, "LC_ALL=C"}
	if host != "" {
		env = append(env, "CONTAINER_NAME="+daemon, "NODE_NAME="+host)
	}
	return env
}

func (c *Cluster) startDaemon(name, host string, argv ...string) error {
	return c.daemons.Start(name, filepath.Join(c.Dir, "log", name+".out"), c.environment(host, name), argv)
}
