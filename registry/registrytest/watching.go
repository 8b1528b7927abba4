package registrytest

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"glia"
	"glia/registry"
)

// watcherEnv makes the test program a watcher instead.
const watcherEnv = "GLIA_TEST_WATCHER"

// watch follows the changes of a registry as a synapse does, and tells each generation that all hosts have reached.
func watch(w registry.Watcher) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	var mark registry.Mark
	generations, told := map[string]uint64{}, uint64(0)
	for changes := w.Changes(ctx); ; {
		select {
		case <-ctx.Done():
			return
		case <-changes:
		}
		if d, err := w.Since(ctx, mark); err == nil {
			mark = d.Mark
			for _, h := range d.Hosts {
				for _, m := range h.Members {
					if m.Status == glia.MemberAlive {
						generations[h.Name] = m.Announcement.Generation
					}
				}
			}
			if g := least(generations); g > told {
				told = g
				fmt.Println(told)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(scalePace):
		}
	}
}

// least is the generation that every host of Scale has at least; 0 before all are seen.
func least(generations map[string]uint64) uint64 {
	if len(generations) < scaleHosts {
		return 0
	}
	out := ^uint64(0)
	for _, g := range generations {
		out = min(out, g)
	}
	return out
}

// alone is a watcher in a process of its own.
type alone struct {
	pid  int
	told chan uint64
}

func startWatcher(b *testing.B, args []string) *alone {
	b.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), watcherEnv+"="+strings.Join(args, " "))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	a := &alone{pid: cmd.Process.Pid, told: make(chan uint64, 1024)}
	go func() {
		for s := bufio.NewScanner(out); s.Scan(); {
			if g, err := strconv.ParseUint(s.Text(), 10, 64); err == nil {
				a.told <- g
			}
		}
	}()
	a.await(b, 1)
	return a
}

// await waits until it has seen that all hosts have a generation.
func (a *alone) await(b *testing.B, generation uint64) {
	b.Helper()
	for limit := time.After(Patience); ; {
		select {
		case g := <-a.told:
			if g >= generation {
				return
			}
		case <-limit:
			b.Fatalf("the watcher in its own process does not see generation %d", generation)
		}
	}
}

// peak is the most memory that it had, in MB: VmHWM of /proc/PID/status, which is in kB.
func (a *alone) peak(b *testing.B) float64 {
	b.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", a.pid))
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if size, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(size), " kB"), 64)
			if err != nil {
				b.Fatal(err)
			}
			return kb / 1024
		}
	}
	b.Fatalf("the kernel does not tell the memory of process %d", a.pid)
	return 0
}
