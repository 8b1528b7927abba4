package testbed

import (
	"context"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// HAProxy runs HAProxy as master and worker on a configuration file, which must be there and have a stats socket at the path. The file
// is read again by the command that it returns. The test is skipped when HAProxy is not installed.
func HAProxy(t testing.TB, file, socket string) (s *Server, reload []string) {
	t.Helper()
	program, err := exec.LookPath("haproxy")
	if err != nil {
		t.Skipf("HAProxy: %v: %v", ErrNotInstalled, err)
	}
	master := socket + ".master"
	s = &Server{Addr: socket, log: filepath.Join(t.TempDir(), "log"), argv: []string{program, "-W", "-db", "-S", master, "-f", file}}
	s.ready = func(ctx context.Context) error {
		// A master that does not answer yet would lose the signal to read its file again.
		for path, question := range map[string]string{socket: "show info", master: "show proc"} {
			if err := haproxySays(ctx, path, question); err != nil {
				return err
			}
		}
		return nil
	}
	s.cleanup(t)
	s.Start(t)
	return s, []string{"kill", "-USR2", strconv.Itoa(s.cmd.Process.Pid)}
}

// haproxySays asks at a socket, and wants any answer.
func haproxySays(ctx context.Context, socket, question string) error {
	c, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	if err := c.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	if _, err := io.WriteString(c, question+"\n"); err != nil {
		return err
	}
	n, err := c.Read(make([]byte, 1024)) // the master does not close the connection
	if n > 1 {
		return nil
	}
	return fmt.Errorf("%s gives no answer to %s: %w", socket, question, err)
}
