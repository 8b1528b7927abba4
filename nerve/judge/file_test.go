package judge_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"glia"
	"glia/config"
	"glia/nerve/judge"
)

func overlay(t *testing.T, text string) judge.RuleSet {
	t.Helper()
	rs, err := judge.Default().Overlay("site.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return rs
}

func TestRuleSet_OverlayChangesAddsAndTakesOut(t *testing.T) {
	t.Parallel()
	rs := overlay(t, `
[[rule]]
name = "ata-temperature"
above = 55
[[rule]]
name = "ext4-errors"
off = true
[[rule]]
name = "hot-nvme"
what = "nvme.celsius"
class = "thermal"
state = "suspect"
above = 70.5
decay = "10m"
fall = 5
words = "too hot for this room; look at the cooling"
`)
	temp, _ := rs.Rule("ata-temperature")
	was, _ := judge.Default().Rule("ata-temperature")
	if was.Above = 55; temp != was {
		t.Errorf("changed rule is %+v, want %+v", temp, was)
	}
	if _, there := rs.Rule("ext4-errors"); there {
		t.Error("a rule that was switched off is there")
	}
	hot, _ := rs.Rule("hot-nvme")
	if hot.Above != 70.5 || hot.Decay != 10*time.Minute || hot.Fall != 5 || hot.State != glia.StateSuspect || hot.Class != glia.Thermal {
		t.Errorf("new rule is %+v", hot)
	}
	if rs.Hash() == judge.Default().Hash() || len(judge.Default().Rules) != len(rs.Rules) {
		t.Errorf("hash %s, %d rules; the default has %s, %d", rs.Hash(), len(rs.Rules), judge.Default().Hash(), len(judge.Default().Rules))
	}
}

func TestRuleSet_OverlayTellsAllFaultsWithTheirPlaces(t *testing.T) {
	t.Parallel()
	const text = `[[rule]]
name = "ata-pending"
abov = 3
[[rule]]
name = "mine"
what = "x"
class = "thermal"
state = "failed"
[[override]]
model = "ST["
rules = ["ata-pendign", "ata-crc"]
state = "failing"
[[rule]]
name = "ata-pending"
above = "many"
[[override]]
rules = ["ata-crc"]
reason = "all of them"
off = true
[[rule]]
name = "gone"
off = true
`
	_, err := judge.Default().Overlay("site.toml", []byte(text))
	var es *config.Errors
	if !errors.As(err, &es) {
		t.Fatalf("%v", err)
	}
	for _, want := range []string{
		`site.toml:3:1: rule.abov: unknown key; did you mean "above"?`,
		`site.toml:8:1: rule.state: rule mine: evidence of class thermal asks for a cable or for cooling`,
		`site.toml:4:3: rule.words: rule mine has no words`,
		`site.toml:10:1: override.model: "ST[" is not a pattern`,
		`site.toml:11:10: override.rules: there is no rule with the name "ata-pendign"`,
		`site.toml:12:1: override.state: rule ata-crc: evidence of class interface`,
		`site.toml:9:3: override.reason: it has no reason`,
		`site.toml:14:1: rule.name: rule ata-pending is there twice`,
		`site.toml:15:1: rule.above: want a number, got a string`,
		`site.toml:16:3: override: it is for every disk`,
		`site.toml:22:1: rule.off: there is no rule with the name "gone"`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("want %s in\n%s", want, err)
		}
	}
}

func TestRuleSet_OverlayFileThatIsNotThere(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "site.toml")
	if _, err := judge.Default().OverlayFile(path); err == nil || !strings.Contains(err.Error(), "site.toml: no such file") {
		t.Errorf("%v", err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if rs, err := judge.Default().OverlayFile(path); err != nil || rs.Hash() != judge.Default().Hash() {
		t.Errorf("an empty file changes something: %v", err)
	}
}

func TestRuleSet_ForADisk(t *testing.T) {
	t.Parallel()
	rs := overlay(t, `
[[override]]
model = "ST8000*"
rules = ["ata-reallocated", "ata-pending"]
above = 8
reason = "counts spare tracks"
[[override]]
model = "ST8000*"
firmware = "SN0[45]"
rules = ["ata-reallocated"]
off = true
reason = "counts anything"
[[override]]
serial = "ZA1"
rules = ["ata-pending"]
state = "failing"
reason = "watched closely"
`)
	for _, c := range []struct {
		id      glia.Identity
		pending float64
		state   glia.State
		realloc bool
	}{
		{glia.Identity{Model: "WDC X"}, 0, glia.StateSuspect, true},
		{glia.Identity{Model: "ST8000NM/1", Firmware: "SN03"}, 8, glia.StateSuspect, true},
		{glia.Identity{Model: "ST8000NM", Firmware: "SN04"}, 8, glia.StateSuspect, false},
		{glia.Identity{Model: "ST8000NM", Firmware: "SN05", Serial: "ZA1"}, 8, glia.StateFailing, false},
		{glia.Identity{Serial: "ZA1"}, 0, glia.StateFailing, true},
	} {
		got := rs.For(c.id)
		r, _ := got.Rule("ata-pending")
		_, realloc := got.Rule("ata-reallocated")
		if r.Above != c.pending || r.State != c.state || realloc != c.realloc || got.Hash() != rs.Hash() {
			t.Errorf("%+v: %+v, reallocated judged %v, hash %s of %s", c.id, r, realloc, got.Hash(), rs.Hash())
		}
	}
	if r, _ := rs.Rule("ata-pending"); r.Above != 0 {
		t.Error("choosing rules for a disk changed the set")
	}
	if other := overlay(t, "[[override]]\nserial = \"A\"\nrules = [\"ata-crc\"]\noff = true\nreason = \"r\"\n"); other.Hash() == judge.Default().Hash() {
		t.Error("overrides are not in the hash")
	}
}

func FuzzRuleSet_Overlay(f *testing.F) {
	f.Add([]byte("[[rule]]\nname = \"x\"\nwhat = \"y\"\nclass = \"media\"\nstate = \"failed\"\nwords = \"w\"\n[[override]]\nmodel = \"*\"\nrules = [\"x\"]\nabove = 3\nreason = \"r\"\n"))
	f.Add([]byte("[[rule]]\nname = \"ata-pending\"\ndecay = \"-1h\"\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		rs, err := judge.Default().Overlay("f", data)
		if err == nil && rs.Validate() != nil {
			t.Errorf("%q gives rules that are not valid: %v", data, rs.Validate())
		}
	})
}
