package hand_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"

	"glia"
	gliav1 "glia/api/glia/v1"
	"glia/nerve/hand"
)

// slow is a lab with two disks and a drain hook that runs until it is let go.
func slow(t *testing.T) (l *lab, rec *recorder, opts hand.Options, started chan string, goOn chan error) {
	l = fakeLab(t)
	l.add("A", 1, "loop999", 32*mib)
	l.add("B", 2, "loop998", 32*mib)
	started, goOn = make(chan string, 100), make(chan error)
	rec = &recorder{}
	rec.run = func(ctx context.Context, argv, env []string) (string, error) {
		started <- strings.Join(env, " ")
		select {
		case err := <-goOn:
			return "printed", err
		case <-ctx.Done():
			return "printed", context.Cause(ctx)
		}
	}
	opts = l.options(rec)
	opts.DrainHook = []string{"drain"}
	return l, rec, opts, started, goOn
}

func impatient() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

func TestHand_ActsOutliveTheCall(t *testing.T) {
	t.Parallel()
	l, rec, opts, started, goOn := slow(t)
	h := l.hand(opts)
	o := order(drain, "A", 1)
	send := func(o *gliav1.Order) *gliav1.ExecuteResponse {
		t.Helper()
		r, err := h.Execute(impatient(), o)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	running := gliav1.OrderState_ORDER_STATE_RUNNING
	if r := send(o); r.State != running {
		t.Fatalf("got %v", r)
	}
	<-started
	if r := send(o); r.State != running || len(r.Commands) != 1 || r.StartedAt == nil {
		t.Errorf("got %v", r)
	}
	newer := proto.CloneOf(o)
	newer.Epoch, newer.Retired = 6, []string{"X"}
	if r := send(newer); r.State != running {
		t.Errorf("the next repairer got %v", r)
	}
	other := proto.CloneOf(newer)
	other.Serial, other.Place = "B", place(2)
	wantNo(t, send(other), refused, "key "+o.Key+" was given for the drain of A")
	for _, busy := range []*gliav1.Order{order(inspect, "A", 1, epoch(6)), order(inspect, "OLD", 1, epoch(6))} {
		wantNo(t, send(busy), waits, "is busy with "+o.Key)
	}
	if r := send(order(drain, "B", 2, epoch(6))); r.State != running {
		t.Errorf("another disk must not wait: %v", r)
	}
	<-started
	goOn <- nil
	goOn <- nil
	wantDone(t, finish(t, h, newer))
	wantDone(t, finish(t, h, newer))
	for _, dry := range []bool{false, true} {
		newer.DryRun, other.DryRun = dry, dry
		if r := finish(t, h, newer); r.Output != "printed" || r.EndedAt == nil {
			t.Errorf("dry=%t: got %v, want what is recorded", dry, r)
		}
		wantNo(t, finish(t, h, other), refused, "key "+o.Key+" was given for the drain of A")
	}
	if calls := rec.Calls(); len(calls) != 2 {
		t.Errorf("ran %q", calls)
	}
	wantDone(t, finish(t, h, order(inspect, "A", 1, epoch(6)))) // what was busy is not any more
}

func TestHand_FailedOrdersMayBeSentAgain(t *testing.T) {
	t.Parallel()
	l, rec, opts, _, goOn := slow(t)
	h := l.hand(opts)
	o := order(drain, "A", 1)
	go func() { goOn <- errors.New("first"); goOn <- nil }()
	wantNo(t, finish(t, h, o), failed, "drain hook: first")
	wantDone(t, finish(t, h, o))
	if calls := rec.Calls(); len(calls) != 2 {
		t.Errorf("ran %q", calls)
	}
}

// However many send an order at once, the act happens once.
func TestHand_ConcurrentOrders(t *testing.T) {
	t.Parallel()
	l := fakeLab(t)
	var want []string
	for i, s := range []string{"A", "B", "C", "D"} {
		l.add(s, i, "loop99"+s, mib)
	}
	rec := &recorder{}
	rec.run = func(_ context.Context, _, env []string) (string, error) { return strings.Join(env, " "), nil }
	opts := l.options(rec)
	opts.DrainHook = []string{"drain"}
	h := l.hand(opts)
	var wg sync.WaitGroup
	for i, s := range []string{"A", "B", "C", "D"} {
		o := order(drain, s, i)
		want = append(want, s)
		for n := range 16 {
			o := proto.CloneOf(o)
			o.Epoch += uint64(n)
			wg.Go(func() {
				r, err := outcome(h, o)
				switch {
				case errors.Is(err, glia.ErrStaleEpoch):
				case err != nil:
					t.Error(err)
				case r.State != gliav1.OrderState_ORDER_STATE_DONE || !strings.Contains(r.Output, "GLIA_SERIAL="+o.Serial):
					t.Errorf("got %v", r)
				}
			})
		}
	}
	wg.Wait()
	if calls := rec.Calls(); len(calls) != len(want) {
		t.Errorf("ran %d acts, want %d", len(calls), len(want))
	}
}

func TestHand_CloseEndsActs(t *testing.T) {
	t.Parallel()
	l, _, opts, started, _ := slow(t)
	h, err := hand.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	o := order(drain, "A", 1)
	if _, err := h.Execute(impatient(), o); err != nil {
		t.Fatal(err)
	}
	<-started
	if err := h.Close(impatient()); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Execute(t.Context(), o); !errors.Is(err, hand.ErrClosed) {
		t.Errorf("got %v", err)
	}
	j, _ := os.ReadFile(filepath.Join(opts.StateDir, "journal"))
	if !strings.Contains(string(j), `"reason":"drain hook: nerve stops"`) {
		t.Errorf("the journal is %s", j)
	}
	opts.DrainHook = nil
	wantDone(t, finish(t, l.hand(opts), o))
}

// A process that somebody starts at that moment has a copy of the lock until its exec, as this test has.
func TestHand_CloseLetsTheNextOneIn(t *testing.T) {
	t.Parallel()
	l := fakeLab(t)
	opts := l.options(&recorder{})
	h, err := hand.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	fds, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(fds, func(fd string) bool {
		file, err := os.Readlink(fd)
		return err == nil && file == filepath.Join(opts.StateDir, "lock")
	})
	if i < 0 {
		t.Fatal("the lock is not open")
	}
	n, err := strconv.Atoi(filepath.Base(fds[i]))
	if err == nil {
		n, err = unix.FcntlInt(uintptr(n), unix.F_DUPFD_CLOEXEC, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(n)
	if _, err := hand.New(opts); err == nil {
		t.Error("two hands share a folder")
	}
	stop(t, h)
	l.hand(opts)
}

// An order that a stop of the nerve finds before its act has begun was not refused: nobody has said no.
func TestHand_CloseRefusesNoOrder(t *testing.T) {
	t.Parallel()
	l := fakeLab(t)
	l.add("A", 1, "loop999", 32*mib)
	opts := l.options(&recorder{})
	looking := make(chan bool)
	opts.Inventory = func(ctx context.Context) ([]glia.Disk, error) {
		close(looking)
		<-ctx.Done()
		return nil, ctx.Err()
	}
	h, err := hand.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	answer := make(chan *gliav1.ExecuteResponse)
	go func() {
		r, err := h.Execute(t.Context(), order(drain, "A", 1))
		if err != nil {
			t.Error(err)
		}
		answer <- r
	}()
	<-looking
	if err := h.Close(impatient()); err != nil {
		t.Fatal(err)
	}
	wantNo(t, <-answer, waits)
}

// Invariant 8: a dry run tells the commands that the order would run, and leaves no trace.
func TestHand_DryRunChangesNothing(t *testing.T) {
	t.Parallel()
	l, device, target := mounted(t, "ext4")
	fresh := l.attach("NEW", 2, 32*mib)
	idle := l.attach("IDLE", 3, 32*mib)
	l.sh("mkfs.ext4", "-q", "-U", newUUID, "/dev/"+idle)
	rec := &recorder{to: hand.Linux()}
	opts := l.options(rec)
	opts.DrainHook, opts.RejoinHook = []string{"drain", "it's"}, []string{"rejoin"}
	h := l.hand(opts)
	wantDone(t, finish(t, h, order(inspect, "OLD", 1))) // an epoch to begin with
	env := "GLIA_CASE=case-1 GLIA_SERIAL=OLD GLIA_PLACE='enc0 slot 1' GLIA_DEVICE=/dev/" + device + " GLIA_MOUNT=" + target + " GLIA_HOST=node-1 "
	made := filepath.Join(l.dir, "made")

	trace := func() string {
		e, _ := os.ReadFile(filepath.Join(opts.StateDir, "epoch"))
		j, _ := os.ReadFile(filepath.Join(opts.StateDir, "journal"))
		return string(e) + string(j) + l.hash("NEW") + l.hash("IDLE")
	}
	before := trace()
	for _, c := range []struct {
		o    *gliav1.Order
		want []string
	}{
		{order(drain, "OLD", 1, is("ext4", target)), []string{env + `drain 'it'\''s'`}},
		{order(rejoin, "OLD", 1, is("ext4", target)), []string{env + "rejoin"}},
		{order(unmount, "OLD", 1, is("ext4", target)), []string{"umount " + target}},
		{order(inspect, "OLD", 2), nil},
		{order(format, "NEW", 2), []string{"mkfs.ext4 -q -L data1 -U " + newUUID + " /dev/" + fresh}},
		{order(format, "NEW", 2, func(o *gliav1.Order) { o.Filesystem.Type = "xfs" }), []string{"mkfs.xfs -q -L data1 -m uuid=" + newUUID + " /dev/" + fresh}},
		{order(mount, "IDLE", 3, on(made)), []string{"mkdir -m 0755 " + made, "mount -t ext4 /dev/" + idle + " " + made}},
	} {
		c.o.DryRun, c.o.Epoch = true, 99
		r := finish(t, h, c.o)
		wantDone(t, r)
		if !slices.Equal(r.Commands, c.want) {
			t.Errorf("%s: commands %q, want %q", c.o.Verb, r.Commands, c.want)
		}
	}
	bad := order(format, "OLD", 1)
	bad.DryRun = true
	wantNo(t, finish(t, h, bad), refused, "is mounted on")
	if calls := rec.Calls(); len(calls) > 0 {
		t.Errorf("ran %q", calls)
	}
	if trace() != before || !isMounted(l, target) {
		t.Error("a dry run left a trace")
	}
	if _, err := os.Stat(made); err == nil {
		t.Error("a dry run made the mount point")
	}
}

// The real System: what a hook prints is kept to its end, and a hook that never ends is killed with
// its children.
func TestHand_Hooks(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		hook   string
		state  gliav1.OrderState
		reason string
		output string
	}{
		{"exit code", "echo out; echo err >&2; exit 7", failed, "drain hook: /bin/sh: exit status 7", "out\nerr"},
		{"long output", "i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done", gliav1.OrderState_ORDER_STATE_DONE, "", "line 1999"},
		{"not UTF-8", `printf 'a\377b'`, gliav1.OrderState_ORDER_STATE_DONE, "", "a\uFFFDb"},
		{"too long", "sleep 1000 & echo $!; wait", failed, "drain hook: /bin/sh: killed: not finished after 300ms", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := fakeLab(t)
			l.add("A", 1, "loop999", mib)
			opts := l.options(hand.Linux())
			opts.DrainHook = []string{"/bin/sh", "-c", c.hook}
			if c.name == "too long" {
				opts.HookTimeout = 300 * time.Millisecond
			}
			r := finish(t, l.hand(opts), order(drain, "A", 1))
			if r.State != c.state || r.Reason != c.reason || !strings.HasSuffix(r.Output, c.output) || len(r.Output) > 4200 {
				t.Errorf("got %s, %q, output %q", r.State, r.Reason, r.Output)
			}
			if _, err := proto.Marshal(r); err != nil {
				t.Error(err)
			}
			if c.name == "too long" && alive(r.Output) {
				t.Errorf("child %s still runs", r.Output)
			}
		})
	}
}

// alive says whether a process runs; one that is dead and waits for its parent does not.
func alive(pid string) bool {
	for range 1000 {
		status, err := os.ReadFile("/proc/" + pid + "/status")
		if err != nil || strings.Contains(string(status), "State:\tZ") {
			return false
		}
	}
	return true
}

// Draining a disk that is gone tells its users so; without a hook there is nothing to do.
func TestHand_DrainWithoutDiskOrHook(t *testing.T) {
	t.Parallel()
	l := fakeLab(t)
	l.add("A", 1, "loop999", mib)
	h := l.hand(l.options(&recorder{}))
	r := finish(t, h, order(drain, "A", 1))
	wantDone(t, r)
	if r.Output != "no drain hook configured" {
		t.Errorf("output is %q", r.Output)
	}
	r = finish(t, h, order(drain, "GONE", 2))
	wantDone(t, r)
	if !strings.Contains(r.Output, "disk GONE is not found on this host") {
		t.Errorf("output is %q", r.Output)
	}
	wantNo(t, finish(t, h, order(rejoin, "GONE", 2)), refused, "disk GONE is not found")
}

func TestHand_RefusesOrdersThatAreNotValid(t *testing.T) {
	t.Parallel()
	l := fakeLab(t)
	h := l.hand(l.options(&recorder{}))
	long := strings.Repeat("x", 17)
	for _, c := range []struct {
		name string
		o    *gliav1.Order
		says []string
	}{
		{"nothing", nil, []string{"no order"}},
		{"empty", &gliav1.Order{}, []string{"epoch is 0", "key", "case_id", "verb 0", "serial", "place"}},
		{"unknown verb", order(77, "A", 1), []string{"verb 77 is not known"}},
		{"odd key", order(drain, "A", 1, func(o *gliav1.Order) { o.Key = "a b\n" }), []string{`key "a b\n"`}},
		{"odd serial", order(drain, "A\n", 1), []string{`serial "A\n"`}},
		{"not UTF-8", order(drain, "A\xff", 1), []string{`serial "A\xff"`}},
		{"format", order(format, "A", 1, filesystem(&gliav1.Filesystem{Type: "zfs", Uuid: strings.ToUpper(newUUID), Label: "a\tb"}), func(o *gliav1.Order) { o.MinSize = 0 }),
			[]string{"min_size", `type "zfs"`, "uuid", `label "a\tb"`}},
		{"nil UUID", order(format, "A", 1, func(o *gliav1.Order) { o.Filesystem.Uuid = "00000000-0000-0000-0000-000000000000" }), []string{"not all zero"}},
		{"ext4 label", order(format, "A", 1, func(o *gliav1.Order) { o.Filesystem.Label = long }), []string{"has 17 bytes, ext4 holds at most 16"}},
		{"xfs label", order(format, "A", 1, func(o *gliav1.Order) { o.Filesystem.Type, o.Filesystem.Label = "xfs", long[:13] }), []string{"has 13 bytes, xfs holds at most 12"}},
		{"relative", order(unmount, "A", 1, on("data")), []string{"absolute"}},
		{"not clean", order(mount, "A", 1, on("/data/../etc")), []string{"absolute path without"}},
		{"slash", order(unmount, "A", 1, on("/")), []string{"directory of the system"}},
		{"var", order(mount, "A", 1, on("/var")), []string{"directory of the system"}},
		{"below etc", order(mount, "A", 1, on("/etc/x")), []string{"belongs to the system"}},
		{"boot", order(drain, "A", 1, on("/boot/efi")), []string{"belongs to the system"}},
		{"no target", order(mount, "A", 1), []string{"absolute"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			wantNo(t, finish(t, h, c.o), refused, append(c.says, "order is not valid")...)
		})
	}
	if e, err := os.ReadFile(filepath.Join(l.dir, "state", "epoch")); err == nil {
		t.Errorf("an order that is not valid raised the epoch to %s", e)
	}
}
