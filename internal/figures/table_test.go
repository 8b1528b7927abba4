package figures_test

import (
	"strings"
	"testing"

	"glia/internal/figures"
)

func TestTable_PutsFiguresBesideTheirTargets(t *testing.T) {
	t.Parallel()
	const run = "goos: linux\n" +
		"BenchmarkEngine_Tick-2   \t 20\t 107.3 ms/tick\t 100 ms/tick:at-most\t 61 processor-ms/tick\n" +
		"BenchmarkAppend/sqlite-2 \t 9\t 0.7512 ratio\t 0.5000 ratio:at-least\nPASS\n"
	for _, tc := range []struct{ name, in, want, err string }{
		{"figures", run, "BENCHMARK       MEASURED                       TARGET\n" +
			"Engine_Tick     107        ms/tick             at most 100    MISSED\n" +
			"Engine_Tick     61         processor-ms/tick\n" +
			"Append/sqlite   0.751      ratio               at least 0.5   met", ""},
		{"a benchmark that has failed", run + "--- FAIL: BenchmarkX\n", "MISSED", "a benchmark has failed, see above"},
		{"a package that does not build", run + "FAIL\tglia/x [build failed]\n", "MISSED", "a benchmark has failed, see above"},
		{"nothing", "PASS\n", "", "no benchmark has run"},
	} {
		var out strings.Builder
		err := figures.Table(strings.NewReader(tc.in), &out)
		if (err == nil) != (tc.err == "") || err != nil && err.Error() != tc.err {
			t.Errorf("%s: error %v, want %q", tc.name, err, tc.err)
		}
		var lines []string
		for l := range strings.Lines(out.String()) {
			lines = append(lines, strings.TrimRight(l, " \n"))
		}
		if got := strings.Join(lines, "\n"); !strings.HasPrefix(got, strings.TrimSpace(tc.in)) || !strings.Contains(got, tc.want) {
			t.Errorf("%s:\n%s\nwant\n%s", tc.name, got, tc.want)
		}
	}
}
