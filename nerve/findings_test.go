package nerve_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"glia"
	gliav1 "glia/api/glia/v1"
	"glia/nerve"
	"glia/nerve/history"
	"glia/nerve/judge"
)

// start runs a nerve with these options inside the bubble.
func start(t *testing.T, o nerve.Options) (*nerve.Nerve, func()) {
	t.Helper()
	n, err := nerve.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	return n, func() { cancel(); <-done }
}

func (b *bench) last() glia.Announcement {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.said[len(b.said)-1]
}

func TestNerve_DisksThatFailTogetherAreOneFindingAndUnknown(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := newBench("A", "B", "C", "D")
		o := b.options(dir)
		o.Together = judge.Together{Least: 3, Within: time.Hour}
		n, stop := start(t, o)
		defer stop()
		time.Sleep(time.Second)
		b.do(func() { b.errors["A"], b.errors["B"], b.errors["C"] = 1, 1, 1 })
		time.Sleep(2 * time.Minute)
		b.do(func() {
			for _, a := range b.said {
				if len(a.Bad) > 0 {
					t.Errorf("announced %v", a.Bad)
				}
			}
		})
		if a := b.last(); a.Finding != "3 of 4 disks fail together" || a.Worst != glia.StateUnknown {
			t.Errorf("announced %+v", a)
		}
		if state(n, "A") != glia.StateUnknown || state(n, "D") != glia.StateHealthy {
			t.Errorf("A is %s, D is %s", state(n, "A"), state(n, "D"))
		}
		if d, err := n.Probe(t.Context(), "B"); err != nil || d.Verdict.State != glia.StateUnknown || !strings.Contains(d.Verdict.Why, "fail together; by itself it would be failed") {
			t.Errorf("probed now B is %s: %v", d.Verdict.Summary(), err)
		}
		r, err := nerve.NewService(n).ListDisks(t.Context(), connect.NewRequest(&gliav1.ListDisksRequest{}))
		if err != nil || len(r.Msg.GetFindings()) != 1 || len(r.Msg.GetFindings()[0].GetSerials()) != 3 || r.Msg.GetFindings()[0].GetAdvice() == "" {
			t.Errorf("the API tells %v, %v", r.Msg.GetFindings(), err)
		}
		// Two of them recover: the third is a bad disk.
		b.do(func() { b.errors["A"], b.errors["B"] = 0, 0 })
		time.Sleep(2 * time.Minute)
		if a := b.last(); a.Finding != "" || len(a.Bad) != 1 || state(n, "C") != glia.StateFailed {
			t.Errorf("announced %+v", a)
		}
	})
}

func TestNerve_HBAThatVanishesIsNoMissingDisks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := newBench("A", "B", "C", "D")
		o := b.options(dir)
		o.Together = judge.Together{Least: 3, Within: time.Hour}
		n, stop := start(t, o)
		defer stop()
		time.Sleep(time.Second)
		disks := b.disks
		b.do(func() { b.disks = map[string]string{} })
		time.Sleep(time.Minute)
		b.do(func() {
			for _, a := range b.said {
				if len(a.Bad) > 0 {
					t.Errorf("announced %v", a.Bad)
				}
			}
		})
		if s := state(n, "A"); s != glia.StateUnknown || b.last().Finding != "4 of 4 disks fail together" {
			t.Errorf("A is %s; announced %+v", s, b.last())
		}
		b.do(func() { b.disks = disks })
		time.Sleep(time.Minute)
		if a := b.last(); a.Finding != "" || a.Worst != glia.StateHealthy {
			t.Errorf("they are back: %+v", a)
		}
	})
}

func TestNerve_StarvedProberBelievesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := newBench("A")
		pressure := 0.0
		o := b.options(dir)
		o.Starved = judge.Starvation{Memory: 50}
		o.Pressure = func() (float64, float64, error) { b.mu.Lock(); defer b.mu.Unlock(); return pressure, 0, nil }
		n, stop := start(t, o)
		defer stop()
		time.Sleep(15 * time.Second)
		b.do(func() { pressure = 80 })
		time.Sleep(15 * time.Second)
		b.do(func() { b.errors["A"] = 1 })
		time.Sleep(5 * time.Minute)
		if s := state(n, "A"); s != glia.StateHealthy {
			t.Errorf("A is %s while what it was is not old", s)
		}
		time.Sleep(10 * time.Minute)
		if s, a := state(n, "A"), b.last(); s != glia.StateUnknown || !strings.HasPrefix(a.Finding, "the prober is starved") {
			t.Errorf("A is %s; announced %+v", s, a)
		}
		b.do(func() { pressure = 0 })
		time.Sleep(2 * time.Minute)
		if s, a := state(n, "A"), b.last(); s != glia.StateFailed || a.Finding != "" {
			t.Errorf("fed again, A is %s; announced %+v", s, a)
		}
	})
}

