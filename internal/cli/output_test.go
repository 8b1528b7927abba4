package cli_test

import (
	"testing"
	"time"
	"unicode"

	"glia/internal/cli"
)

func TestSize_IsAsPrintedOnTheDisk(t *testing.T) {
	t.Parallel()
	for bytes, want := range map[uint64]string{
		0:                    "",
		512:                  "512 B",
		268435456:            "268 MB",
		960197124096:         "960 GB",
		999_600_000_000:      "1 TB",
		3840755982336:        "3.84 TB",
		18000207937536:       "18 TB",
		18446744073709551615: "18.4 EB",
	} {
		if got := cli.Size(bytes); got != want {
			t.Errorf("size of %d bytes: %q, want %q", bytes, got, want)
		}
	}
}

func TestAge_RoundsDownToItsLargestUnit(t *testing.T) {
	t.Parallel()
	for ago, want := range map[time.Duration]string{
		0:                               "0s",
		999 * time.Millisecond:          "0s",
		59 * time.Second:                "59s",
		time.Minute:                     "1m",
		59*time.Minute + 59*time.Second: "59m",
		47 * time.Hour:                  "47h",
		48 * time.Hour:                  "2d",
		-500 * time.Millisecond:         "0s", // clocks differ a little everywhere
		-3 * time.Minute:                "3m ahead",
	} {
		if got := cli.Age(now, now.Add(-ago)); got != want {
			t.Errorf("age of what was %s ago: %q, want %q", ago, got, want)
		}
	}
	if got := cli.Age(now, time.Time{}); got != "never" {
		t.Errorf("age of no time: %q, want never", got)
	}
}

func FuzzClean_LetsNothingSteerTheTerminal(f *testing.F) {
	for _, s := range []string{"", "ST16000NM\x00\x1b[2J", "a\tb\nc", "\u202egnp", "\xff\xfe", "Größe"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, r := range cli.Clean(s) {
			if !unicode.IsPrint(r) {
				t.Fatalf("%q became %q, which holds %U", s, cli.Clean(s), r)
			}
		}
	})
}
