package testbed

import (
	"context"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// Serf starts Debian's serf agent with the timings of one machine. Addr is that of its RPC; gossip is the address for
// others to join by; dir is its configuration directory, which it reads at its start and at Reload. The test is
// skipped when serf is not installed.
func Serf(t testing.TB, node string, join ...string) (s *Server, gossip, dir string) {
	t.Helper()
	binary, err := exec.LookPath("serf")
	if err != nil {
		t.Skip("Serf: ", ErrNotInstalled)
	}
	dir = t.TempDir()
	gossip = local(freePort(t))
	s = &Server{Addr: local(freePort(t)), log: filepath.Join(t.TempDir(), "log")}
	s.argv = []string{binary, "agent", "-node=" + node, "-bind=" + gossip, "-rpc-addr=" + s.Addr, "-profile=local", "-config-dir=" + dir, "-log-level=warn"}
	for _, j := range join {
		s.argv = append(s.argv, "-join="+j)
	}
	s.ready = func(ctx context.Context) error { return accepts(ctx, s.Addr) }
	s.cleanup(t)
	s.Start(t)
	return s, gossip, dir
}

// Reload makes a server read its configuration again, where it does so by SIGHUP.
func (s *Server) Reload(t testing.TB) { t.Helper(); s.signal(t, syscall.SIGHUP) }
