package judge_test

import (
	"encoding/json"
	"math"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"glia"
	"glia/nerve/judge"
)

var (
	classGen = rapid.SampledFrom([]glia.EvidenceClass{glia.Media, glia.Interface, glia.Wear, glia.Thermal,
		glia.Filesystem, glia.Latency, glia.Presence, glia.Storage})
	valueGen = rapid.OneOf(
		rapid.SampledFrom([]float64{0, 1, 2, 5, 66, 100, -3, math.NaN(), math.Inf(1), math.Inf(-1), math.MaxFloat64}),
		rapid.Float64())
)

// evidenceGen makes evidence that rules may be about, rightly classed or not.
func evidenceGen(classes *rapid.Generator[glia.EvidenceClass]) *rapid.Generator[glia.Evidence] {
	return rapid.Custom(func(t *rapid.T) glia.Evidence {
		r := rapid.SampledFrom(judge.Default().Rules).Draw(t, "rule")
		e := glia.Evidence{What: r.What, Class: r.Class, Value: valueGen.Draw(t, "value"),
			Source: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "source"),
			Detail: rapid.SampledFrom([]string{"", "x", "y"}).Draw(t, "detail")}
		if classes != nil {
			e.Class = classes.Draw(t, "class")
		}
		e.What += rapid.SampledFrom([]string{"", "[/a]", "[/b]"}).Draw(t, "about")
		if rapid.IntRange(0, 3).Draw(t, "unknown") == 0 {
			e.Unknown = "why"
		}
		return e
	})
}

func rounds(classes *rapid.Generator[glia.EvidenceClass]) *rapid.Generator[[][]glia.Evidence] {
	return rapid.SliceOfN(rapid.SliceOfN(evidenceGen(classes), 0, 6), 0, 12)
}

func run(d *disk, rounds [][]glia.Evidence) {
	for _, r := range rounds {
		d.round(r...)
	}
}

func TestStep_UnknownNeverMakesWorse(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := newDisk()
		run(d, rounds(nil).Draw(t, "before"))
		before := d.verdict.State
		for _, round := range rounds(nil).Draw(t, "unknown") {
			for i := range round {
				round[i].Unknown = "asleep"
			}
			d.round(round...)
			if s := d.verdict.State; s != glia.StateUnknown && s > before {
				t.Fatalf("unknown evidence alone made %s of %s", s, before)
			}
		}
	})
}

func TestStep_InterfaceAndThermalAreSuspectAtMost(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := newDisk()
		for _, round := range rounds(rapid.SampledFrom([]glia.EvidenceClass{glia.Interface, glia.Thermal})).Draw(t, "rounds") {
			d.round(round...)
			if s := d.verdict.State; s != glia.StateUnknown && s != glia.StateSuspect {
				t.Fatalf("verdict is %s", d.verdict.Summary())
			}
		}
	})
}

func TestStep_OrderWithinARoundDoesNotMatter(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b := newDisk(), newDisk()
		for _, round := range rounds(classGen).Draw(t, "rounds") {
			a.round(round...)
			b.round(rapid.Permutation(round).Draw(t, "order")...)
			if !reflect.DeepEqual(a.state, b.state) || !reflect.DeepEqual(a.verdict, b.verdict) {
				t.Fatalf("the order made a difference:\n%+v\n%+v", a.state, b.state)
			}
		}
	})
}

func TestDiskState_SurvivesJSONAndStepLeavesItAlone(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := newDisk()
		run(d, rounds(nil).Draw(t, "before"))
		stored, err := json.Marshal(d.state)
		if err != nil {
			t.Fatal(err)
		}
		again := &disk{rules: d.rules, now: d.now}
		if err := json.Unmarshal(stored, &again.state); err != nil {
			t.Fatal(err)
		}
		old := d.state
		for _, round := range rounds(nil).Draw(t, "after") {
			d.round(round...)
			again.round(round...)
			if !reflect.DeepEqual(d.verdict, again.verdict) {
				t.Fatalf("after loading:\n%+v\nwant\n%+v", again.verdict, d.verdict)
			}
		}
		if now, err := json.Marshal(old); err != nil || string(now) != string(stored) {
			t.Fatalf("step changed the state it was given (%v):\n%s\n%s", err, stored, now)
		}
	})
}

func TestStep_GoodRoundsClearEverything(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := newDisk()
		run(d, rounds(nil).Draw(t, "before"))
		// Good for a growth rule is a counter that stands still for its quiet time.
		var good []glia.Evidence
		for _, r := range d.rules.Rules {
			about := []string{r.What}
			for what := range d.state.Rules[r.Name].Growth {
				about = append(about, what)
			}
			for _, what := range about {
				good = append(good, glia.Evidence{Class: r.Class, What: what, Value: 0})
			}
		}
		d.now = d.now.Add(8 * 24 * time.Hour)
		for range 2 * d.rules.Rise { // once to see that a counter began anew, once to clear
			d.round(good...)
		}
		if d.verdict.State != glia.StateHealthy {
			t.Fatalf("after good rounds: %s", d.verdict.Summary())
		}
	})
}