func TestNerve_AcceptedValueSurvivesARestartAndEnds(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := newBench("A")
		b.errors["A"] = 2
		n, stop := start(t, b.options(dir))
		time.Sleep(time.Minute)
		api := nerve.NewService(n)
		accept := func(serial, rule, person string) error {
			_, err := api.AcceptValue(t.Context(), connect.NewRequest(&gliav1.AcceptValueRequest{Serial: serial, Rule: rule, Person: person, Reason: "known bad block", Until: timestamp(time.Hour)}))
			return err
		}
		for code, err := range map[connect.Code]error{connect.CodeNotFound: accept("X", "read-errors", "ann"), connect.CodeInvalidArgument: accept("A", "read-errors", "")} {
			if connect.CodeOf(err) != code {
				t.Errorf("want %s, got %v", code, err)
			}
		}
		if err := accept("A", "ata-pending", "ann"); connect.CodeOf(err) != connect.CodeInvalidArgument || !strings.Contains(err.Error(), "ata.pending was not observed") {
			t.Errorf("a value that nobody has seen: %v", err)
		}
		if err := accept("A", "read-errors", "ann"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if s := state(n, "A"); s != glia.StateHealthy {
			t.Errorf("accepted, A is %s", s)
		}
		stop()
		n, stop = start(t, b.options(dir))
		defer stop()
		time.Sleep(time.Minute)
		all, err := nerve.NewService(n).ListAccepted(t.Context(), connect.NewRequest(&gliav1.ListAcceptedRequest{}))
		if err != nil || len(all.Msg.GetAccepted()) != 1 || all.Msg.GetAccepted()[0].GetSerial() != "A" || all.Msg.GetAccepted()[0].GetAccepted().GetPerson() != "ann" {
			t.Errorf("what is accepted on the host: %v, %v", all, err)
		}
		r, err := nerve.NewService(n).GetHistory(t.Context(), connect.NewRequest(&gliav1.GetHistoryRequest{Serial: "A"}))
		if err != nil || len(r.Msg.GetAccepted()) != 1 || r.Msg.GetAccepted()[0].GetValue() != 2 || state(n, "A") != glia.StateHealthy {
			t.Errorf("after a restart: %v, %v, A is %s", r.Msg.GetAccepted(), err, state(n, "A"))
		}
		time.Sleep(time.Hour)
		if s := state(n, "A"); s != glia.StateFailed || len(n.Accepted("A")) != 0 {
			t.Errorf("after its end A is %s, accepted %v", s, n.Accepted("A"))
		}
	})
}

func TestNerve_KeepsAndServesHistory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	past, err := history.Open(history.Options{Dir: dir, Keep: 1e6 * time.Hour, Bytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		b := newBench("A")
		o := b.options(dir)
		o.History = past
		n, stop := start(t, o)
		defer stop()
		time.Sleep(time.Minute)
		b.do(func() { b.errors["A"] = 3 })
		time.Sleep(time.Minute)
		r, err := nerve.NewService(n).GetHistory(t.Context(), connect.NewRequest(&gliav1.GetHistoryRequest{Serial: "A"}))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, s := range r.Msg.GetSeries() {
			text := s.GetWhat() + " " + s.GetClass()
			for _, p := range s.GetPoints() {
				text += " " + map[float64]string{0: "0", 1: "1", 3: "3", 6: "6"}[p.GetValue()]
			}
			got = append(got, text)
		}
		if s := strings.Join(got, "; "); s != "read.errors media 0 3; verdict  1 6" {
			t.Errorf("%s", s)
		}
	})
}

func timestamp(after time.Duration) *timestamppb.Timestamp {
	return timestamppb.New(time.Now().Add(after))
}

// The kernel may call a disk by another name at any time; what it is stays.
func TestNerve_RenamedDiskIsTheSameDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := newBench("A", "B")
		n, stop := start(t, b.options(dir))
		defer stop()
		time.Sleep(time.Second)
		b.do(func() { b.disks["A"], b.disks["B"] = "7", b.disks["A"] }) // sd1 is sd7 now, and sd2 is sd1
		time.Sleep(time.Minute)
		for _, serial := range []string{"A", "B"} {
			if s := state(n, serial); s != glia.StateHealthy {
				t.Errorf("%s is %s", serial, s)
			}
		}
		if a := b.last(); a.DiskCount != 2 || len(a.Bad) != 0 {
			t.Errorf("announced %+v", a)
		}
	})
}
