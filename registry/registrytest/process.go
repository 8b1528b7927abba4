package registrytest

import (
	"bufio"
	"context"
	"errors"
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

// candidateEnv makes the test program a candidate instead.
const candidateEnv = "GLIA_TEST_CANDIDATE"

// CandidateMain is called by TestMain. In a process that the suite has started it campaigns, tells of each end of a
// term and never returns; else it does nothing. By SIGUSR1 it is asked to write, by SIGUSR2 to let its wall clock
// jump, and by SIGTERM to end.
func CandidateMain(elector func(args []string) (registry.Elector, error)) {
	args := os.Getenv(candidateEnv)
	if args == "" {
		return
	}
	jumpIfAsked()
	e, err := elector(strings.Fields(args))
	if err == nil {
		err = candidate(e)
	}
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func candidate(e registry.Elector) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	write := make(chan os.Signal, 1)
	signal.Notify(write, syscall.SIGUSR1)
	for {
		l, err := e.Lead(ctx, 0)
		if err != nil {
			return err
		}
		fmt.Println("leads", l.Epoch())
		for lost := false; !lost; {
			select {
			case <-ctx.Done():
				return l.Resign(context.Background())
			case <-write:
				if l.Held() == nil {
					fmt.Println("writes", l.Epoch())
				} else {
					fmt.Println("holds-back", l.Epoch())
				}
			case <-l.Lost():
				fmt.Println("lost", l.Epoch())
				lost = true
			}
		}
	}
}

// process is the test program again, as something else.
type process struct {
	cmd   *exec.Cmd
	lines chan string
}

// spawn starts the test program with this in its environment.
func spawn(t testing.TB, env ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(os.Args[0], "-test.run=^$"), lines: make(chan string, 16)}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stderr = os.Stderr
	out, err := p.cmd.StdoutPipe()
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	t.Cleanup(func() {
		close(ended)
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
	})
	go func() {
		for s := bufio.NewScanner(out); s.Scan(); {
			select {
			case p.lines <- s.Text():
			case <-ended:
				return
			}
		}
	}()
	return p
}

// startProcess starts a candidate in a process of its own.
func startProcess(t *testing.T, e Election, long bool) *process {
	t.Helper()
	return spawn(t, candidateEnv+"="+strings.Join(e.Args(long), " "))
}

// line waits for the next line of the process.
func (p *process) line(t testing.TB) string {
	t.Helper()
	select {
	case line := <-p.lines:
		return line
	case <-time.After(2 * Patience):
		t.Fatal("the process says nothing more")
	}
	return ""
}

// says waits for the next line of the process, which begins with the word, and returns its epoch.
func (p *process) says(t *testing.T, word string) uint64 {
	t.Helper()
	line := p.line(t)
	epoch, err := strconv.ParseUint(strings.TrimPrefix(line, word+" "), 10, 64)
	if err != nil {
		t.Fatalf("the process says %q, want %q", line, word)
	}
	return epoch
}

// writes has a process write that is to lead, and returns the epoch. On a busy machine a short lease may run out before: then the
// process tells so, and leads again.
func (p *process) writes(t *testing.T) (epoch uint64) {
	t.Helper()
	epoch = p.says(t, "leads")
	p.signal(t, syscall.SIGUSR1)
	for {
		switch line := p.line(t); line {
		case fmt.Sprint("writes ", epoch):
			return epoch
		case fmt.Sprint("holds-back ", epoch):
			p.signal(t, syscall.SIGUSR1)
		case fmt.Sprint("lost ", epoch):
			epoch = p.says(t, "leads")
		default:
			t.Fatalf("the leader of %d says %q", epoch, line)
		}
	}
}

func (p *process) signal(t testing.TB, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// testStopped stops the process of the leader for longer than its lease. When it goes on it knows that it has lost before it can
// write; its epoch is lower than that of the one who leads now, so a write that was under way would be refused.
func testStopped(t *testing.T, e Election) {
	if e.Args(false) == nil {
		first := e.Candidate(t, "first")
		a := campaign(t, first)
		first.Hang()
		b := campaign(t, e.Candidate(t, "second"))
		first.Heal()
		if err := a.Held(); !errors.Is(err, glia.ErrStaleEpoch) {
			t.Errorf("Held after all: %v", err)
		}
		runsOut(t, a, b)
		return
	}
	var f fence
	p := startProcess(t, e, false)
	old := p.writes(t)
	if !f.accepts(old) {
		t.Errorf("the first leader writes under %d", old)
	}
	p.signal(t, syscall.SIGSTOP)
	l := campaign(t, e.Candidate(t, "successor"))
	if !f.accepts(l.Epoch()) || f.accepts(old) {
		t.Errorf("epoch %d follows %d", l.Epoch(), old)
	}
	p.signal(t, syscall.SIGUSR1)
	p.signal(t, syscall.SIGCONT)
	said := p.line(t)
	if said == fmt.Sprint("holds-back ", old) { // else it has learned of the loss first, and is asked to write in its next term
		said = p.line(t)
	}
	if said != fmt.Sprint("lost ", old) {
		t.Fatalf("after its pause the process says %q", said)
	}
	resign(t, l)
	if again := p.says(t, "leads"); again <= l.Epoch() {
		t.Errorf("epoch %d follows %d", again, l.Epoch())
	}
}

func testKilled(t *testing.T, e Election) {
	if e.Args(false) == nil {
		testSilent(t, e, Candidate.Cut) // all that others see of a death in this process
		return
	}
	p := startProcess(t, e, false)
	old := p.says(t, "leads")
	p.signal(t, syscall.SIGKILL)
	began := time.Now()
	l := campaign(t, e.Candidate(t, "successor"))
	intime(t, began, e.Within())
	if l.Epoch() <= old {
		t.Errorf("epoch %d follows %d", l.Epoch(), old)
	}
}

// testEnded has the lease last for a minute, so that a successor that waits for its end is too late.
func testEnded(t *testing.T, e Election) {
	if e.Args(true) == nil {
		a := campaign(t, e.Candidate(t, "first"))
		led := standBy(t, e.Candidate(t, "second"))
		resign(t, a)
		follows(t, a, led())
		return
	}
	p := startProcess(t, e, true)
	old := p.says(t, "leads")
	led := standBy(t, e.Candidate(t, "successor"))
	p.signal(t, syscall.SIGTERM)
	began := time.Now()
	if l := led(); l.Epoch() <= old {
		t.Errorf("epoch %d follows %d", l.Epoch(), old)
	}
	intime(t, began, 0)
}
