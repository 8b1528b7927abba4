package repairer

import (
	"fmt"
	"slices"
	"time"

	"glia"
)

// poolName is the name of the first pool that names the host, or default.
func poolName(pools []Pool, host string) string {
	for _, p := range pools {
		if slices.ContainsFunc(p.Hosts, func(glob string) bool { return matches(glob, host) }) {
			return p.Name
		}
	}
	return "default"
}

// ShouldOpen says whether a verdict in the fleet view opens a case, and if not, why.
func ShouldOpen(d glia.DiskStatus, states []glia.State, now time.Time) (bool, string) {
	v := d.Verdict.At(now)
	switch {
	case !slices.Contains(states, v.State):
		return false, "its verdict is " + v.State.String()
	case d.Disk.Serial() == "":
		return false, "it has no serial"
	case d.Disk.Protected != "":
		return false, "it is protected: " + d.Disk.Protected
	}
	return true, ""
}

// Removal is what became of the disks of a host while one of them was ordered out.
type Removal struct {
	Gone  bool     // the ordered serial is gone
	Wrong []string // other serials that were there when the disk was released, and are gone
}

// WatchRemoval compares the disks of the host with those that were there when the disk was released.
// Serials in excused have cases of their own and may go.
func WatchRemoval(c Case, disks []glia.DiskStatus, excused []string) Removal {
	here := map[string]bool{}
	for _, d := range disks {
		if d.Verdict.State != glia.StateMissing {
			here[d.Disk.Serial()] = true
		}
	}
	r := Removal{Gone: !here[c.Serial()]}
	for _, s := range c.Present {
		if s != c.Serial() && !here[s] && !slices.Contains(excused, s) {
			r.Wrong = append(r.Wrong, s)
		}
	}
	return r
}

// present lists the serials that are there.
func present(disks []glia.DiskStatus) []string {
	var out []string
	for _, d := range disks {
		if d.Verdict.State != glia.StateMissing {
			out = append(out, d.Disk.Serial())
		}
	}
	slices.Sort(out)
	return out
}

// Newcomers are the disks that may be meant as the replacement, best guess first: those that sit in
// the ordered place now, then those that were nowhere when the disk was released.
func Newcomers(c Case, disks []glia.DiskStatus) []glia.DiskStatus {
	var inPlace, elsewhere []glia.DiskStatus
	for _, d := range disks {
		switch {
		case d.Verdict.State == glia.StateMissing || d.Disk.Serial() == c.Serial():
		case d.Disk.Location.Place() == c.Disk.Location.Place():
			inPlace = append(inPlace, d)
		case !slices.Contains(c.Present, d.Disk.Serial()):
			elsewhere = append(elsewhere, d)
		}
	}
	return append(inPlace, elsewhere...)
}

// JudgeReplacement adds to the hand's findings what the hand can not know: the verdict on the new
// disk. No finding means that the disk is taken.
func JudgeReplacement(c Case, d glia.DiskStatus, findings []string, now time.Time) []string {
	out := slices.Clone(findings)
	if v := d.Verdict.At(now); v.State != glia.StateHealthy {
		out = append(out, "the new disk is "+steady(v))
	}
	if old, got := c.Disk.Identity.Class, d.Disk.Identity.Class; old != glia.ClassUnknown && got != old {
		out = append(out, fmt.Sprintf("the old disk was %s, this one is %s", old, classWords(got)))
	}
	return out
}

func classWords(c glia.Class) string {
	if c == glia.ClassUnknown {
		return "of unknown class"
	}
	return string(c)
}

// Settled says whether the new disk has proven itself, and if not, what is missing.
func Settled(c Case, d glia.DiskStatus, settle time.Duration, now time.Time) (bool, string) {
	v := d.Verdict.At(now)
	if v.State != glia.StateHealthy {
		return false, "the new disk " + c.Replacement.Serial() + " is " + steady(v)
	}
	if !v.ObservedAt.After(c.RejoinedAt) {
		return false, "the new disk was not probed since it rejoined"
	}
	for _, s := range c.Plan.stage(StageRejoin) {
		if s.Order == nil || s.Order.Filesystem == nil {
			continue
		}
		target := s.Order.Filesystem.Target
		if !slices.ContainsFunc(d.Disk.Mounts, func(m glia.Mount) bool { return m.Target == target }) {
			return false, target + " is not mounted from the new disk"
		}
	}
	if left := settle - now.Sub(c.RejoinedAt); left > 0 {
		return false, "it must stay healthy until " + c.RejoinedAt.Add(settle).UTC().Format(time.RFC3339)
	}
	return true, ""
}

// Backoff is the time to wait before the next attempt of a step: it doubles from lo to hi, and is
// shifted by up to a quarter, by the key, so that cases that failed together do not retry together.
func Backoff(attempts int, lo, hi time.Duration, key string) time.Duration {
	if attempts <= 0 {
		return 0
	}
	d := lo
	for i := 1; i < attempts && d < hi; i++ {
		d *= 2
	}
	d = min(d, hi)
	var h uint32 = 2166136261 // FNV-1a
	for _, b := range []byte(key) {
		h = (h ^ uint32(b)) * 16777619
	}
	return d - d/4 + time.Duration(uint64(d/4)*uint64(h%1000)/1000)
}

// sameRefusals compares what the refusals are about, so that a figure that moves at every tick does
// not write a line at every tick.
func sameRefusals(a, b []Refusal) bool {
	return slices.EqualFunc(a, b, func(x, y Refusal) bool { return x.Gate == y.Gate && x.Limit == y.Limit && x.Value == y.Value })
}
