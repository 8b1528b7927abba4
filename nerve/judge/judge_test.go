package judge_test

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"glia"
	"glia/nerve/judge"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const (
	interval = time.Minute
	expiry   = 5 * time.Minute
)

var letters = map[glia.State]byte{glia.StateUnknown: 'U', glia.StateHealthy: 'H', glia.StateSuspect: 'S',
	glia.StateWorn: 'W', glia.StateFailing: 'f', glia.StateFailed: 'F'}

// disk feeds rounds to the judge, one a minute.
type disk struct {
	rules   judge.RuleSet
	state   judge.DiskState
	now     time.Time
	verdict glia.Verdict
}

func newDisk() *disk { return &disk{rules: judge.Default().Sealed(), now: start} }

func (d *disk) round(evidence ...glia.Evidence) byte {
	d.state, d.verdict = judge.Step(d.rules, d.state, evidence, d.now, expiry)
	d.now = d.now.Add(interval)
	return letters[d.verdict.State]
}

func reads(errors float64) glia.Evidence {
	return glia.Evidence{Class: glia.Media, Source: "read", What: "read.errors", Value: errors, At: start}
}

func unknown() glia.Evidence {
	return glia.Evidence{Class: glia.Media, Source: "read", What: "read.errors", Unknown: "timed out", At: start}
}

func TestStep_RiseAndFall(t *testing.T) {
	t.Parallel()
	// 1 is a good probe, 0 a bad one, ? one that could not look; the letters are the verdicts after each.
	for _, c := range []struct {
		name       string
		rise, fall int
		probes     string
		want       string
	}{
		{"one bad probe is not a failure", 2, 3, "1101", "HHHH"},
		{"three in a row are", 2, 3, "1000", "HHHF"},
		{"a good one between starts the count anew", 2, 3, "100100", "HHHHHH"},
		{"two good ones clear it", 2, 3, "100011", "HHHFFH"},
		{"one good one does not", 2, 3, "10001000", "HHHFFFFF"},
		{"unknown neither counts nor clears", 2, 3, "10?00?11", "HHHHFFFH"},
		{"not healthy before it was good once", 2, 3, "001", "UUH"},
		{"bad from the start", 2, 3, "000", "UUF"},
		{"unknown alone is unknown", 2, 3, "???", "UUU"},
		{"healthy lasts for five minutes unseen", 2, 3, "1??????", "HHHHHHU"},
		{"failed lasts no longer", 1, 1, "0??????0", "FFFFFFUF"},
		{"at once, if so wished", 1, 1, "1010", "HFHF"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := newDisk()
			d.rules.Rise, d.rules.Fall = c.rise, c.fall
			var got []byte
			for _, p := range c.probes {
				switch p {
				case '1':
					got = append(got, d.round(reads(0)))
				case '0':
					got = append(got, d.round(reads(2)))
				default:
					got = append(got, d.round(unknown()))
				}
			}
			if string(got) != c.want {
				t.Errorf("%s gave %s, want %s", c.probes, got, c.want)
			}
		})
	}
}

func TestStep_Growth(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		values []float64
		want   string
	}{
		{"what was there at first is accepted", []float64{8, 8, 8, 8, 8}, "HHHHH"},
		{"growth counts", []float64{8, 9, 9, 9}, "HHHS"},
		{"growth at the last", []float64{8, 8, 9, 10, 11}, "HHHHS"},
		{"a counter that begins anew is good", []float64{8, 0, 0, 0, 0}, "HHHHH"},
		{"and counts from there", []float64{8, 0, 0, 0, 1, 1, 1}, "HHHHHHS"},
		{"one slip down is not a new beginning", []float64{8, 0, 8, 8, 8, 8}, "HHHHHH"},
		{"impossible values are not seen", []float64{8, math.NaN(), -1, math.Inf(1), math.Inf(-1), 8}, "HHHHHH"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := newDisk()
			var got []byte
			for _, v := range c.values {
				got = append(got, d.round(glia.Evidence{Class: glia.Media, What: "ata.pending", Value: v}))
			}
			if string(got) != c.want {
				t.Errorf("%v gave %s, want %s", c.values, got, c.want)
			}
		})
	}
}

func TestStep_GrowthIsForgivenAfterAQuietWeek(t *testing.T) {
	t.Parallel()
	d := newDisk()
	crc := func(v float64) glia.Evidence {
		return glia.Evidence{Class: glia.Interface, What: "ata.crc_errors", Value: v}
	}
	d.round(reads(0), crc(3))
	for range 3 {
		d.round(reads(0), crc(7))
	}
	if d.verdict.State != glia.StateSuspect || !strings.Contains(d.verdict.Summary(), "cable, not the disk") {
		t.Fatalf("after growth: %s", d.verdict.Summary())
	}
	d.now = d.now.Add(6 * 24 * time.Hour)
	if d.round(reads(0), crc(7)) != 'S' {
		t.Errorf("after six days: %s, want still suspect", d.verdict.Summary())
	}
	d.now = d.now.Add(24 * time.Hour)
	got := []byte{d.round(reads(0), crc(7)), d.round(reads(0), crc(7)), d.round(reads(0), crc(7)), d.round(reads(0), crc(7))}
	if got[3] != 'H' {
		t.Errorf("after a quiet week: %s, want healthy at the end", got)
	}
	d.round(reads(0), crc(8))
	d.round(reads(0), crc(8))
	if d.round(reads(0), crc(8)) != 'S' {
		t.Errorf("new growth: %s, want suspect", d.verdict.Summary())
	}
}

