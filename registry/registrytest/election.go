package registrytest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"glia"
	"glia/registry"
)

// Election is a fresh election of one backend, on real servers where it has any.
type Election interface {
	// Candidate returns a new candidate with a connection of its own.
	Candidate(t *testing.T, holder string) Candidate
	// Within is after how long at most somebody else leads once a leader is dead: twice the lease, as servers count it
	// generously, and what the backend waits beyond.
	Within() time.Duration
	// Sessions counts what the server keeps of candidates: sessions, or nodes of them.
	Sessions(t *testing.T) int
	// Depose ends the sessions of all candidates at the server, as an operator might.
	Depose(t *testing.T)
	// Restart kills the server and starts it again.
	Restart(t *testing.T)
	// LoseQuorum takes the quorum away until mend is called; words are what a candidate is told.
	LoseQuorum(t *testing.T) (words string, mend func())
	// Args are those of a candidate in a process of its own, for CandidateMain; its lease is a minute when long is set.
	// Without any, the backend lives in one process.
	Args(long bool) []string
}

// Candidate is one candidate with what can befall its connection.
type Candidate interface {
	registry.Elector
	registry.Observer
	Cut()
	Hang()
	Heal()
}

// RunElection runs the suite of electors; newElection makes an election that nobody else uses. The cases L1 to L10 are
// what elections in the field got wrong.
func RunElection(t *testing.T, newElection func(t *testing.T) Election) {
	for name, test := range map[string]func(*testing.T, Election){
		"L1 of three candidates one leads, and hands over at once": testHandOver,
		"L2 a leader that is killed":                               testKilled,
		"L3 a leader that can not do its work":                     testUnfit,
		"L4 a leader in a stopped process":                         testStopped,
		"L5 a leader that is deposed in the middle of a step":      testDeposed,
		"L6 the server is started again":                           testRestart,
		"L7 all sessions are gone and the value is as it was":      testAllGone,
		"L8 a hundred vain campaigns":                              testVain,
		"L9 a leader that is told to end":                          testEnded,
		"L10 the quorum is lost":                                   testQuorum,
		"a leader that is cut off":                                 func(t *testing.T, e Election) { testSilent(t, e, Candidate.Cut) },
		"a leader whose connection hangs":                          func(t *testing.T, e Election) { testSilent(t, e, Candidate.Hang) },
		"a leader whose wall clock jumps":                          testClock,
		"above what a store knows":                                 testAbove,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, newElection(t))
		})
	}
}

// fence refuses epochs below the highest that it has seen, as the hands and the stores do.
type fence struct {
	mu      sync.Mutex
	highest uint64
}

func (f *fence) accepts(epoch uint64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.highest = max(f.highest, epoch)
	return epoch == f.highest
}

// busy is how much later than a backend promises things may happen on a machine that has much else to do.
const busy = 20 * time.Second

