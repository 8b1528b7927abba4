package registrytest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"glia"
	"glia/registry"
)

// Election is a fresh election of one backend on a real server.
type Election interface {
	// Candidate returns a new candidate with a connection of its own.
	Candidate(t *testing.T, holder string) Candidate
	// Sessions counts what the server keeps of candidates: sessions, or nodes of them.
	Sessions(t *testing.T) int
	// Depose ends the lease of the leader at the server, as an operator might.
	Depose(t *testing.T)
	// Restart kills the server and starts it again.
	Restart(t *testing.T)
	// Args are those of a candidate in a process of its own, for CandidateMain.
	Args() []string
}

// Candidate is one candidate with what can befall its connection.
type Candidate interface {
	registry.Elector
	Cut()
	Hang()
}

// RunElection runs the suite of electors; newElection makes an election that nobody else uses.
func RunElection(t *testing.T, newElection func(t *testing.T) Election) {
	for name, test := range map[string]func(*testing.T, Election){
		"one of three leads, and hands over at once": testHandOver,
		"a leader that is cut off":                   func(t *testing.T, e Election) { testSilent(t, e, Candidate.Cut) },
		"a leader whose connection hangs":            func(t *testing.T, e Election) { testSilent(t, e, Candidate.Hang) },
		"a leader that is deposed":                   testDepose,
		"a leader in a stopped process":              testStopped,
		"a leader that is killed":                    testKilled,
		"the server is started again":                testRestart,
		"a hundred vain campaigns":                   testVain,
		"above what a store knows":                   testAbove,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, newElection(t))
		})
	}
}

// campaign campaigns until it leads.
func campaign(t *testing.T, c registry.Elector) registry.Term {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*Patience)
	defer cancel()
	l, err := c.Lead(ctx, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resign(t, l) })
	return l
}

// resign ends a term without minding whether the server is still there.
func resign(t *testing.T, l registry.Term) {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	if err := l.Resign(ctx); err != nil {
		t.Log(err)
	}
}

func isLost(l registry.Term) bool {
	select {
	case <-l.Lost():
		return true
	default:
		return false
	}
}

// awaitLost waits until the leader has been told.
func awaitLost(t *testing.T, l registry.Term) {
	t.Helper()
	select {
	case <-l.Lost():
	case <-time.After(2 * Patience):
		t.Fatal("the leader is not told")
	}
}

// follows fails unless the first leader was told before the second one led, whose epoch is higher.
func follows(t *testing.T, first, second registry.Term) {
	t.Helper()
	if !isLost(first) {
		t.Errorf("two lead: %d was not told when %d began", first.Epoch(), second.Epoch())
	}
	if second.Epoch() <= first.Epoch() {
		t.Errorf("epoch %d follows %d", second.Epoch(), first.Epoch())
	}
}

