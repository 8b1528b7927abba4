package program_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"glia/internal/program"
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
	if _, err := program.LoadNerve(conf); err == nil || !strings.Contains(err.Error(), "rules.toml: no such file") {
		t.Errorf("without the file: %v", err)
	}
	write(rules, "[[rule]]\nname = \"ata-crc\"\nstate = \"failed\"\n")
	if _, err := program.LoadNerve(conf); err == nil || !strings.Contains(err.Error(), rules+":3:1: rule.state: rule ata-crc: evidence of class interface") {
		t.Errorf("with a rule that can not be: %v", err)
	}
	write(rules, "[[rule]]\nname = \"ata-crc\"\noff = true\n")
	if _, err := program.LoadNerve(conf); err != nil {
		t.Error(err)
	}
}

func TestParsePressure(t *testing.T) {
	t.Parallel()
	const psi = "some avg10=9.00 avg60=8.00 avg300=7.00 total=1\nfull avg10=0.50 avg60=62.25 avg300=0.10 total=2\n"
	if v, err := program.ParsePressure(psi); err != nil || v != 62.25 {
		t.Errorf("%v, %v", v, err)
	}
	for _, text := range []string{"", "some avg60=1.00\n", "full avg60=\n", "full avg10=1\n", "full avg60=much\n"} {
		if v, err := program.ParsePressure(text); err == nil {
			t.Errorf("%q gives %v", text, v)
		}
	}
}
