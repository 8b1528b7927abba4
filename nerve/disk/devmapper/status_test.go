package devmapper_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"glia/nerve/disk/devmapper"
)

func TestDecode_RecordedAnswers(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("testdata/status.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		want, answer, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "|")
		if !ok {
			continue
		}
		got, err := devmapper.Decode([]byte(answer + "\n"))
		if err != nil || len(got) != 1 {
			t.Errorf("%s: %v %v", answer, got, err)
			continue
		}
		said := fmt.Sprintf("%s %s %s", got[0].Device, got[0].Type, got[0].State)
		for _, p := range got[0].Paths {
			said += fmt.Sprintf(" %s=%v", p.Number, p.Failed)
		}
		if said != want {
			t.Errorf("%s\n\tis %s, want %s", answer, said, want)
		}
	}
}

func TestDecode_OtherAnswers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in      string
		targets int
		bad     bool
	}{
		{"", 0, false}, {"No devices found\n", 0, false}, {"vg-empty: \n", 0, false},
		{"a: 0 8 linear \nb: 0 8 linear \nb: 8 8 striped 2 7:0 7:1 1 AA\n", 3, false},
		{"a: 0 8\n", 0, true}, {"a: x 8 linear\n", 0, true}, {"nonsense\n", 0, true},
	} {
		got, err := devmapper.Decode([]byte(c.in))
		if len(got) != c.targets || (err != nil) != c.bad {
			t.Errorf("%q: %v, %v", c.in, got, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	b, err := os.ReadFile("testdata/status.txt")
	if err != nil {
		f.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		_, answer, _ := strings.Cut(line, "|")
		f.Add([]byte(answer))
	}
	f.Add([]byte("m: 0 8 multipath 9999999 0"))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := devmapper.Decode(b)
		if err != nil && got != nil {
			t.Errorf("%v comes with the error %v", got, err)
		}
		for _, x := range got {
			if x.State == "" || len(x.Paths) > len(b) {
				t.Errorf("%+v", x)
			}
		}
	})
}
