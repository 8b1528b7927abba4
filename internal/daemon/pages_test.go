package daemon_test

import (
	"bufio"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"glia/internal/daemon"
)

func TestCleanMappings_AreOfTheProgramAndAsInItsFile(t *testing.T) {
	t.Parallel()
	const file = "/usr/bin/a nerve"
	for _, tt := range []struct {
		name, smaps, want string
	}{
		{"text", "00400000-00c00000 r-xp 00000000 08:01 12   /usr/bin/a nerve\nRss: 8 kB\nAnonymous:             0 kB\nVmFlags: rd ex\n", "400000-c00000"},
		{"changed by relocations", "00400000-00c00000 r--p 00000000 08:01 12   /usr/bin/a nerve\nAnonymous:             4 kB\n", ""},
		{"data", "00400000-00c00000 rw-p 00000000 08:01 12   /usr/bin/a nerve\nAnonymous:             0 kB\n", ""},
		{"another file", "00400000-00c00000 r-xp 00000000 08:01 12   /usr/bin/nerve\nAnonymous:             0 kB\n", ""},
		{"no file", "00400000-00c00000 r-xp 00000000 00:00 0\nAnonymous:             0 kB\n", ""},
		{"a kernel that does not tell", "00400000-00c00000 r-xp 00000000 08:01 12   /usr/bin/a nerve\nRss: 8 kB\n00d00000-00e00000 rw-p 00000000 00:00 0\nAnonymous:             0 kB\n", ""},
		{"nonsense", "x-y r-xp 00000000 08:01 12   /usr/bin/a nerve\n", "error"},
	} {
		if got := daemon.CleanMappings(strings.NewReader(tt.smaps), file); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

// mapped is how much of this program's file is mapped now, in kB.
func mapped(t *testing.T) (kb int) {
	t.Helper()
	f, err := os.Open("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if w := strings.Fields(lines.Text()); len(w) > 1 && w[0] == "RssFile:" {
			if kb, err = strconv.Atoi(w[1]); err != nil {
				t.Fatal(err)
			}
		}
	}
	return kb
}

// The program goes on with fewer pages than it had, and finds those again that it needs.
func TestGiveBackPages_LeavesTheProgramAsItWas(t *testing.T) {
	t.Parallel()
	var least []int
	before := mapped(t)
	for range 3 {
		if err := daemon.GiveBackPagesNow(); err != nil {
			t.Fatal(err)
		}
		least = append(least, mapped(t))
	}
	if got := slices.Min(least); got >= before {
		t.Errorf("%d kB of the program are mapped, there were %d", got, before)
	}
}
