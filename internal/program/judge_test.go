package program_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"glia/internal/program/nerved"
	"glia/internal/program/repairerd"
)

func TestLoadNerve_TellsWhatIsWrongWithTheRulesOfTheSite(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rules, conf := filepath.Join(dir, "rules.toml"), filepath.Join(dir, "nerve.toml")
	write := func(path, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(conf, "host = \"h\"\n[judge]\nrules = \""+rules+"\"\n")
	if _, err := nerved.Load(conf); err == nil || !strings.Contains(err.Error(), "rules.toml: no such file") {
		t.Errorf("without the file: %v", err)
	}
	write(rules, "[[rule]]\nname = \"ata-crc\"\nstate = \"failed\"\n")
	if _, err := nerved.Load(conf); err == nil || !strings.Contains(err.Error(), rules+":3:1: rule.state: rule ata-crc: evidence of class interface") {
		t.Errorf("with a rule that can not be: %v", err)
	}
	write(rules, "[[rule]]\nname = \"ata-crc\"\noff = true\n")
	if _, err := nerved.Load(conf); err != nil {
		t.Error(err)
	}
}

func TestParsePressure(t *testing.T) {
	t.Parallel()
	const psi = "some avg10=9.00 avg60=8.00 avg300=7.00 total=1\nfull avg10=0.50 avg60=62.25 avg300=0.10 total=2\n"
	if v, err := nerved.ParsePressure(psi); err != nil || v != 62.25 {
		t.Errorf("%v, %v", v, err)
	}
	for _, text := range []string{"", "some avg60=1.00\n", "full avg60=\n", "full avg10=1\n", "full avg60=much\n"} {
		if v, err := nerved.ParsePressure(text); err == nil {
			t.Errorf("%q gives %v", text, v)
		}
	}
}

func TestLoadRepairer_KnowsTheRulesOfTheSite(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rules, conf := filepath.Join(dir, "rules.toml"), filepath.Join(dir, "repairer.toml")
	write := func(path, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const mode = "[[rule]]\nname = \"our-fans\"\nmode = \"propose\"\n"
	write(rules, "[[rule]]\nname = \"our-fans\"\nwhat = \"nvme.temperature\"\nclass = \"thermal\"\nstate = \"suspect\"\nwords = \"look at the fans\"\n[[rule]]\nname = \"ata-crc\"\noff = true\n")
	for _, c := range []struct{ text, want string }{
		{mode, `there is no rule with the name "our-fans"`},
		{"rule_files = [\"" + rules + "\"]\n" + mode, ""},
		{"rule_files = [\"" + rules + "\"]\n[[rule]]\nname = \"ata-crc\"\nmode = \"auto\"\n", ""}, // off at one site
		{"rule_files = [\"" + rules + "\"]\n[[rule]]\nname = \"our-fan\"\nmode = \"auto\"\n", `did you mean "our-fans"`},
		{"rule_files = [\"" + rules + "x\"]\n" + mode, "no such file"},
	} {
		write(conf, c.text)
		if _, err := repairerd.Load(conf); c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.text, err, c.want)
		}
	}
}
