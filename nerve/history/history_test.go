package history_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"glia"
	"glia/nerve/history"
)

// epoch is a day ago, so that nothing is too old to be kept.
func epoch() time.Time { return time.Now().Add(-24 * time.Hour).UTC().Truncate(time.Second) }

func open(t testing.TB, dir string, bytes int64) *history.Store {
	t.Helper()
	s, err := history.Open(history.Options{Dir: dir, Keep: 30 * 24 * time.Hour, Bytes: bytes, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func pending(v float64) history.Value {
	return history.Value{What: "ata.pending", Class: glia.Media, Value: v}
}

// told is the series of a disk as text: the minutes since start and the values.
func told(t testing.TB, s *history.Store, serial string, start time.Time) string {
	t.Helper()
	series, err := s.Read(serial, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, x := range series {
		fmt.Fprintf(&b, "%s:", x.What)
		for _, p := range x.Points {
			v := fmt.Sprint(p.Value)
			if p.Unknown {
				v = "?"
			}
			fmt.Fprintf(&b, " %d=%s", int(p.At.Sub(start).Minutes()), v)
		}
		b.WriteString("\n")
	}
	return b.String()
}

func record(t testing.TB, s *history.Store, serial string, at time.Time, values ...history.Value) {
	t.Helper()
	if err := s.Record(serial, at, values); err != nil {
		t.Fatal(err)
	}
}

func TestStore_KeepsChanges(t *testing.T) {
	t.Parallel()
	dir, start := t.TempDir(), epoch()
	s := open(t, dir, 1<<20)
	temp := func(v float64) history.Value {
		return history.Value{What: "ata.temperature", Class: glia.Thermal, Value: v}
	}
	for i, round := range [][]history.Value{
		{pending(0), temp(30)}, {pending(0), temp(31)}, {pending(8), temp(32)}, {temp(32)},
		{{What: "ata.pending", Class: glia.Media, Unknown: true}, temp(32)}, {pending(2.5), pending(1), temp(32)}, {pending(math.NaN()), temp(32)},
	} {
		record(t, s, "A", start.Add(time.Duration(i)*time.Minute), round...)
	}
	want := "ata.pending: 0=0 2=8 3=? 5=2.5 6=?\nata.temperature: 0=30 2=32\n"
	if got := told(t, s, "A", start); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if got := told(t, s, "B", start); got != "" {
		t.Errorf("a disk that was never here has %q", got)
	}
	// Another process goes on where this one ended.
	again := open(t, dir, 1<<20)
	record(t, again, "A", start.Add(10*time.Minute), pending(3), temp(32))
	if got, want := told(t, again, "A", start), strings.Replace(want, "6=?", "6=? 10=3", 1); got != want {
		t.Errorf("after a restart\n%swant\n%s", got, want)
	}
	series, err := again.Read("A", start.Add(4*time.Minute))
	if err != nil || len(series) != 2 || !series[1].Points[0].At.Equal(start.Add(4*time.Minute)) || series[1].Points[0].Value != 32 {
		t.Errorf("from the fourth minute on: %+v, %v", series, err)
	}
}

func TestStore_GoesOnWhenSomebodyTouchesItsFile(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		touch func(file string) error
		want  string
	}{
		"removed": {os.Remove, "ata.pending: 1=2 2=3\n"},
		"emptied": {func(file string) error { return os.Truncate(file, 0) }, "ata.pending: 1=2 2=3\n"},
		"cut":     {func(file string) error { return os.Truncate(file, 20) }, "ata.pending: 1=2 2=3\n"},
	} {
		dir, start := t.TempDir(), epoch()
		s := open(t, dir, 1<<20)
		record(t, s, "A", start, pending(1))
		files, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil || len(files) != 1 {
			t.Fatal(files, err)
		}
		if err := c.touch(files[0]); err != nil {
			t.Fatal(err)
		}
		record(t, s, "A", start.Add(time.Minute), pending(2))
		record(t, s, "A", start.Add(2*time.Minute), pending(3))
		if got := told(t, s, "A", start); got != c.want {
			t.Errorf("%s: got %q, want %q", what, got, c.want)
		}
	}
}

func TestStore_IsBounded(t *testing.T) {
	t.Parallel()
	dir, start := t.TempDir(), epoch()
	const limit = 64 << 10
	s := open(t, dir, limit)
	for i := range 40_000 {
		record(t, s, fmt.Sprint("disk", i%4), start.Add(time.Duration(i)*time.Second), pending(float64(i)), history.Value{What: "constant", Class: glia.Media, Value: 7})
	}
	var size int64
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		size += info.Size()
	}
	if size > limit+4*1024 {
		t.Errorf("%d bytes, want no more than %d and a record each", size, limit)
	}
	got := told(t, s, "disk3", start)
	if !strings.Contains(got, "=39999\n") || !strings.HasPrefix(got, "ata.pending: ") || !strings.Contains(got, "constant: ") {
		t.Errorf("the newest or the constant one is lost: %.80q … %d bytes", got, len(got))
	}
}

func TestStore_ThirtyDaysOfTenDisksFitIntoTheirShareOfFourMegabytes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, 4<<20/10)
	start := time.Now().Add(-30 * 24 * time.Hour).Add(time.Hour)
	for disk := range 10 {
		// A round every half hour stands for those between, which change nothing; the temperature moves at each.
		for i := range 30 * 24 * 2 {
			round := []history.Value{{What: "ata.temperature", Class: glia.Thermal, Value: float64(30 + 3*(i%4))}, {What: "verdict", Value: 1}}
			for q := range 12 {
				round = append(round, history.Value{What: fmt.Sprint("quantity", q), Class: glia.Media, Value: float64(i / 500)})
			}
			record(t, s, fmt.Sprint("S", disk), start.Add(time.Duration(i)*30*time.Minute), round...)
		}
	}
	series, err := s.Read("S7", time.Time{})
	if err != nil || len(series) != 14 || series[0].Points[0].At.After(start.Add(time.Hour)) {
		t.Fatalf("%d series, %v; the first day is gone", len(series), err)
	}
	var size int64
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		info, _ := e.Info()
		size += info.Size()
	}
	t.Logf("30 days of 10 disks take %d KiB", size>>10)
	if size > 4<<20/10 {
		t.Errorf("%d bytes", size)
	}
}

