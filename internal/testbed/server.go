// Package testbed starts real servers for tests, on loopback with ports and folders of their own. A server
// ends with the test that started it, or with the process. What is not installed is reported by
// ErrNotInstalled; install.sh beside this file installs it.
package testbed

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// ErrNotInstalled says that the server is not on this machine.
var ErrNotInstalled = errors.New("server is not installed; run internal/testbed/install.sh test")

// startWithin bounds the start of a server. It is generous, because only a failing test waits so long.
const startWithin = 5 * time.Minute

// longestSaid bounds, in bytes, what is told of a server's log.
const longestSaid = 4000

// Server is one process of a real server. Its methods fail the test when they can not do their work. They are
// not safe for concurrent use.
type Server struct {
	Addr string // host:port for clients

	argv  []string
	env   []string // nil: that of the test
	log   string
	ready func(context.Context) error
	cmd   *exec.Cmd
	ended chan struct{}
}

// Start serves again after Stop or Kill, on the same port with the same data.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	s.launch(t)
	s.await(t)
}

// launch starts the process and does not wait until it answers.
func (s *Server) launch(t testing.TB) {
	t.Helper()
	if err := s.begin(); err != nil {
		t.Fatal(err)
	}
}

// await waits until the server answers.
func (s *Server) await(t testing.TB) {
	t.Helper()
	if err := s.answers(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// Crash kills the server and starts it again, for those that are not the test's own goroutine.
func (s *Server) Crash(ctx context.Context) error {
	if err := s.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-s.ended
	if err := s.begin(); err != nil {
		return err
	}
	return s.answers(ctx)
}

func (s *Server) begin() error {
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	cmd, ended, begun := exec.Command(s.argv[0], s.argv[1:]...), make(chan struct{}), make(chan error)
	cmd.Stdout, cmd.Stderr, cmd.Dir, cmd.Env = log, log, filepath.Dir(s.log), s.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	go func() {
		runtime.LockOSThread() // the server gets its signal when this thread ends
		err := cmd.Start()
		begun <- err
		if err == nil {
			_ = cmd.Wait() // it is killed; its log says what else
			close(ended)
		}
	}()
	if err := <-begun; err != nil {
		return err
	}
	s.cmd, s.ended = cmd, ended
	return nil
}

func (s *Server) answers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	for {
		err := s.ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-s.ended:
			return fmt.Errorf("%s ended at its start:\n%s", s.argv[0], s.Log())
		case <-ctx.Done():
			return fmt.Errorf("%s does not answer on %s: %w\n%s", s.argv[0], s.Addr, err, s.Log())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Kill ends the server as a crash would.
func (s *Server) Kill(t testing.TB) { s.end(t, syscall.SIGKILL) }

// Stop ends the server as its operator would.
func (s *Server) Stop(t testing.TB) { s.end(t, syscall.SIGTERM) }

func (s *Server) end(t testing.TB, sig syscall.Signal) {
	t.Helper()
	s.signal(t, sig)
	select {
	case <-s.ended:
	case <-time.After(startWithin):
		t.Fatalf("%s does not end", s.argv[0])
	}
}

// Pause stops the server in the middle of whatever it does; its connections stay open. It does nothing more once Pause returns.
func (s *Server) Pause(t testing.TB) {
	t.Helper()
	s.signal(t, syscall.SIGSTOP)
	// On a busy machine a server goes on for a while after the signal.
	for err := error(unix.EINTR); errors.Is(err, unix.EINTR); {
		err = unix.Waitid(unix.P_PID, s.cmd.Process.Pid, nil, unix.WSTOPPED|unix.WNOWAIT, nil)
	}
}

// Resume lets a paused server go on.
func (s *Server) Resume(t testing.TB) { t.Helper(); s.signal(t, syscall.SIGCONT) }

func (s *Server) signal(t testing.TB, sig syscall.Signal) {
	t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatalf("%v to %s: %v", sig, s.argv[0], err)
	}
}

// Log is what the server has said so far.
func (s *Server) Log() string {
	b, err := os.ReadFile(s.log)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// cleanup ends the process at the end of the test, and tells what it has said last when the test has failed.
func (s *Server) cleanup(t testing.TB) {
	t.Cleanup(func() {
		if t.Failed() {
			said := s.Log()
			t.Logf("the end of what %s said:\n%s", s.argv[0], said[max(0, len(said)-longestSaid):])
		}
		if s.cmd != nil {
			_ = s.cmd.Process.Kill() // it may have ended
			<-s.ended
		}
	})
}

// freePort is the port of an Addr.
func freePort(t testing.TB) int {
	t.Helper()
	a, err := netip.ParseAddrPort(Addr(t))
	if err != nil {
		t.Fatal(err)
	}
	return int(a.Port())
}

func local(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

// need returns the error of the first file that is not there.
func need(files ...string) error {
	for _, f := range files {
		if _, err := os.Stat(f); err != nil {
			return fmt.Errorf("%w: %w", ErrNotInstalled, err)
		}
	}
	return nil
}
