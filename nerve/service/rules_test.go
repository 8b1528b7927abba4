package service_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"glia/nerve/service"
)

// shelf is a place that writes down what it is to show whenever that changes.
type shelf struct{ log *[]string }

func (p shelf) Keep(_ context.Context, state service.State, why string) error {
	if n := len(*p.log); n == 0 || (*p.log)[n-1] != string(state) {
		*p.log = append(*p.log, string(state))
	}
	return nil
}

func (p shelf) Leave(context.Context) error { *p.log = append(*p.log, "left"); return nil }

// follow runs one service on a shelf, in a bubble.
func follow(t *testing.T, b *service.Book, limit service.Limit, c *lever) (s *service.Services, log *[]string, stop func()) {
	t.Helper()
	log = &[]string{}
	s = service.New(service.Options{Book: b})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Run(ctx, []service.Service{{Name: "web", Key: "a", Interval: time.Second, Limit: limit, Places: map[string]service.Place{"shelf": shelf{log}},
			Checks: []service.Named{{Name: "lever", Check: c, Timeout: time.Second, Rise: 1, Fall: 1}}}})
	}()
	synctest.Wait()
	return s, log, func() { cancel(); <-done }
}

// wait lets time pass in a bubble.
func wait(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestServices_MaintenanceEndsByItself(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "maintenance.json")
	synctest.Test(t, func(t *testing.T) {
		open := func() *service.Book {
			b, err := service.OpenBook(path)
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		b := open()
		s, log, stop := follow(t, b, service.Limit{}, &lever{})
		put := func(name string, drain bool, length time.Duration) {
			t.Helper()
			if err := b.Put(service.Maintenance{Service: name, Drain: drain, Person: "ann", Reason: "new kernel", Since: time.Now(), Until: time.Now().Add(length)}); err != nil {
				t.Fatal(err)
			}
			wait(2 * time.Second)
		}
		put("web", true, time.Hour)
		put("", false, 2*time.Hour)
		if st := s.Statuses()[0]; st.State != service.Up || st.Announced != service.Down || !strings.Contains(st.Reasons[0], "maintenance by ann until ") {
			t.Errorf("%+v", st)
		}
		stop() // a restart
		b = open()
		_, again, stop := follow(t, b, service.Limit{}, &lever{})
		if got := fmt.Sprint(*log, *again); got != "[up draining down left] [down]" {
			t.Errorf("announced: %s", got)
		}
		wait(2 * time.Hour)
		put("other", false, time.Hour)
		put("web", true, time.Hour)
		if _, ok, err := b.End("web", time.Now()); !ok || err != nil {
			t.Error(err)
		}
		if _, ok, err := b.End("web", time.Now()); ok || err != nil {
			t.Error("it was ended twice", err)
		}
		wait(2 * time.Second)
		stop()
		if got := fmt.Sprint(*again); got != "[down up draining up left]" {
			t.Errorf("announced after the restart: %s", got)
		}
		if all := b.All(time.Now()); len(all) != 1 || all[0].Service != "other" {
			t.Errorf("in force: %v", all)
		}
	})
	if err := os.WriteFile(path, []byte("[{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := service.OpenBook(path); err == nil || !strings.Contains(err.Error(), "remove it: all of them are announced then") {
		t.Errorf("a torn book: %v", err)
	}
}

func TestBook_RefusesWhatIsNoMaintenance(t *testing.T) {
	t.Parallel()
	b, now := book(t), time.Unix(1000, 0)
	for want, m := range map[string]service.Maintenance{
		"a person and a reason":   {Person: "ann", Since: now, Until: now.Add(time.Hour)},
		"must end after":          {Person: "ann", Reason: "x", Since: now, Until: now},
		"is too long: want 720h0": {Person: "ann", Reason: "x", Since: now, Until: now.Add(1000 * time.Hour)},
	} {
		if err := b.Put(m); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

func TestServices_LimitHoldsChangesBack(t *testing.T) {
	t.Parallel()
	for _, shadow := range []bool{false, true} {
		b := book(t)
		synctest.Test(t, func(t *testing.T) {
			c := &lever{}
			// One change is in the bucket; the next comes after ten seconds.
			s, log, stop := follow(t, b, service.Limit{Rate: 0.1, Burst: 1, Shadow: shadow}, c)
			c.bad.Store(true)
			wait(1500 * time.Millisecond)
			c.bad.Store(false)
			wait(1500 * time.Millisecond)
			st := s.Statuses()[0]
			if st.State != service.Up || (st.Announced == service.Up) != shadow || st.HeldBack == 0 {
				t.Errorf("shadow %v: %+v", shadow, st)
			}
			wait(20 * time.Second)
			stop()
			if got := fmt.Sprint(*log); got != "[up down up left]" {
				t.Errorf("shadow %v: announced %s", shadow, got)
			}
		})
	}
}

// TestBucket_CountsAsNerve has the cases of nerve's own limiter.
func TestBucket_CountsAsNerve(t *testing.T) {
	t.Parallel()
	now := time.Unix(0, 0)
	taken := func(b *service.Bucket, most int) (n int) {
		for n < most && b.Take(now) {
			n++
		}
		return n
	}
	b := service.NewBucket(service.Limit{Rate: 100, Burst: 500}, now)
	now = now.Add(6 * time.Second)
	if n := taken(b, 1000); n != 500 {
		t.Errorf("after six seconds %d, want 500", n)
	}
	n := 0
	for range 1000 {
		now = now.Add(10 * time.Millisecond)
		n += taken(b, 1000)
	}
	if n < 950 || n > 1050 {
		t.Errorf("%d in ten seconds, want about 1000", n)
	}
	if n := taken(service.NewBucket(service.Limit{}, now), 5000); n != 5000 {
		t.Errorf("without a limit %d", n)
	}
}

func TestServices_HeartbeatStopsWithAStuckService(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "beat")
	b := book(t)
	synctest.Test(t, func(t *testing.T) {
		s := service.New(service.Options{Book: b, Heartbeat: file})
		var stuck atomic.Bool
		free := make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = s.Run(ctx, []service.Service{{Name: "web", Key: "a", Interval: time.Second, Checks: []service.Named{
				{Name: "c", Timeout: time.Second, Rise: 1, Fall: 1, Check: probeFunc(func() {
					if stuck.Load() {
						<-free
					}
				})}}}})
		}()
		wait(time.Minute)
		info, err := os.Stat(file)
		if err != nil || time.Since(info.ModTime()) > 10*time.Second || s.Problem() != nil {
			t.Errorf("%v, %v", err, s.Problem())
		}
		stuck.Store(true)
		wait(2 * time.Minute)
		if info, err = os.Stat(file); err != nil || time.Since(info.ModTime()) < time.Minute || s.Problem() == nil {
			t.Errorf("a stuck service: %v, %v, %v", info.ModTime(), err, s.Problem())
		}
		stuck.Store(false)
		close(free)
		wait(time.Minute)
		if err := s.Problem(); err != nil {
			t.Error(err)
		}
		cancel()
		<-done
	})
}

// probeFunc is a check that passes, after a function.
type probeFunc func()

func (f probeFunc) Probe(context.Context) error { f(); return nil }

func TestPause_PutsRoundsOnCommonBeats(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	for _, tc := range []struct{ since, interval, late, want time.Duration }{
		{0, time.Second, 0, time.Second},
		{3 * ms, time.Second, 0, 997 * ms}, // what took 3 ms is asked again together with what took none
		{49 * ms, time.Second, 0, 951 * ms},
		{50 * ms, time.Second, 0, time.Second},
		{3 * ms, time.Second, 47 * ms, 1047 * ms}, // or a beat later, so that they spread over the interval
		{3 * time.Minute, time.Minute, 3 * time.Second, 63 * time.Second},
		{7, 10, 0, 10}, // without beats
	} {
		if got := service.Pause(tc.since, tc.interval, tc.late); got != tc.want {
			t.Errorf("Pause(%v, %v, %v) = %v, want %v", tc.since, tc.interval, tc.late, got, tc.want)
		}
	}
}
