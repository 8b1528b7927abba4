package program_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"glia/internal/testbed"
)

// TestNerve_KilledServiceGoesWithItsLease kills a whole nerve with SIGKILL: its service is gone within the session timeout, while that of
// another nerve stays. Then the registry is killed and comes back: no backend is lost and HAProxy is not reloaded.
func TestNerve_KilledServiceGoesWithItsLease(t *testing.T) {
	t.Parallel()
	const lease = 2 * time.Second
	server := testbed.ZooKeeper(t)
	one, two := backend(t, "one"), backend(t, "two")
	nerve := func(name string, port int) *os.Process {
		t.Helper()
		dir := t.TempDir()
		file := filepath.Join(dir, "nerve.toml")
		text := fmt.Sprintf(`host = %q
state_dir = %q
registries = ["zookeeper"]
[api]
listen = %q
[zookeeper]
servers = [%q]
session_timeout = %q
[hand]
enabled = false
[[service]]
name = "web"
host = "127.0.0.1"
port = %d
interval = "20ms"
[[service.check]]
type = "tcp"
timeout = "30s"
[[service.place]]
path = "/web"
`, name, dir, testbed.Addr(t), server.Addr, lease, port)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(os.Args[0], "-config", file)
		cmd.Env = append(os.Environ(), asProgram+"=nerve")
		cmd.Stderr = t.Output()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		return cmd.Process
	}
	killed := nerve("node-1", one.Port)
	nerve("node-2", two.Port)
	s := newStack(t, server.Addr)
	s.until("both serve", s.serves("one", "two"))
	pid := s.pid()
	if err := killed.Kill(); err != nil {
		t.Fatal(err)
	}
	at := time.Now()
	s.until("the one of the nerve that was killed is gone", s.serves("two"))
	// The server ends sessions in steps of its tick, and a busy machine adds to it.
	if took := time.Since(at); took < lease/4 || took > 30*time.Second {
		t.Errorf("it took %v, with a lease of %v", took, lease)
	} else {
		t.Logf("it took %v, with a lease of %v", took.Round(time.Millisecond), lease)
	}

	server.Kill(t)
	s.until("it is told that ZooKeeper is away", func() bool { return strings.Contains(s.readyz(), "services: not ready") })
	away := lease * 5 / 4
	if text := os.Getenv("GLIA_TEST_AWAY"); text != "" { // such as 10m, which no ordinary run waits for
		long, err := time.ParseDuration(text)
		if err != nil {
			t.Fatal(err)
		}
		away = long
	}
	var lost error
	asked := 0
	watch := func(length time.Duration) {
		for end := time.Now().Add(length); time.Now().Before(end) && lost == nil; time.Sleep(20 * time.Millisecond) {
			asked++
			if body, err := s.get(); err != nil || body != "two" {
				lost = errors.Join(fmt.Errorf("it serves %q", body), err)
			}
		}
	}
	watch(away)
	server.Start(t)
	back := time.Now()
	s.until("ZooKeeper answers again", func() bool { return strings.Contains(s.readyz(), "services: ready") })
	answered := time.Since(back)
	watch(lease)
	if now := s.pid(); now != pid || lost != nil {
		t.Errorf("while ZooKeeper was away: HAProxy %s, was %s; %v", now, pid, lost)
	}
	t.Logf("ZooKeeper was away for %v, and followed again after %v: %d requests, %v lost", away, answered.Round(time.Millisecond), asked, lost)
}
