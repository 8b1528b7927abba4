package registrytest

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"glia"
	"glia/registry"
)

// clockEnv makes the wall clock of a process of this package jump at each SIGUSR2.
const clockEnv = "GLIA_TEST_CLOCK=jumps"

// jumps are where the wall clock of a process goes, one after the other at each SIGUSR2. What is kept is the monotonic clock, as
// when somebody sets the time of a machine.
var jumps = []time.Duration{72 * time.Hour, -144 * time.Hour, time.Hour}

func jumpIfAsked() {
	if !slices.Contains(os.Environ(), clockEnv) {
		return
	}
	if err := jumpOnSignal(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// jump lets the wall clock of a process jump, by days.
func (p *process) jump(t testing.TB) {
	t.Helper()
	p.signal(t, syscall.SIGUSR2)
	if line := p.line(t); !strings.HasPrefix(line, "jumped ") || !strings.HasSuffix(line, " true") {
		t.Fatalf("the process whose clock jumps says %q", line)
	}
}

// ClockJumps lets the wall clocks of an announcer and of a watcher jump by days, forth and back, each in a process of its own and each
// time for longer than observed, in which a lease is renewed. Nobody must see anything: not the end of a lease, and not that a
// host which is dead is dead for long. The watcher w, whose clock does not jump, must not see anything either.
func ClockJumps(t *testing.T, w registry.Watcher, observed time.Duration, args ...string) {
	if !canJump {
		t.Skip("the wall clock can not be made to jump on this architecture")
	}
	announcer := startAnnouncer(t, "steady", args, clockEnv)
	dead := startAnnouncer(t, "dead", args)
	Await(t, w, "both hosts", func(all []glia.Member) bool { return len(all) == 2 })
	jumping := startWatcher(t, args, clockEnv)
	hears := func(lines ...string) { // in any order; the jumping watcher may repeat what it said
		t.Helper()
		for missing := lines; len(missing) > 0; {
			line := jumping.line(t)
			if !slices.Contains(lines, line) {
				t.Fatalf("before any jump the watcher says %q", line)
			}
			missing = slices.DeleteFunc(slices.Clone(missing), func(l string) bool { return l == line })
		}
	}
	hears("steady 1 alive", "dead 1 alive") // while both live: in Serf nobody is told of a member that was dead before he came
	dead.signal(t, syscall.SIGKILL)
	hears("dead 1 gone")
	var calm Follower
	Await(t, w, "the dead host as gone", has(glia.Member{Announcement: Announcement("dead", 1), Status: glia.MemberGone}))
	calm.follow(t, w)
	for range jumps {
		announcer.jump(t)
		jumping.jump(t)
		select {
		case line := <-jumping.lines:
			t.Errorf("after a jump of the clock the watcher says %q", line)
		case line := <-announcer.lines:
			t.Errorf("after a jump of its clock the announcer says %q", line)
		case <-time.After(observed):
		}
	}
	if n := calm.follow(t, w); n != 0 {
		t.Errorf("the jumps of other clocks have changed %d hosts: %+v", n, calm.Members())
	}
	announcer.signal(t, syscall.SIGTERM)
	if line := jumping.line(t); line != "steady 1 left" {
		t.Errorf("when the announcer has left, the watcher says %q", line)
	}
}

// testClock lets the wall clock of the leader jump in a lease of a minute: it holds its term, and can write.
func testClock(t *testing.T, e Election) {
	if e.Args(true) == nil || !canJump {
		t.Skip("the backend lives in this process, whose clock is everybody's")
	}
	p := spawn(t, clockEnv, candidateEnv+"="+strings.Join(e.Args(true), " "))
	epoch := p.says(t, "leads")
	for range jumps {
		p.jump(t)
		p.signal(t, syscall.SIGUSR1)
		if wrote := p.says(t, "writes"); wrote != epoch {
			t.Errorf("after a jump of the clock the leader of %d writes under %d", epoch, wrote)
		}
	}
}
