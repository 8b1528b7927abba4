package registrytest

import (
	"context"
	"fmt"
	"os"
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

// forgotten is what a watcher in a process says of a host that is not shown any more.
const forgotten glia.MemberStatus = "forgotten"

// watch follows the changes of a registry as a synapse does, and also looks without a signal now and then. It tells what each host
// has become, as HOST GENERATION STATUS.
func watch(w registry.Watcher) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	var mark registry.Mark
	again := time.NewTicker(time.Second)
	defer again.Stop()
	for changes := w.Changes(ctx); ; {
		select {
		case <-ctx.Done():
			return
		case <-changes:
		case <-again.C:
		}
		if d, err := w.Since(ctx, mark); err == nil {
			mark = d.Mark
			for _, h := range d.Hosts {
				is := glia.Member{Status: forgotten}
				if len(h.Members) > 0 {
					is = h.Members[0]
				}
				fmt.Println(h.Name, is.Announcement.Generation, is.Status)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(scalePace):
		}
	}
}

// startWatcher starts a process that watches.
func startWatcher(t testing.TB, args []string, env ...string) *process {
	t.Helper()
	return spawn(t, append(env, watcherEnv+"="+strings.Join(args, " "))...)
}

// alone is a watcher of the hosts of Scale in a process of its own.
type alone struct {
	*process
	seen map[string]uint64 // generation by host
}

// await waits until it has seen that all hosts have a generation.
func (a *alone) await(b *testing.B, generation uint64) {
	b.Helper()
	for least(a.seen) < generation {
		var host, status string
		var g uint64
		if line := a.line(b); !scans(line, &host, &g, &status) {
			b.Fatalf("the watcher says %q", line)
		}
		a.seen[host] = g
	}
}

func scans(line string, into ...any) bool {
	n, err := fmt.Sscan(line, into...)
	return err == nil && n == len(into)
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

// peak is the most memory that it had, in MB: VmHWM of /proc/PID/status, which is in kB.
func (a *alone) peak(b *testing.B) float64 {
	b.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", a.cmd.Process.Pid))
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
	b.Fatalf("the kernel does not tell the memory of process %d", a.cmd.Process.Pid)
	return 0
}