// A crash can end a file anywhere, and a bad sector can change any byte of it.
func TestStore_DamageTakesOnlyWhatComesAfterIt(t *testing.T) {
	t.Parallel()
	whole, start := t.TempDir(), epoch()
	s := open(t, whole, 1<<20)
	for i := range 20 {
		record(t, s, "A", start.Add(time.Duration(i)*time.Minute), pending(float64(i)), history.Value{What: "x", Class: glia.Wear, Value: 1.5 * float64(i)})
	}
	names, _ := filepath.Glob(filepath.Join(whole, "*"))
	if len(names) != 1 {
		t.Fatalf("files %v", names)
	}
	good, err := os.ReadFile(names[0])
	if err != nil {
		t.Fatal(err)
	}
	intact := told(t, s, "A", start)
	for i := range good {
		for kind, damaged := range map[string][]byte{
			"cut": good[:i], "changed": append(append(bytes.Clone(good[:i]), good[i]^0x55), good[i+1:]...), "zeroed": append(bytes.Clone(good[:i]), make([]byte, len(good)-i)...),
		} {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, filepath.Base(names[0])), damaged, 0o600); err != nil {
				t.Fatal(err)
			}
			s := open(t, dir, 1<<20)
			for line := range strings.Lines(told(t, s, "A", start)) {
				if !strings.Contains(intact, strings.TrimSuffix(line, "\n")) {
					t.Fatalf("%s at %d invents %q", kind, i, line)
				}
			}
			record(t, s, "A", start.Add(time.Hour), pending(99))
			if got := told(t, open(t, dir, 1<<20), "A", start); !strings.Contains(got, "60=99") {
				t.Fatalf("%s at %d: what came after it is lost too: %q", kind, i, got)
			}
		}
	}
}

