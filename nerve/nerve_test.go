package nerve_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"

	"glia"
	gliav1 "glia/api/glia/v1"
	"glia/nerve"
	"glia/nerve/judge"
)

// bench is a host whose disks the test plugs and breaks. It is inventory, prober and registry.
type bench struct {
	mu     sync.Mutex
	disks  map[string]string // serial -> slot
	errors map[string]int    // bad reads by serial
	hang   map[string]bool
	probes map[string]int
	broken error
	said   []glia.Announcement
}

func newBench(serials ...string) *bench {
	b := &bench{disks: map[string]string{}, errors: map[string]int{}, hang: map[string]bool{}, probes: map[string]int{}}
	for i, s := range serials {
		b.disks[s] = string(rune('1' + i))
	}
	return b
}

func (b *bench) do(f func()) { b.mu.Lock(); defer b.mu.Unlock(); f() }

func (b *bench) Scan(context.Context) ([]glia.Disk, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []glia.Disk
	for s, slot := range b.disks {
		out = append(out, glia.Disk{Identity: glia.Identity{Serial: s, Size: 1000}, Location: glia.Location{Host: "h", Slot: slot, Device: "sd" + slot}})
	}
	return out, b.broken
}

func (b *bench) Probe(_ context.Context, d glia.Disk) []glia.Evidence {
	b.mu.Lock()
	b.probes[d.Serial()]++
	hang, n := b.hang[d.Serial()], b.errors[d.Serial()]
	b.mu.Unlock()
	if hang {
		select {}
	}
	return []glia.Evidence{{Class: glia.Media, Source: "read", What: "read.errors", Value: float64(n), At: time.Now()}}
}

func (b *bench) Announce(_ context.Context, a glia.Announcement) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.said) == 0 || b.said[len(b.said)-1].Generation != a.Generation {
		b.said = append(b.said, a)
	}
	return nil
}

func (b *bench) options(dir string) nerve.Options {
	return nerve.Options{
		Host: "h", API: "127.0.0.1:1", StateFile: filepath.Join(dir, "state.json"), Inventory: b, Prober: b, Announcer: b, Rules: judge.Default(),
		Interval: 10 * time.Second, Deadline: 5 * time.Second, Expiry: 10 * time.Minute, Log: slog.New(slog.DiscardHandler),
	}
}

// run runs a nerve inside the bubble and returns how to stop it.
func (b *bench) run(t *testing.T, dir string) (*nerve.Nerve, func()) {
	t.Helper()
	n, err := nerve.New(b.options(dir))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	return n, func() { cancel(); <-done }
}

func state(n *nerve.Nerve, serial string) glia.State {
	for _, d := range n.Disks() {
		if d.Disk.Serial() == serial {
			return d.Verdict.State
		}
	}
	return glia.State(-1)
}

func TestNerve_AnnouncesAFailingDiskAndItsRecovery(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := newBench("A", "B")
		n, stop := b.run(t, dir)
		defer stop()
		time.Sleep(time.Second)
		b.do(func() { b.errors["B"] = 1 })
		time.Sleep(15 * time.Second)
		if s := state(n, "B"); s != glia.StateHealthy {
			t.Errorf("after one bad probe B is %s", s)
		}
		time.Sleep(30 * time.Second)
		if s := state(n, "B"); s != glia.StateFailed {
			t.Errorf("after four bad probes B is %s", s)
		}
		b.do(func() { b.errors["B"] = 0 })
		time.Sleep(time.Minute)
		var got []string
		b.do(func() {
			for _, a := range b.said {
				got = append(got, a.Worst.String())
			}
		})
		if strings.Join(got, " ") != "healthy failed healthy" {
			t.Errorf("announced %v", got)
		}
	})
}

