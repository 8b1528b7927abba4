package kmsg_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"glia/nerve/disk/kmsg"
)

func TestDecode(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, in string
		want     kmsg.Record
	}{
		{"of Linux 6.18", "3,11425,15304117203,-;I/O error, dev loop4, sector 0\n",
			kmsg.Record{Seq: 11425, At: 15304117203 * time.Microsecond, Level: 3, Text: "I/O error, dev loop4, sector 0"}},
		{"with a dictionary", "6,339,5140900,-;sd 0:0:5:0: [sda] Attached\n SUBSYSTEM=scsi\n DEVICE=+scsi:0:0:5:0\n",
			kmsg.Record{Seq: 339, At: 5140900 * time.Microsecond, Level: 6, Text: "sd 0:0:5:0: [sda] Attached", Subsystem: "scsi", Device: "+scsi:0:0:5:0"}},
		{"of a process", "12,5,7,-;hello\n", kmsg.Record{Seq: 5, At: 7 * time.Microsecond, Facility: 1, Level: 4, Text: "hello"}},
		{"with a caller, and a field that is not known yet", "4,5,7,-,caller=T123,new=1;a;b\n", kmsg.Record{Seq: 5, At: 7 * time.Microsecond, Level: 4, Text: "a;b"}},
		{"escaped", `4,5,7,-;a\x5cx41\x0ab\x4` + "\n", kmsg.Record{Seq: 5, At: 7 * time.Microsecond, Level: 4, Text: "a\\x41\nb\\x4"}},
		{"no semicolon", "4,5,7,-", kmsg.Record{}},
		{"three fields", "4,5,7;a", kmsg.Record{}},
		{"no number", "4,x,7,-;a", kmsg.Record{}},
		{"time beyond reach", "4,5,9223372036854775807,-;a", kmsg.Record{}},
		{"nothing", "", kmsg.Record{}},
	} {
		got, err := kmsg.Decode([]byte(c.in))
		if got != c.want || (err != nil) != (c.want == kmsg.Record{}) {
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
	}
}

func golden(t testing.TB) [][3]string {
	t.Helper()
	b, err := os.ReadFile("testdata/lines.txt")
	if err != nil {
		t.Fatal(err)
	}
	var out [][3]string
	for line := range strings.Lines(string(b)) {
		if f := strings.SplitN(strings.TrimSuffix(line, "\n"), "|", 3); len(f) == 3 {
			out = append(out, [3]string{f[0], f[1], f[2]})
		}
	}
	return out
}

func TestClassify_GoldenLines(t *testing.T) {
	t.Parallel()
	met := map[string]bool{}
	for _, line := range golden(t) {
		kind, about, ok := kmsg.Classify(kmsg.Record{Text: line[2]})
		if want := kmsg.Kind(line[0]); ok != (want != "-") || ok && kind != want || about != line[1] {
			t.Errorf("%q is %q about %q", line[2], kind, about)
		}
		for _, p := range kmsg.Patterns {
			if p.Regexp.MatchString(line[2]) {
				met[p.Regexp.String()] = true
				if !strings.Contains(line[2], p.Has) {
					t.Errorf("%q is not looked at: it lacks %q", line[2], p.Has)
				}
			}
		}
	}
	for _, p := range kmsg.Patterns {
		if !met[p.Regexp.String()] {
			t.Errorf("no golden line for %s", p.Regexp)
		}
		if p.Source == "" || p.Regexp.NumSubexp() != 1 {
			t.Errorf("%s lacks a source or has not one group", p.Regexp)
		}
	}
}

func TestClassify_BelievesOnlyTheKernel(t *testing.T) {
	t.Parallel()
	r := kmsg.Record{Text: "critical medium error, dev sda, sector 1"}
	if _, _, ok := kmsg.Classify(r); !ok {
		t.Error("the kernel's word was not taken")
	}
	r.Facility = 1
	if _, _, ok := kmsg.Classify(r); ok {
		t.Error("a process was believed")
	}
}

func TestWithin(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, whole string
		want        bool
	}{
		{"sda", "sda", true}, {"sda1", "sda", true}, {"sdaa", "sda", false}, {"sdb", "sda", false},
		{"loop1", "loop1", true}, {"loop1p2", "loop1", true}, {"loop10", "loop1", false},
		{"nvme0n1p2", "nvme0", true}, {"nvme0n1", "nvme0", true}, {"nvme01", "nvme0", false}, {"ata12", "ata1", false},
		{"2:0:0:0", "2:0:0:0", true}, {"12:0:0:0", "2:0:0:0", false},
	} {
		if got := kmsg.Within(c.name, c.whole); got != c.want {
			t.Errorf("%s within %s: %v", c.name, c.whole, got)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, line := range golden(f) {
		f.Add([]byte("3,1,1,-;" + line[2] + "\n SUBSYSTEM=block\n"))
	}
	f.Add([]byte(`3,1,1,-;\x5c\x`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := kmsg.Decode(b)
		if err != nil && r != (kmsg.Record{}) {
			t.Errorf("%+v comes with the error %v", r, err)
		}
		if _, about, ok := kmsg.Classify(r); ok && !strings.Contains(r.Text, about) {
			t.Errorf("%q is about %q", r.Text, about)
		}
	})
}