func testHandOver(t *testing.T, e Election) {
	var candidates []Candidate
	for i := range 3 {
		candidates = append(candidates, e.Candidate(t, fmt.Sprintf("candidate-%d", i)))
	}
	won := make(chan registry.Term)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for _, c := range candidates {
		go func() { // each campaigns again after its term, until the end
			for {
				l, err := c.Lead(ctx, 0)
				if err != nil {
					return
				}
				select {
				case won <- l:
				case <-ctx.Done():
					resign(t, l)
					return
				}
				<-l.Lost()
			}
		}()
	}
	var last registry.Term
	for range 6 {
		var l registry.Term
		select {
		case l = <-won:
		case <-time.After(Patience):
			t.Fatal("nobody leads")
		}
		if last != nil {
			follows(t, last, l)
		}
		if err := l.Resign(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := l.Resign(t.Context()); err != nil {
			t.Errorf("resigned again: %v", err)
		}
		last = l
	}
}

func testSilent(t *testing.T, e Election, harm func(Candidate)) {
	first, second := e.Candidate(t, "first"), e.Candidate(t, "second")
	a := campaign(t, first)
	harm(first)
	b := campaign(t, second)
	follows(t, a, b)
}

func testDepose(t *testing.T, e Election) {
	a := campaign(t, e.Candidate(t, "first"))
	e.Depose(t)
	awaitLost(t, a)
	follows(t, a, campaign(t, e.Candidate(t, "second")))
}

func testAbove(t *testing.T, e Election) {
	const known = 1_800_000_000
	c, last := e.Candidate(t, "only"), uint64(known)
	for range 3 {
		l, err := c.Lead(t.Context(), known)
		if err != nil {
			t.Fatal(err)
		}
		if l.Epoch() <= last {
			t.Errorf("epoch %d follows %d", l.Epoch(), last)
		}
		if err := l.Held(); err != nil {
			t.Error(err)
		}
		last = l.Epoch()
		if err := l.Resign(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := l.Held(); !errors.Is(err, glia.ErrStaleEpoch) {
			t.Errorf("Held after Resign: %v", err)
		}
	}
}

func testRestart(t *testing.T, e Election) {
	first := e.Candidate(t, "first")
	a := campaign(t, first)
	e.Restart(t)
	resign(t, a)
	awaitLost(t, a)
	follows(t, a, campaign(t, first))
}

func testVain(t *testing.T, e Election) {
	a := campaign(t, e.Candidate(t, "leader"))
	before := e.Sessions(t)
	other := e.Candidate(t, "in vain")
	for range 100 {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		if l, err := other.Lead(ctx, 0); err == nil {
			t.Fatalf("two lead: %d and %d", a.Epoch(), l.Epoch())
		}
		cancel()
	}
	deadline := time.After(Patience)
	for {
		after := e.Sessions(t)
		if after <= before {
			return
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-deadline:
			t.Fatalf("%d sessions became %d", before, after)
		}
	}
}

// candidateEnv makes the test program a candidate instead.
const candidateEnv = "GLIA_TEST_CANDIDATE"

// CandidateMain is called by TestMain. In a process that the suite has started it campaigns, tells of each end of a
// term and never returns; else it does nothing.
func CandidateMain(elector func(args []string) (registry.Elector, error)) {
	args := os.Getenv(candidateEnv)
	if args == "" {
		return
	}
	e, err := elector(strings.Fields(args))
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	for {
		l, err := e.Lead(context.Background(), 0)
		if err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		fmt.Println("leads", l.Epoch())
		<-l.Lost()
		fmt.Println("lost", l.Epoch())
	}
}

// process is a candidate in a process of its own.
type process struct {
	cmd   *exec.Cmd
	lines chan string
}

func startProcess(t *testing.T, e Election) *process {
	t.Helper()
	p := &process{cmd: exec.Command(os.Args[0], "-test.run=^$"), lines: make(chan string, 16)}
	p.cmd.Env = append(os.Environ(), candidateEnv+"="+strings.Join(e.Args(), " "))
	p.cmd.Stderr = os.Stderr
	out, err := p.cmd.StdoutPipe()
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
	})
	go func() {
		for s := bufio.NewScanner(out); s.Scan(); {
			p.lines <- s.Text()
		}
	}()
	return p
}

// says waits for the next line of the process, which begins with the word, and returns its epoch.
func (p *process) says(t *testing.T, word string) uint64 {
	t.Helper()
	select {
	case line := <-p.lines:
		epoch, err := strconv.ParseUint(strings.TrimPrefix(line, word+" "), 10, 64)
		if err != nil {
			t.Fatalf("the process says %q, want %q", line, word)
		}
		return epoch
	case <-time.After(2 * Patience):
		t.Fatalf("the process does not say %q", word)
	}
	return 0
}

func (p *process) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// testStopped stops the process of the leader for longer than its lease. When it goes on, the first that it does is
// to learn that it has lost; its epoch is lower than that of the one who leads now.
func testStopped(t *testing.T, e Election) {
	p := startProcess(t, e)
	old := p.says(t, "leads")
	p.signal(t, syscall.SIGSTOP)
	l := campaign(t, e.Candidate(t, "successor"))
	if l.Epoch() <= old {
		t.Errorf("epoch %d follows %d", l.Epoch(), old)
	}
	p.signal(t, syscall.SIGCONT)
	if lost := p.says(t, "lost"); lost != old {
		t.Errorf("lost %d, had %d", lost, old)
	}
	resign(t, l)
	if again := p.says(t, "leads"); again <= l.Epoch() {
		t.Errorf("epoch %d follows %d", again, l.Epoch())
	}
}

func testKilled(t *testing.T, e Election) {
	p := startProcess(t, e)
	old := p.says(t, "leads")
	p.signal(t, syscall.SIGKILL)
	if l := campaign(t, e.Candidate(t, "successor")); l.Epoch() <= old {
		t.Errorf("epoch %d follows %d", l.Epoch(), old)
	}
}
