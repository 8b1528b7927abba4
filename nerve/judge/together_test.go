package judge_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"glia"
	"glia/nerve/judge"
)

var together = judge.Together{Least: 3, Within: time.Hour}

// shelf makes the disks of one controller. Each letter is a disk: . well, p pending, F failing, G gone, and
// the numbers are the minutes at which it began.
func shelf(controller, disks string, minutes ...int) []judge.Member {
	var out []judge.Member
	for i, letter := range disks {
		m := judge.Member{Disk: glia.Disk{Identity: glia.Identity{Serial: fmt.Sprint(controller, i)}, Location: glia.Location{Controller: glia.Controller{Address: controller}}}}
		if letter != '.' {
			m.Since = start.Add(time.Duration(minutes[0]) * time.Minute)
			minutes = minutes[1:]
			m.Decided, m.Gone = letter != 'p', letter == 'G'
		}
		out = append(out, m)
	}
	return out
}

func TestTogether_Find(t *testing.T) {
	t.Parallel()
	join := func(shelves ...[]judge.Member) (out []judge.Member) {
		for _, s := range shelves {
			out = append(out, s...)
		}
		return out
	}
	for _, c := range []struct {
		name    string
		members []judge.Member
		want    string // scopes with the number of their disks
	}{
		{"all well", shelf("a", "........"), ""},
		{"one disk is one disk", shelf("a", "F.......", 0), ""},
		{"two may be chance", shelf("a", "FF......", 0, 1), ""},
		{"three within an hour are not", shelf("a", "FF.F....", 0, 30, 60), "controller a: 3"},
		{"three over a day are three", shelf("a", "FFF.....", 0, 61, 1440), ""},
		{"an old one is not part of it", shelf("a", "FFFF....", 0, 600, 610, 620), "controller a: 3"},
		{"the first decided one waits for those that are not", shelf("a", "Fpp.....", 0, 1, 1), "controller a: 3"},
		{"bad probes alone say nothing yet", shelf("a", "ppp.....", 0, 1, 1), ""},
		{"both of two", shelf("a", "FF", 0, 1), "controller a: 2"},
		{"an NVMe disk is its own controller", join(shelf("a", "F", 0), shelf("b", "F", 1), shelf("c", "."), shelf("d", ".")), ""},
		{"the HBA is gone", join(shelf("a", "GGGG", 0, 0, 0, 0), shelf("b", "........")), "controller a: 4"},
		{"a person pulls three, one after the other", shelf("a", "GGG.....", 0, 1, 2), ""},
		{"a disk that was pulled last week, and two that fail", shelf("a", "GFF.....", 0, 9000, 9001), ""},
		{"half the host without anything else in common", join(shelf("a", "F.", 0), shelf("b", "F.", 1), shelf("c", "F.", 2)), "host: 3"},
		{"less than half of it", join(shelf("a", "F..", 0), shelf("b", "F..", 1), shelf("c", "F..", 2)), ""},
		{"two controllers are told each, and not again as the host", join(shelf("a", "FFF", 0, 1, 2), shelf("b", "FFF", 600, 601, 602)), "controller a: 3, controller b: 3"},
	} {
		var got []string
		for _, f := range together.Find(c.members) {
			got = append(got, fmt.Sprintf("%s: %d", f.Scope, len(f.Serials)))
		}
		if s := strings.Join(got, ", "); s != c.want {
			t.Errorf("%s: found %q, want %q", c.name, s, c.want)
		}
		if off := (judge.Together{Within: time.Hour}).Find(c.members); off != nil {
			t.Errorf("%s: switched off it finds %v", c.name, off)
		}
	}
}

func TestDoubted_IsUnknownAndSaysWhatElseItWouldBe(t *testing.T) {
	t.Parallel()
	f := together.Find(shelf("0000:3b:00.0", "FFF.", 0, 1, 2))[0]
	v := judge.Doubted(glia.Verdict{State: glia.StateFailed, Reasons: []glia.Reason{{State: glia.StateFailed}}}, f)
	if v.State != glia.StateUnknown || len(v.Witnesses()) > 0 || v.Why != "3 of 4 disks of controller 0000:3b:00.0 fail together; by itself it would be failed" {
		t.Errorf("%+v", v)
	}
}

func TestDiskState_Against(t *testing.T) {
	t.Parallel()
	d := newDisk()
	crc := glia.Evidence{Class: glia.Interface, What: "kernel.device_state", Value: 1}
	for range 3 {
		d.round(crc, reads(0))
	}
	if since, _ := d.state.Against(d.rules, d.now, expiry); !since.IsZero() {
		t.Error("a cable counts against the disk")
	}
	d.round(reads(1))
	if since, decided := d.state.Against(d.rules, d.now, expiry); !since.Equal(start.Add(3*interval)) || decided {
		t.Errorf("after one bad probe: %s, %v", since, decided)
	}
	d.round(reads(1))
	d.round(reads(1))
	if _, decided := d.state.Against(d.rules, d.now, expiry); !decided {
		t.Error("after three it is not decided")
	}
	if since, _ := d.state.Against(d.rules, d.now.Add(time.Hour), expiry); !since.IsZero() {
		t.Error("what was not seen for an hour still counts")
	}
}

func TestStarvation_Find(t *testing.T) {
	t.Parallel()
	s := judge.Starvation{Late: 5 * time.Second, Memory: 50, IO: 95}
	for _, c := range []struct {
		p    judge.Prober
		want string
	}{
		{judge.Prober{}, ""},
		{judge.Prober{Late: 4 * time.Second, Memory: 49, IO: 94}, ""},
		{judge.Prober{Late: 7 * time.Second}, "timers are late, by 7s"},
		{judge.Prober{Memory: 62}, "stood still for memory 62 %"},
		{judge.Prober{IO: 96}, "stood still for I/O 96 %"},
	} {
		f, starved := s.Find(c.p, start)
		if starved != (c.want != "") || !strings.Contains(f.Words, c.want) {
			t.Errorf("%+v: %v %q", c.p, starved, f.Words)
		}
		if _, starved := (judge.Starvation{}).Find(c.p, start); starved {
			t.Errorf("%+v: starved although nothing is set", c.p)
		}
	}
}