func TestNerve_HungDiskDelaysNoOther(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	// Not in a bubble: a probe that never returns would keep the bubble from ending.
	b := newBench("A", "B", "C")
	b.hang["B"] = true
	o := b.options(dir)
	o.Interval, o.Deadline, o.Expiry = 20*time.Millisecond, 50*time.Millisecond, time.Minute
	n, err := nerve.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	defer func() { cancel(); <-ended }() // it saves its state at its end
	for {
		var a, hung, c int
		b.do(func() { a, hung, c = b.probes["A"], b.probes["B"], b.probes["C"] })
		if hung > 1 {
			t.Fatalf("a second probe was started on a disk whose first one has not returned")
		}
		if a > 20 && c > 20 && hung == 1 {
			break
		}
		if ctx.Err() != nil {
			t.Fatalf("%d probes of A, %d of C beside the hung B", a, c)
		}
		time.Sleep(time.Millisecond)
	}
	if state(n, "A") != glia.StateHealthy || state(n, "B") != glia.StateUnknown {
		t.Errorf("A is %s, B is %s", state(n, "A"), state(n, "B"))
	}
	short, cancel2 := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel2()
	if _, err := n.Probe(short, "B"); err == nil || !strings.Contains(err.Error(), "has not returned") {
		t.Errorf("probing the hung disk: %v", err)
	}
}

func TestNerve_VerdictsSurviveARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := newBench("A")
		b.errors["A"] = 1
		_, stop := b.run(t, dir)
		time.Sleep(45 * time.Second)
		stop()
		n, err := nerve.New(b.options(dir))
		if err != nil {
			t.Fatal(err)
		}
		if d := n.Disks(); len(d) != 1 || d[0].Verdict.State != glia.StateUnknown || !strings.Contains(d[0].Verdict.Why, "before, it was failed") {
			t.Errorf("after the start, before any probe: %+v", d)
		}
		var gen uint64
		b.do(func() { gen = b.said[len(b.said)-1].Generation })
		n2, stop2 := b.run(t, dir)
		defer stop2()
		time.Sleep(time.Second)
		if s := state(n2, "A"); s != glia.StateFailed {
			t.Errorf("one bad probe after the restart A is %s: the count was lost", s)
		}
		b.do(func() {
			if last := b.said[len(b.said)-1]; last.Generation <= gen || last.Worst != glia.StateFailed {
				t.Errorf("announced %+v after generation %d", last, gen)
			}
		})
	})
}

func TestNerve_MissingDisks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := newBench("A", "B")
		n, stop := b.run(t, dir)
		defer stop()
		time.Sleep(time.Second)

		slot := b.disks["B"]
		b.do(func() { delete(b.disks, "B") })
		time.Sleep(5 * time.Second)
		if s := state(n, "B"); s == glia.StateMissing {
			t.Error("one scan without the disk made it missing")
		}
		time.Sleep(6 * time.Second)
		if s := state(n, "B"); s != glia.StateMissing {
			t.Errorf("B is %s", s)
		}

		b.do(func() { b.disks["B"] = slot })
		time.Sleep(6 * time.Second)
		if s := state(n, "B"); s != glia.StateHealthy {
			t.Errorf("back again B is %s", s)
		}

		b.do(func() { delete(b.disks, "B"); b.disks["NEW"] = slot })
		time.Sleep(12 * time.Second)
		if s := state(n, "B"); s != glia.State(-1) {
			t.Errorf("B is %s although another disk took its place", s)
		}
	})
}

// doubter is a bench on which the identity of some disks is in doubt.
type doubter struct {
	*bench
	why   map[string]string
	scans *int
}

func (d doubter) ScanAll(ctx context.Context) ([]glia.Disk, map[string]string, error) {
	disks, err := d.Scan(ctx)
	d.mu.Lock()
	defer d.mu.Unlock()
	*d.scans++
	return disks, d.why, err
}

func TestNerve_DoubtfulDiskIsUnknownAndNotMissing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := doubter{newBench("A", "B"), map[string]string{}, new(int)}
		o := b.options(dir)
		o.Inventory = b
		n, err := nerve.New(o)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- n.Run(ctx) }()
		defer func() { cancel(); <-done }()
		time.Sleep(time.Second)
		slot := b.disks["B"]
		b.do(func() { delete(b.disks, "B") })
		time.Sleep(6 * time.Second) // for one scan it is not there at all
		b.do(func() { b.why["B"], *b.scans = "claimed by sdb and sdc", 0 })
		time.Sleep(time.Minute)
		b.do(func() {
			if *b.scans > 20 {
				t.Errorf("%d scans in a minute", *b.scans)
			}
		})
		if s := state(n, "B"); s != glia.StateUnknown {
			t.Errorf("B is %s", s)
		}
		b.do(func() { b.disks["B"] = slot; delete(b.why, "B") })
		time.Sleep(time.Minute)
		if s := state(n, "B"); s != glia.StateHealthy {
			t.Errorf("B is %s when it is told apart again", s)
		}
	})
}

