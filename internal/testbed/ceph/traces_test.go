//go:build ceph

package ceph_test

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"glia/internal/testbed/ceph"
)

// TestMain plays a program that starts a cluster and is then killed.
func TestMain(m *testing.M) {
	if os.Getenv("GLIA_CEPH_VICTIM") == "" {
		os.Exit(m.Run())
	}
	c, err := ceph.Start(deadline(), ceph.Options{Hosts: 1, Replicas: 1, PGs: 1})
	if err != nil {
		_, _ = os.Stdout.WriteString("error " + strings.ReplaceAll(err.Error(), "\n", " ") + "\n")
		os.Exit(1)
	}
	_, _ = os.Stdout.WriteString(strings.Join([]string{"started", c.Name, c.Dir, c.Disks("h0")[0].Device(), strconv.Itoa(c.PID(0))}, " ") + "\n")
	select {} // until it is killed
}

// Nothing of a cluster outlives a process that is killed, but for some files, which the next cluster sweeps
// away.
func TestStart_SweepsAfterAKilledProcess(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root for loop devices and mounts")
	}
	victim := exec.Command(os.Args[0])
	victim.Env = append(os.Environ(), "GLIA_CEPH_VICTIM=1")
	out, err := victim.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(out).ReadString('\n')
	_ = victim.Process.Kill()
	_ = victim.Wait()
	words := strings.Fields(line)
	if len(words) != 5 || words[0] != "started" {
		t.Fatalf("the victim said %q", line)
	}
	name, dir, device := words[1], words[2], words[3]
	pid, _ := strconv.Atoi(words[4])
	backing := filepath.Join("/sys/class/block", filepath.Base(device), "loop/backing_file")
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(3 * time.Minute); ; <-tick.C {
		file, _ := os.ReadFile(backing)
		if unix.Kill(pid, 0) != nil && !strings.HasPrefix(string(file), dir) {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("pid %d or %s (%s) is still there", pid, device, file)
		}
	}

	c := ceph.For(t, ceph.Options{Hosts: 1, Replicas: 1, PGs: 1})
	for _, path := range []string{dir, "/etc/ceph/" + name + ".conf", "/var/lib/ceph/osd/" + name + "-0", "/var/lib/ceph/bootstrap-osd/" + name + ".keyring"} {
		if _, err := os.Lstat(path); !os.IsNotExist(err) {
			t.Errorf("%s is still there (%v)", path, err)
		}
	}
	own := []string{c.Dir, "/etc/ceph/" + c.Name + ".conf", c.OSDDir(0), c.BootstrapKeyring()}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	for _, path := range own {
		if _, err := os.Lstat(path); !os.IsNotExist(err) {
			t.Errorf("after Close, %s is still there (%v)", path, err)
		}
	}
}

func deadline() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	context.AfterFunc(ctx, cancel)
	return ctx
}
