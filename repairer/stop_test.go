package repairer_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"glia/repairer"
)

func TestStopFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	stop, dangling, plain := filepath.Join(dir, "STOP"), filepath.Join(dir, "LINK"), filepath.Join(dir, "plain")
	if err := os.WriteFile(stop, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere", dangling); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"":                            "",
		stop:                          "exists",
		dangling:                      "exists",
		filepath.Join(dir, "no"):      "",
		filepath.Join(dir, "no/STOP"): "", // no directory, no file in it
		filepath.Join(plain, "STOP"):  "can not be told",
		filepath.Join(dir, strings.Repeat("x", 300)): "can not be told",
	} {
		if got := repairer.StopFile(path); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}
