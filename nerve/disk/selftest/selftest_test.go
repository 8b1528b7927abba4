package selftest_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"glia/nerve/disk/selftest"
	"glia/nerve/disk/smart"
)

func TestGrown(t *testing.T) {
	t.Parallel()
	count := func(name string, n uint64) selftest.Count { return selftest.Count{Name: name, Value: n} }
	for _, tc := range []struct {
		name          string
		before, after []selftest.Count
		want          string
	}{
		{"nothing told", nil, nil, ""},
		{"the same", []selftest.Count{count("a", 3)}, []selftest.Count{count("a", 3)}, ""},
		{"one more", []selftest.Count{count("a", 0), count("b", 3)}, []selftest.Count{count("a", 0), count("b", 4)}, "b grew from 3 to 4"},
		{"both", []selftest.Count{count("a", 0), count("b", 3)}, []selftest.Count{count("b", 4), count("a", 9)}, "a grew from 0 to 9; b grew from 3 to 4"},
		{"fewer is no growth", []selftest.Count{count("a", 3)}, []selftest.Count{count("a", 1)}, ""},
		{"not told any more", []selftest.Count{count("a", 3)}, nil, ""},
		{"told for the first time", nil, []selftest.Count{count("a", 3)}, ""},
	} {
		if got := strings.Join(selftest.Grown(tc.before, tc.after), "; "); got != tc.want {
			t.Errorf("%s: %q", tc.name, got)
		}
	}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	begun := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	last := func(r smart.SelfTestResult) smart.SelfTest { return smart.SelfTest{Result: r, Hours: 7} }
	old := selftest.Report{Offers: true, Tests: 1, Last: smart.SelfTest{Result: smart.SelfTestPassed, Hours: 1}}
	failed := smart.SelfTest{Result: smart.SelfTestFailed, Part: "read", LBA: 4711, HasLBA: true}
	for _, tc := range []struct {
		name   string
		before selftest.Report
		r      selftest.Report
		after  time.Duration
		want   selftest.Outcome
		words  string
	}{
		{"runs", old, selftest.Report{Running: true, Expect: 2 * time.Minute}, time.Minute, selftest.Waiting, "is running"},
		{"runs long", old, selftest.Report{Running: true, Expect: 2 * time.Minute}, 7 * time.Minute, selftest.Waiting, "is running"},
		{"runs for ever", old, selftest.Report{Running: true, Expect: 2 * time.Minute}, 8 * time.Minute, selftest.Silent, "still ran after 8m0s"},
		{"passed", old, selftest.Report{Tests: 2, Last: last(smart.SelfTestPassed)}, time.Minute, selftest.Passed, "passed"},
		{"passed, in a full record", old, selftest.Report{Tests: 1, Last: last(smart.SelfTestPassed)}, time.Minute, selftest.Passed, "passed"},
		{"failed", old, selftest.Report{Tests: 2, Last: failed}, time.Minute, selftest.Failed, "failed (read) at sector 4711"},
		{"aborted", old, selftest.Report{Tests: 2, Last: last(smart.SelfTestAborted)}, time.Minute, selftest.Silent, "was aborted"},
		{"reserved", old, selftest.Report{Tests: 2, Last: last(smart.SelfTestUnknown)}, time.Minute, selftest.Silent, "unknown way"},
		{"the record of an older test", old, old, time.Minute, selftest.Silent, "no record"},
		{"no record at all", selftest.Report{}, selftest.Report{}, time.Minute, selftest.Silent, "no record"},
		{"one that ran before ended", selftest.Report{Running: true, Tests: 1, Last: old.Last}, old, time.Minute, selftest.Passed, "passed"},
	} {
		got, words := selftest.Judge(tc.before, tc.r, begun, begun.Add(tc.after))
		if got != tc.want || !strings.Contains(words, tc.words) {
			t.Errorf("%s: %d, %s", tc.name, got, words)
		}
	}
}

// disk is a disk that plays its reports one after another, the last one for ever.
type disk struct {
	reports []selftest.Report
	started int
	broken  error
}

func (d *disk) Look() (selftest.Report, error) {
	r := d.reports[0]
	if len(d.reports) > 1 {
		d.reports = d.reports[1:]
	}
	return r, d.broken
}
func (d *disk) Start() error { d.started++; return nil }
func (d *disk) Close() error { return nil }

func TestRun(t *testing.T) {
	t.Parallel()
	offers := selftest.Report{Offers: true, Expect: time.Minute}
	running := selftest.Report{Offers: true, Expect: time.Minute, Running: true}
	passed := selftest.Report{Offers: true, Tests: 1, Last: smart.SelfTest{Result: smart.SelfTestPassed, Hours: 3}}
	for _, tc := range []struct {
		name    string
		d       disk
		want    selftest.Outcome
		started int
		fails   bool
	}{
		{"passes", disk{reports: []selftest.Report{offers, running, running, passed}}, selftest.Passed, 1, false},
		{"offers none", disk{reports: []selftest.Report{{}}}, selftest.Silent, 0, false},
		{"one runs already", disk{reports: []selftest.Report{running, running, passed}}, selftest.Passed, 0, false},
		{"never ends", disk{reports: []selftest.Report{offers, running}}, selftest.Silent, 1, false},
		{"can not be read", disk{reports: []selftest.Report{offers}, broken: errors.New("EIO")}, selftest.Silent, 0, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			got, words, err := selftest.Run(t.Context(), &tc.d)
			if got != tc.want || tc.d.started != tc.started || (err != nil) != tc.fails {
				t.Errorf("%s: %d, %s, %v after %d starts", tc.name, got, words, err, tc.d.started)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errors.New("nerve stops"))
		defer cancel()
		if _, _, err := selftest.Run(ctx, &disk{reports: []selftest.Report{offers, running}}); err == nil || err.Error() != "nerve stops" {
			t.Errorf("stopped: %v", err)
		}
	})
}

func TestOpen_KnowsWhichDisksCanBeAsked(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/sys/block/loop0"); err != nil {
		t.Skip("this kernel shows no loop device")
	}
	if _, err := selftest.Open("loop0"); !errors.Is(err, selftest.ErrNone) || !strings.Contains(err.Error(), "loop0 is no NVMe, SATA or SAS disk") {
		t.Errorf("a loop device: %v", err)
	}
	if _, err := selftest.Open("no-such-disk"); err == nil || errors.Is(err, selftest.ErrNone) {
		t.Errorf("no disk: %v", err)
	}
}
