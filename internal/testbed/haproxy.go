package testbed

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

// HAProxy runs HAProxy as master and worker on a configuration file, which must be there and have a stats socket at the path. The file
// is read again by the command that it returns. The test is skipped when HAProxy is not installed.
func HAProxy(t testing.TB, file, socket string) (s *Server, reload []string) {
	t.Helper()
	program, err := exec.LookPath("haproxy")
	if err != nil {
		t.Skipf("HAProxy: %v: %v", ErrNotInstalled, err)
	}
	s = &Server{Addr: socket, log: filepath.Join(t.TempDir(), "log"), argv: []string{program, "-W", "-db", "-f", file}}
	s.ready = func(ctx context.Context) error {
		c, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
		if err != nil {
			return fmt.Errorf("stats socket: %w", err)
		}
		return c.Close()
	}
	s.cleanup(t)
	s.Start(t)
	return s, []string{"kill", "-USR2", strconv.Itoa(s.cmd.Process.Pid)}
}