func TestStore_ClockMayJump(t *testing.T) {
	t.Parallel()
	s, start := open(t, t.TempDir(), 1<<20), epoch()
	for i, at := range []time.Time{start, start.AddDate(-70, 0, 0), start.AddDate(9000, 0, 0), start.Add(time.Minute), start.Add(-time.Minute)} {
		record(t, s, "A", at, pending(float64(i)))
	}
	if got := told(t, s, "A", start); !strings.Contains(got, "-1=4 0=0 1=3") {
		t.Errorf("%s", got)
	}
}

func TestOpen_ForgetsWhatIsTooOld(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	record(t, open(t, dir, 1<<20), "A", time.Now(), pending(1))
	names, _ := filepath.Glob(filepath.Join(dir, "*"))
	old := time.Now().AddDate(0, 0, -31)
	if err := os.Chtimes(names[0], old, old); err != nil {
		t.Fatal(err)
	}
	open(t, dir, 1<<20)
	if names, _ = filepath.Glob(filepath.Join(dir, "*")); len(names) != 0 {
		t.Errorf("%v is still there", names)
	}
}

func TestStore_TellsWhatWasRecorded(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "glia-history")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		s, err := history.Open(history.Options{Dir: dir, Keep: 30 * 24 * time.Hour, Bytes: 1 << 20, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		now := epoch()
		want := map[string]float64{}
		for range rapid.IntRange(1, 20).Draw(t, "rounds") {
			now = now.Add(time.Duration(rapid.IntRange(1, 1000).Draw(t, "seconds")) * time.Second)
			round, seen := []history.Value(nil), map[string]float64{}
			for _, what := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c"}), 0, 3, rapid.ID).Draw(t, "what") {
				v := rapid.OneOf(rapid.SampledFrom([]float64{0, 1, -1, 1 << 53, 1 << 62, math.MaxFloat64, 0.1}), rapid.Float64()).Draw(t, "value")
				round, seen[what] = append(round, history.Value{What: what, Class: glia.Media, Value: v}), v
			}
			if err := s.Record("A", now, round); err != nil {
				t.Fatal(err)
			}
			want = seen
			if rapid.Bool().Draw(t, "restart") {
				s, _ = history.Open(history.Options{Dir: dir, Keep: 30 * 24 * time.Hour, Bytes: 1 << 20, Log: slog.New(slog.DiscardHandler)})
			}
		}
		series, err := s.Read("A", time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]float64{}
		for _, x := range series {
			if last := x.Points[len(x.Points)-1]; !last.Unknown {
				got[x.What] = last.Value
			}
		}
		if !maps.Equal(got, want) {
			t.Fatalf("told %v, recorded %v", got, want)
		}
	})
}

func FuzzStore_Read(f *testing.F) {
	dir := f.TempDir()
	s := open(f, dir, 1<<20)
	record(f, s, "A", epoch(), pending(1), history.Value{What: "x", Value: 0.5})
	record(f, s, "A", epoch(), pending(2))
	names, _ := filepath.Glob(filepath.Join(dir, "*"))
	good, err := os.ReadFile(names[0])
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:len(good)-3])
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(names[0])), b, 0o600); err != nil {
			t.Fatal(err)
		}
		s := open(t, dir, 1<<20)
		if _, err := s.Read("A", time.Time{}); err != nil {
			t.Fatal(err)
		}
		record(t, s, "A", time.Now(), pending(77))
		if got := told(t, s, "A", epoch()); !strings.Contains(got, "=77") {
			t.Errorf("what is recorded after damage is not told: %q", got)
		}
	})
}