// intime fails unless what began then has not taken longer than promised.
func intime(t *testing.T, began time.Time, promised time.Duration) {
	t.Helper()
	took := time.Since(began)
	t.Logf("led after %v, promised are %v", took.Round(time.Millisecond), promised)
	if took > promised+busy {
		t.Errorf("led after %v, promised are %v", took, promised)
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

// runsOut is follows where nobody tells the first leader: its lease runs out by its own clock. On a machine that is busy its goroutines
// may be late to notice, and whoever asks is not.
func runsOut(t *testing.T, first, second registry.Term) {
	t.Helper()
	if first.Held() == nil {
		t.Errorf("two lead: %d held its lease when %d began", first.Epoch(), second.Epoch())
	}
	awaitLost(t, first)
	follows(t, first, second)
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
	began := time.Now()
	for range 6 {
		var l registry.Term
		select {
		case l = <-won:
		case <-time.After(Patience):
			t.Fatal("nobody leads")
		}
		intime(t, began, e.Within())
		if last != nil {
			follows(t, last, l)
		}
		if err := l.Resign(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := l.Resign(t.Context()); err != nil {
			t.Errorf("resigned again: %v", err)
		}
		last, began = l, time.Now()
	}
}

func testSilent(t *testing.T, e Election, harm func(Candidate)) {
	first, second := e.Candidate(t, "first"), e.Candidate(t, "second")
	a := campaign(t, first)
	harm(first)
	began := time.Now()
	b := campaign(t, second)
	intime(t, began, e.Within())
	runsOut(t, a, b)
}

// testDeposed ends the lease of a leader in the middle of a step. The step is cut off before its successor's begins, or its late
// write is refused: it takes effect once.
func testDeposed(t *testing.T, e Election) {
	var f fence
	a := campaign(t, e.Candidate(t, "first"))
	if !f.accepts(a.Epoch()) {
		t.Error("the first write is refused")
	}
	cutOff := make(chan struct{})
	go func() { // the step
		<-a.Lost()
		close(cutOff)
	}()
	e.Depose(t)
	awaitLost(t, a)
	<-cutOff
	if err := a.Held(); !errors.Is(err, glia.ErrStaleEpoch) {
		t.Errorf("Held of a leader that was deposed: %v", err)
	}
	b := campaign(t, e.Candidate(t, "second"))
	follows(t, a, b)
	if !f.accepts(b.Epoch()) || f.accepts(a.Epoch()) {
		t.Errorf("of %d and %d the wrong one can write", a.Epoch(), b.Epoch())
	}
}

// testUnfit has a leader notice that it can not do its work: it lets go, another leads at once, and it stands by as soon as
// it is fit again.
func testUnfit(t *testing.T, e Election) {
	first, second := e.Candidate(t, "first"), e.Candidate(t, "second")
	a := campaign(t, first)
	led := standBy(t, second)
	if err := a.Resign(t.Context()); err != nil {
		t.Fatal(err)
	}
	b := led()
	follows(t, a, b)
	again := standBy(t, first)
	resign(t, b)
	follows(t, b, again())
}

// standBy campaigns in the background; the returned function waits until the candidate leads.
func standBy(t *testing.T, c registry.Elector) func() registry.Term {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*Patience)
	t.Cleanup(cancel)
	type outcome struct {
		term registry.Term
		err  error
	}
	won := make(chan outcome, 1)
	go func() {
		l, err := c.Lead(ctx, 0)
		won <- outcome{l, err}
	}()
	return func() registry.Term {
		t.Helper()
		o := <-won
		if o.err != nil {
			t.Fatal(o.err)
		}
		t.Cleanup(func() { resign(t, o.term) })
		return o.term
	}
}

// testAllGone ends the sessions of the leader and of those who wait. What the last leader has written stays as it was, and
// must keep nobody from leading.
func testAllGone(t *testing.T, e Election) {
	a := campaign(t, e.Candidate(t, "first"))
	led := standBy(t, e.Candidate(t, "second"))
	began := time.Now()
	e.Depose(t)
	b := led()
	intime(t, began, e.Within())
	awaitLost(t, a)
	if b.Epoch() <= a.Epoch() {
		t.Errorf("epoch %d follows %d", b.Epoch(), a.Epoch())
	}
}

// testQuorum has a backend of two servers lose one.
func testQuorum(t *testing.T, e Election) {
	first, second := e.Candidate(t, "first"), e.Candidate(t, "second")
	a := campaign(t, first)
	words, mend := e.LoseQuorum(t)
	awaitLost(t, a)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if l, err := second.Lead(ctx, 0); err == nil {
		t.Errorf("%d leads without a quorum", l.Epoch())
	} else if t.Log(err); !strings.Contains(err.Error(), words) {
		t.Errorf("Lead: %v, want %q", err, words)
	}
	ask, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if l, err := second.Leader(ask); err == nil {
		t.Errorf("without a quorum somebody says who leads: %+v", l)
	} else {
		t.Log(err)
	}
	mend()
	follows(t, a, campaign(t, second))
}

func testAbove(t *testing.T, e Election) {
	const known = 1_800_000_000
	c, last := e.Candidate(t, "only"), uint64(known)
	for range 3 {
		began := time.Now()
		l, err := c.Lead(t.Context(), known)
		if err != nil {
			t.Fatal(err)
		}
		if l.Epoch() <= last {
			t.Errorf("epoch %d follows %d", l.Epoch(), last)
		}
		if err := l.Held(); err != nil && time.Since(began) < e.Within()/5 { // a lease is half of that at most, and not over so soon
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
	leader := e.Candidate(t, "leader")
	a := campaign(t, leader)
	before := e.Sessions(t)
	other := e.Candidate(t, "in vain")
	for range 100 {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		if l, err := other.Lead(ctx, 0); err == nil {
			if a.Held() == nil {
				t.Fatalf("two lead: %d and %d", a.Epoch(), l.Epoch())
			}
			t.Log("the leader could not renew its lease in time on this machine")
			resign(t, l)
			a = campaign(t, leader)
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
