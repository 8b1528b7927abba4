package judge_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"glia"
	"glia/nerve/judge"
)

func TestDefault_IsValid(t *testing.T) {
	t.Parallel()
	if err := judge.Default().Validate(); err != nil {
		t.Error(err)
	}
}

func TestDefault_OneObservation(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		class glia.EvidenceClass
		what  string
		value float64
		want  byte
	}{
		{glia.Media, "read.errors", 1, 'F'},
		{glia.Filesystem, "fs.readback_errors", 1, 'F'},
		{glia.Filesystem, "fs.write_errors", 1, 'F'},
		{glia.Filesystem, "fs.write_erofs", 1, 'F'},
		{glia.Filesystem, "fs.readonly", 1, 'F'},
		{glia.Filesystem, "fs.statfs_errors", 1, 'F'},
		{glia.Filesystem, "fs.errors[/data]", 900, 'H'},
		{glia.Media, "nvme.readonly", 1, 'F'},
		{glia.Media, "nvme.reliability", 1, 'F'},
		{glia.Media, "nvme.backup_failed", 1, 'f'},
		{glia.Media, "nvme.media_errors", 900, 'H'},
		{glia.Wear, "nvme.spare_low", 1, 'f'},
		{glia.Wear, "nvme.percentage_used", 99, 'H'},
		{glia.Wear, "nvme.percentage_used", 100, 'W'},
		{glia.Media, "ata.prefail_attributes", 1, 'f'},
		{glia.Media, "ata.reallocated", 900, 'H'},
		{glia.Media, "ata.pending", 900, 'H'},
		{glia.Interface, "kernel.device_state", 1, 'S'},
		{glia.Interface, "kernel.ioerr_cnt", 900, 'U'},
		{glia.Thermal, "nvme.temperature", 1, 'S'},
		{glia.Thermal, "ata.temperature", 65, 'U'},
		{glia.Thermal, "ata.temperature", 66, 'S'},
	} {
		d := newDisk()
		var got byte
		for range 3 {
			got = d.round(glia.Evidence{Class: c.class, What: c.what, Value: c.value})
		}
		if got != c.want {
			t.Errorf("%s = %v gives %c, want %c", c.what, c.value, got, c.want)
		}
	}
}

func TestRuleSet_ValidateTellsAllFaults(t *testing.T) {
	t.Parallel()
	ok := judge.Rule{Name: "a", What: "x", Class: glia.Media, State: glia.StateFailed, Words: "w"}
	for _, c := range []struct {
		change func(*judge.Rule)
		want   string
	}{
		{func(r *judge.Rule) { r.Class = glia.Interface }, "asks for a cable"},
		{func(r *judge.Rule) { r.Class, r.State = glia.Thermal, glia.StateWorn }, "asks for a cable or for cooling"},
		{func(r *judge.Rule) { r.Class = "luck" }, "not a class"},
		{func(r *judge.Rule) { r.Name = "" }, "no name"},
		{func(r *judge.Rule) { r.Name = "other" }, "there twice"},
		{func(r *judge.Rule) { r.What = "x[1]" }, "not a quantity"},
		{func(r *judge.Rule) { r.Above = math.NaN() }, "not a number"},
		{func(r *judge.Rule) { r.Above = -1 }, "not a number"},
		{func(r *judge.Rule) { r.State = glia.StateHealthy }, "cannot make a disk healthy"},
		{func(r *judge.Rule) { r.State = glia.StateUnknown }, "cannot make a disk unknown"},
		{func(r *judge.Rule) { r.State = glia.StateMissing }, "cannot make a disk missing"},
		{func(r *judge.Rule) { r.State = 77 }, "cannot make"},
		{func(r *judge.Rule) { r.Decay = -1 }, "decay is negative"},
		{func(r *judge.Rule) { r.Fall = -1 }, "fall and rise"},
		{func(r *judge.Rule) { r.Words = "" }, "no words"},
	} {
		r, other := ok, ok
		other.Name = "other"
		c.change(&r)
		err := judge.RuleSet{Rules: []judge.Rule{other, r}}.Validate()
		if err == nil || !strings.Contains(err.Error(), c.want) ||
			!strings.Contains(err.Error(), "fall is 0") || !strings.Contains(err.Error(), "rise is 0") {
			t.Errorf("want %q beside the faults of the set, got %v", c.want, err)
		}
	}
}

func TestRuleSet_HashNamesTheRules(t *testing.T) {
	t.Parallel()
	a, b := judge.Default(), judge.Default()
	slices.Reverse(b.Rules)
	if a.Hash() != b.Hash() || len(a.Hash()) != 12 {
		t.Errorf("%s and %s, want the same twelve digits in any order", a.Hash(), b.Hash())
	}
	b.Rules[0].Above += 1
	if a.Hash() == b.Hash() {
		t.Error("another threshold has the same hash")
	}
	b = judge.Default()
	b.Fall++
	if a.Hash() == b.Hash() {
		t.Error("another fall count has the same hash")
	}
}