func TestStep_CountersOfTwoFilesystemsAreKeptApart(t *testing.T) {
	t.Parallel()
	d := newDisk()
	a := glia.Evidence{Class: glia.Filesystem, What: "fs.errors[/a]", Value: 5}
	b := glia.Evidence{Class: glia.Filesystem, What: "fs.errors[/b]", Value: 0}
	got := []byte{d.round(a, b)}
	for range 4 { // /a is not mounted for a while
		got = append(got, d.round(b))
	}
	for range 4 {
		got = append(got, d.round(a, b))
	}
	if string(got) != "HHHHHHHHH" {
		t.Errorf("an unmount gave %s", got)
	}
	b.Value = 1
	if got := string([]byte{d.round(a, b), d.round(a, b), d.round(a, b)}); got != "HHS" {
		t.Errorf("growth of the smaller one gave %s, want HHS", got)
	}
}

func TestStep_AnyBadFilesystemIsBad(t *testing.T) {
	t.Parallel()
	d := newDisk()
	good := glia.Evidence{Class: glia.Filesystem, What: "fs.readonly"}
	bad := glia.Evidence{Class: glia.Filesystem, What: "fs.readonly", Value: 1, Detail: "/b"}
	d.round(good, bad)
	d.round(bad, good)
	d.round(good, bad)
	if d.verdict.State != glia.StateFailed || d.verdict.Reasons[0].Evidence.Detail != "/b" || !d.verdict.Reasons[0].Since.Equal(start) {
		t.Errorf("verdict is %+v, want failed because of /b since the first probe", d.verdict)
	}
}

func TestStep_TellsTheSameOfTwoBadOnesInAnyOrder(t *testing.T) {
	t.Parallel()
	a := glia.Evidence{Class: glia.Filesystem, What: "fs.readonly", Value: 1, Detail: "/a"}
	b := a
	b.Detail = "/b"
	for _, round := range [][]glia.Evidence{{a, b}, {b, a}} {
		d := newDisk()
		for range 3 {
			d.round(round...)
		}
		if d.verdict.Reasons[0].Evidence != a {
			t.Errorf("%+v", d.verdict.Reasons)
		}
	}
}

func TestStep_VerdictCarriesItsOrigin(t *testing.T) {
	t.Parallel()
	d := newDisk()
	d.round(reads(0))
	v := d.verdict
	if v.RuleSet != judge.Default().Hash() || v.Prober != glia.Version || !v.ObservedAt.Equal(start) || !v.ExpiresAt.Equal(start.Add(expiry)) {
		t.Errorf("verdict is %+v", v)
	}
	d.round(unknown())
	if !d.verdict.ObservedAt.Equal(start) {
		t.Errorf("a round that saw nothing moved observed_at to %s", d.verdict.ObservedAt)
	}
}

func TestStep_WorstReasonFirst(t *testing.T) {
	t.Parallel()
	d := newDisk()
	slices.Reverse(d.rules.Rules)
	for range 3 {
		d.round(reads(1), glia.Evidence{Class: glia.Thermal, What: "ata.temperature", Value: 70},
			glia.Evidence{Class: glia.Wear, What: "nvme.percentage_used", Value: 100})
	}
	var got []string
	for _, r := range d.verdict.Reasons {
		got = append(got, r.Rule)
	}
	if s := strings.Join(got, " "); s != "read-errors nvme-worn ata-temperature" || d.verdict.State != glia.StateFailed {
		t.Errorf("reasons are %s, state %s", s, d.verdict.State)
	}
}

func TestStep_UnknownSaysWhy(t *testing.T) {
	t.Parallel()
	d := newDisk()
	d.round(glia.Evidence{Source: "smart", Unknown: "permission denied"}, unknown(), unknown())
	want := "nothing could be observed yet that shows health; read: timed out; smart: permission denied"
	if d.verdict.Why != want {
		t.Errorf("why is %q, want %q", d.verdict.Why, want)
	}
	// A working cable and a cool disk are no health.
	d.round(glia.Evidence{Class: glia.Interface, What: "ata.crc_errors"}, glia.Evidence{Class: glia.Thermal, What: "ata.temperature", Value: 30})
	if d.verdict.State != glia.StateUnknown {
		t.Errorf("interface and thermal evidence made it %s", d.verdict.State)
	}
}