// slow is a bench whose next answer is kept back once it is known.
type slow struct {
	*bench
	next chan chan struct{} // what the next scan waits for before it answers
}

func (s slow) Scan(ctx context.Context) ([]glia.Disk, error) {
	disks, err := s.bench.Scan(ctx)
	select {
	case wait := <-s.next:
		<-wait
	default:
	}
	return disks, err
}

func TestNerve_ASlowScanUndoesNoNewerOne(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := slow{newBench("A", "B"), make(chan chan struct{}, 1)}
		o := b.options(dir)
		o.Inventory = b
		n, err := nerve.New(o)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- n.Run(ctx) }()
		defer func() { cancel(); <-done }()
		time.Sleep(time.Second)
		answer, asked := make(chan struct{}), make(chan struct{})
		b.next <- answer
		go func() {
			defer close(asked)
			if _, err := nerve.NewService(n).ListDisks(t.Context(), connect.NewRequest(&gliav1.ListDisksRequest{})); err != nil {
				t.Error(err)
			}
		}()
		synctest.Wait()
		b.do(func() { delete(b.disks, "B") })
		time.Sleep(time.Minute)
		close(answer)
		<-asked
		if s := state(n, "B"); s != glia.StateMissing {
			t.Errorf("a scan from before it was pulled makes B %s", s)
		}
	})
}

func TestNerve_SavesAgainWhatCouldNotBeSaved(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "state")
	synctest.Test(t, func(t *testing.T) {
		b := newBench("A")
		_, stop := b.run(t, dir)
		defer stop()
		if err := os.WriteFile(dir, nil, 0o600); err != nil { // no folder can be made there
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		if err := os.Remove(dir); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		if _, err := os.Stat(filepath.Join(dir, "state.json")); err != nil {
			t.Error(err)
		}
	})
}

func TestNerve_InventoryThatCanNotBeReadHidesNoDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := newBench("A")
		n, stop := b.run(t, dir)
		defer stop()
		time.Sleep(time.Second)
		b.do(func() { b.broken = os.ErrPermission; b.disks = map[string]string{} })
		time.Sleep(time.Minute)
		if s := state(n, "A"); s != glia.StateHealthy {
			t.Errorf("A is %s", s)
		}
		if n.Problem() == "" {
			t.Error("nothing says that the inventory can not be read")
		}
	})
}

func TestNerve_ProbeNowIsFresh(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := newBench("A")
		n, stop := b.run(t, dir)
		defer stop()
		time.Sleep(time.Second)
		before := time.Now()
		d, err := n.Probe(t.Context(), "A")
		if err != nil || d.Verdict.ObservedAt.Before(before) {
			t.Errorf("observed at %s, asked at %s: %v", d.Verdict.ObservedAt, before, err)
		}
		if _, err := n.Probe(t.Context(), "X"); err == nil {
			t.Error("a disk that was never here was probed")
		}
	})
}

func TestNew_RefusesAStateFileThatCanNotBeRead(t *testing.T) {
	t.Parallel()
	for _, content := range []string{"", "{", `{"version": 2}`, "[]"} {
		dir := t.TempDir()
		b := newBench()
		if err := os.WriteFile(filepath.Join(dir, "state.json"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := nerve.New(b.options(dir)); err == nil || !strings.Contains(err.Error(), "state.json") {
			t.Errorf("%q: %v", content, err)
		}
	}
}

// lastSaid is an announcer that keeps the newest announcement.
type lastSaid struct {
	atomic.Pointer[glia.Announcement]
}

func (l *lastSaid) Announce(_ context.Context, a glia.Announcement) error {
	l.Store(&a)
	return nil
}

func TestNerve_AnnouncesARenewedCertificate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b, said := newBench("A"), &lastSaid{}
		var cert atomic.Value
		cert.Store("first")
		o := b.options(dir)
		o.Announcer, o.Cert = said, func() string { return cert.Load().(string) } //nolint:forcetypeassert // never another
		n, err := nerve.New(o)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- n.Run(ctx) }()
		defer func() { cancel(); <-done }()
		for _, want := range []string{"first", "renewed"} {
			cert.Store(want)
			time.Sleep(time.Minute)
			if got := said.Load().Fingerprint; got != want {
				t.Errorf("announced %s, want %s", got, want)
			}
		}
	})
}
