package probe_test

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/procfs/blockdevice"

	"glia"
	"glia/nerve/disk/probe"
)

// shelf is a host with disks that are read all the time, with a clock of its own.
type shelf struct {
	*probe.Latency
	now   time.Time
	disks []glia.Disk
	stats []blockdevice.Diskstats
	err   error
}

func newShelf(n int) *shelf {
	s := &shelf{now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	for i := range n {
		s.disks = append(s.disks, glia.Disk{Identity: glia.Identity{Serial: fmt.Sprint("S", i), Model: "M", Class: glia.ClassHDD}, Location: glia.Location{Device: fmt.Sprintf("sd%c", 'a'+i)}})
		s.stats = append(s.stats, blockdevice.Diskstats{Info: blockdevice.Info{DeviceName: fmt.Sprintf("sd%c", 'a'+i)}})
	}
	s.Latency = &probe.Latency{Now: func() time.Time { return s.now }, Stats: func() ([]blockdevice.Diskstats, error) { return s.stats, s.err }}
	return s
}

// run lets minutes pass; the first disk takes that many times as long as the others.
func (s *shelf) run(minutes int, slower uint64) {
	for range minutes * 12 {
		s.now = s.now.Add(5 * time.Second)
		for i := range s.stats {
			each := uint64(8)
			if i == 0 {
				each *= slower
			}
			s.stats[i].ReadIOs += 50
			s.stats[i].ReadSectors += 400
			s.stats[i].ReadTicks += 50 * each
			s.stats[i].IOsTotalTicks += min(5000, 50*each)
			s.stats[i].WeightedIOTicks += 50 * each
		}
		s.Look(s.disks, true)
	}
}

func (s *shelf) say(t *testing.T, disk int) string {
	t.Helper()
	got := s.Probe(t.Context(), s.disks[disk])
	return say(got) + " " + details(got)
}

func TestLatency_FindsTheCrawlingDisk(t *testing.T) {
	t.Parallel()
	s := newShelf(6)
	if got := s.say(t, 0); !strings.Contains(got, "latency.slow? not yet watched") {
		t.Error(got)
	}
	s.run(11, 1)
	if got := s.say(t, 0); got != "latency.slow=0 " {
		t.Error(got)
	}
	s.run(5, 20)
	if got := s.say(t, 0); got != "latency.slow=0 " {
		t.Error("after five slow minutes: ", got)
	}
	s.run(3, 20)
	if got := s.say(t, 0); !strings.Contains(got, "latency.slow=1 its reads take 1") || !strings.Contains(got, "of its 5 siblings") {
		t.Error(got)
	}
	if got := s.say(t, 1); got != "latency.slow=0 " {
		t.Error("a sibling: ", got)
	}
	s.run(10, 1)
	if got := s.say(t, 0); got != "latency.slow=0 " {
		t.Error("when it is over: ", got)
	}
	s.err = errors.New("no such file")
	s.run(1, 1)
	if got := s.say(t, 0); !strings.Contains(got, "latency.slow? read the kernel's counters: no such file") {
		t.Error(got)
	}
}

// Six windows of ten seconds instead of a minute are enough.
func TestLatency_JudgesOverItsWindow(t *testing.T) {
	t.Parallel()
	s := newShelf(6)
	s.Window = 10 * time.Second
	if got := s.say(t, 0); !strings.Contains(got, "not yet watched for 10s") {
		t.Error(got)
	}
	s.run(2, 20)
	if got := s.say(t, 0); !strings.Contains(got, "latency.slow=1") {
		t.Error(got)
	}
}

// Another disk by the same kernel name begins anew, and so does a disk that gets another name.
func TestLatency_FollowsTheDiskNotTheName(t *testing.T) {
	t.Parallel()
	s := newShelf(6)
	s.run(12, 20)
	if got := s.say(t, 0); !strings.Contains(got, "latency.slow=1") {
		t.Fatal(got)
	}
	old := s.disks[0]
	s.disks[0].Identity.Serial = "NEW"
	s.stats[0] = blockdevice.Diskstats{Info: s.stats[0].Info}
	s.run(2, 1)
	if got := s.say(t, 0); !strings.Contains(got, "latency.slow? it could be compared with its siblings in") {
		t.Error(got)
	}
	if got := s.Probe(t.Context(), old); !strings.Contains(say(got), "latency.slow?") {
		t.Error(say(got))
	}
}

// The real counters of a real device.
func TestLatency_ReadsTheKernelsCounters(t *testing.T) {
	t.Parallel()
	d := newLoop(t, 16*mib)
	now := time.Now()
	l := &probe.Latency{Now: func() time.Time { return now }}
	d.Identity.Model, d.Identity.Class = "loop", glia.ClassSSD
	l.Look([]glia.Disk{d.Disk}, true)
	if err := exec.Command("dd", "if="+d.DevicePath(), "of=/dev/null", "bs=4096", "iflag=direct").Run(); err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Minute)
	l.Look([]glia.Disk{d.Disk}, true)
	if got := l.Probe(t.Context(), d.Disk); say(got) != "latency.slow?" || !strings.Contains(details(got), "0 other disks of the model loop") {
		t.Errorf("%s %s", say(got), details(got))
	}
}
