package judge_test

import (
	"strings"
	"testing"
	"time"

	"glia"
	"glia/nerve/judge"
)

func TestStep_AcceptedValueTakesOnlyGrowthBeyondIt(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	prefail := func(v float64) glia.Evidence {
		return glia.Evidence{Class: glia.Media, What: "ata.prefail_attributes", Value: v}
	}
	pending := func(v float64) glia.Evidence {
		return glia.Evidence{Class: glia.Media, What: "ata.pending", Value: v}
	}
	for _, c := range []struct {
		name   string
		rule   string
		see    func(float64) glia.Evidence
		before []float64
		after  []float64
		want   string
	}{
		{"a level that is accepted clears", "ata-prefail", prefail, []float64{1, 1, 1}, []float64{1, 1, 1}, "ffH"},
		{"more than that does not", "ata-prefail", prefail, []float64{1, 1, 1}, []float64{2, 2, 2}, "fff"},
		{"growth up to it clears", "ata-pending", pending, []float64{0, 4, 4, 4}, []float64{4, 4, 4}, "SSH"},
		{"growth beyond it counts", "ata-pending", pending, []float64{0, 4, 4, 4}, []float64{4, 4, 4, 5, 5, 5}, "SSHHHS"},
	} {
		d := newDisk()
		for _, v := range c.before {
			d.round(c.see(v))
		}
		d.state = d.state.Accept(judge.Accepted{Rule: c.rule, Value: c.before[len(c.before)-1], Reason: "r", Person: "p", At: d.now, Until: d.now.Add(90 * day)})
		d.state.Accepted = d.state.AfterRestart().Accepted // it survives one
		var got []byte
		for _, v := range c.after {
			got = append(got, d.round(c.see(v)))
		}
		if string(got) != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
		d.now = d.now.Add(91 * day)
		if d.round(c.see(c.after[0])); len(d.state.Accepted) != 0 {
			t.Errorf("%s: after its end it is still there", c.name)
		}
	}
}

func TestAccepted_EndsByItself(t *testing.T) {
	t.Parallel()
	d := newDisk()
	d.state = d.state.Accept(judge.Accepted{Rule: "read-errors", Value: 1, Until: start.Add(3 * interval)})
	var got []byte
	for range 7 {
		got = append(got, d.round(reads(1)))
	}
	if string(got) != "HHHHHFF" {
		t.Errorf("%s, want healthy until it ends and failed three probes later", got)
	}
}

func TestAccepted_Validate(t *testing.T) {
	t.Parallel()
	err := judge.Accepted{Rule: "nonsense", Value: -1, Until: start.AddDate(2, 0, 0)}.Validate(judge.Default(), start)
	for _, want := range []string{`no rule with the name "nonsense"`, "-1 is not a value", "a reason is needed", "name of the person", "within a year"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q in %v", want, err)
		}
	}
	if err := (judge.Accepted{Rule: "ata-pending", Reason: "r", Person: "p", Until: start.AddDate(0, 3, 0)}).Validate(judge.Default(), start); err != nil {
		t.Error(err)
	}
}

func TestStep_LevelRuleRemembersForItsDecay(t *testing.T) {
	t.Parallel()
	d := newDisk()
	slow := func(v float64) glia.Evidence {
		return glia.Evidence{Class: glia.Latency, What: "latency.slow", Value: v}
	}
	for range 3 {
		d.round(reads(0), slow(1))
	}
	for range 50 {
		if d.round(reads(0), slow(0)) != 'S' {
			t.Fatalf("cleared at %s, want an hour after the last bad probe", d.now.Sub(start))
		}
	}
	d.now = d.now.Add(20 * time.Minute)
	if d.round(reads(0), slow(0)) != 'H' {
		t.Errorf("after an hour it is %s", d.verdict.Summary())
	}
}