func TestStep_EvidenceOfAnotherClassIsNotForTheRule(t *testing.T) {
	t.Parallel()
	d := newDisk()
	for range 4 {
		d.round(glia.Evidence{Class: glia.Interface, What: "read.errors", Value: 9})
	}
	if d.verdict.State != glia.StateUnknown {
		t.Errorf("verdict is %s", d.verdict.Summary())
	}
}

func TestStep_UnseenRuleIsNotForgottenByOtherEvidence(t *testing.T) {
	t.Parallel()
	d := newDisk()
	fs := glia.Evidence{Class: glia.Filesystem, What: "fs.statfs_errors"}
	for range 3 {
		d.round(reads(1), fs)
	}
	var got []byte
	for range 7 {
		got = append(got, d.round(unknown(), fs))
	}
	if string(got) != "FFFFFUU" || !strings.Contains(d.verdict.Why, "read-errors said failed") {
		t.Errorf("%s, %s: want failed until it expires, then unknown, never healthy", got, d.verdict.Why)
	}
	if got := string([]byte{d.round(reads(0)), d.round(reads(0)), d.round(reads(0))}); got != "FFH" {
		t.Errorf("three good reads gave %s, want FFH", got)
	}
}

func TestStep_RemovedRuleLeavesNothing(t *testing.T) {
	t.Parallel()
	d := newDisk()
	for range 3 {
		d.round(reads(1))
	}
	d.rules.Rules = d.rules.Rules[1:] // the first is read-errors
	got := d.round(reads(1))
	if _, kept := d.state.Rules["read-errors"]; got != 'H' || kept {
		t.Errorf("verdict is %s with the rules %v remembered", d.verdict.Summary(), d.state.Rules)
	}
}

func TestStep_RemembersOnlyRulesThatSawSomething(t *testing.T) {
	t.Parallel()
	d := newDisk()
	d.round(reads(1))
	if _, kept := d.state.Rules["read-errors"]; !kept || len(d.state.Rules) != 1 {
		t.Errorf("after one look at read errors are remembered: %v", d.state.Rules)
	}
}

func TestStep_ClockMaySlip(t *testing.T) {
	t.Parallel()
	for name, e := range map[string]glia.Evidence{"healthy": reads(0), "failed": reads(1)} {
		d := newDisk()
		d.rules.Fall = 1
		d.now = start.AddDate(1, 0, 0)
		d.round(e)
		d.now = start
		if d.round(unknown()); d.verdict.State.String() != name || d.verdict.ExpiresAt.After(start.Add(expiry)) {
			t.Errorf("%s: after the clock went back a year, it is %s until %s", name, d.verdict.State, d.verdict.ExpiresAt)
		}
		d.now = start.Add(time.Hour)
		if d.round(unknown()) != 'U' {
			t.Errorf("%s: an hour later it is %s", name, d.verdict.Summary())
		}
	}
	// Nor does a slip make a week of quiet longer.
	d := newDisk()
	pending := func(v float64) glia.Evidence {
		return glia.Evidence{Class: glia.Media, What: "ata.pending", Value: v}
	}
	d.now = start.AddDate(1, 0, 0)
	for _, v := range []float64{0, 4, 4, 4} {
		d.round(pending(v))
	}
	d.now = start
	d.round(pending(4))
	d.now = start.Add(8 * 24 * time.Hour)
	if got := string([]byte{d.round(pending(4)), d.round(pending(4)), d.round(pending(4))}); got != "SSH" {
		t.Errorf("after a slip and a quiet week: %s, want SSH", got)
	}
}

func TestDiskState_AfterRestart(t *testing.T) {
	t.Parallel()
	d := newDisk()
	for range 3 {
		d.round(reads(1))
	}
	stored, err := json.Marshal(d.state)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		first glia.Evidence
		want  byte
	}{
		{"still bad: failed at once", reads(1), 'F'},
		{"good once: failed until it rises", reads(0), 'F'},
		{"not seen yet: unknown", unknown(), 'U'},
		{"something else seen: still unknown", glia.Evidence{Class: glia.Filesystem, What: "fs.readonly"}, 'U'},
	} {
		var loaded judge.DiskState
		if err := json.Unmarshal(stored, &loaded); err != nil {
			t.Fatal(err)
		}
		again := &disk{rules: d.rules, state: loaded.AfterRestart(), now: d.now}
		if v := again.state.Verdict(d.rules, d.now, expiry); v.State != glia.StateUnknown {
			t.Errorf("%s: before any probe it is %s", c.name, v.Summary())
		}
		if got := again.round(c.first); got != c.want {
			t.Errorf("%s: %c, want %c", c.name, got, c.want)
		}
	}
}

func TestUnprobed_IsUnknown(t *testing.T) {
	t.Parallel()
	if v := judge.Unprobed("asleep"); v.State != glia.StateUnknown || v.Why != "asleep" || v.Prober != glia.Version || v.State.Bad() {
		t.Errorf("%+v", v)
	}
}
