// Package figures measures the whole repairer as its own process, and prints what the benchmarks of all
// packages have measured beside what was to be reached. Its benchmarks take times, which other work on the
// machine makes longer; the load of the machine stands below the table.
package figures

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
)

// A benchmark names the target of a metric by the metric's own unit with one of these behind it.
const (
	AtMost  = ":at-most"
	AtLeast = ":at-least"
)

// figure is one metric of one benchmark.
type figure struct {
	benchmark, unit string
	value           float64
}

// Table copies the output of go test -bench, and then prints all metrics in one table, each with its target
// and whether it was met. It returns an error when a benchmark has failed or none has run.
func Table(in io.Reader, out io.Writer) error {
	var figures []figure
	targets := map[figure]float64{} // by benchmark and unit
	failed := false
	s := bufio.NewScanner(in)
	for s.Scan() {
		if _, err := fmt.Fprintln(out, s.Text()); err != nil {
			return err
		}
		failed = failed || strings.HasPrefix(s.Text(), "FAIL") || strings.HasPrefix(s.Text(), "--- FAIL")
		for _, f := range measured(s.Text()) {
			if strings.HasSuffix(f.unit, AtMost) || strings.HasSuffix(f.unit, AtLeast) {
				targets[figure{benchmark: f.benchmark, unit: f.unit}] = f.value
				continue
			}
			figures = append(figures, f)
		}
	}
	if err := s.Err(); err != nil {
		return fmt.Errorf("read what the benchmarks print: %w", err)
	}
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	_, _ = fmt.Fprintln(w, "\nBENCHMARK\tMEASURED\t\tTARGET\t") // errors are Flush's
	for _, f := range figures {
		target := "\t"
		if most, has := targets[figure{benchmark: f.benchmark, unit: f.unit + AtMost}]; has {
			target = fmt.Sprintf("at most %s\t%s", plain(most), metOr(f.value <= most))
		}
		if least, has := targets[figure{benchmark: f.benchmark, unit: f.unit + AtLeast}]; has {
			target = fmt.Sprintf("at least %s\t%s", plain(least), metOr(f.value >= least))
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", f.benchmark, plain(f.value), f.unit, target)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	switch {
	case failed:
		return fmt.Errorf("a benchmark has failed, see above")
	case len(figures) == 0:
		return fmt.Errorf("no benchmark has run")
	}
	return nil
}

// measured reads one line such as "BenchmarkX/y-2  10  5.0 ms/tick  7 MB"; other lines have no figures.
func measured(line string) (out []figure) {
	fields := strings.Fields(line)
	if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
		return nil
	}
	name := strings.TrimPrefix(fields[0], "Benchmark")
	if i := strings.LastIndexByte(name, '-'); i > 0 {
		name = name[:i] // the number of processors
	}
	for i := 2; i+1 < len(fields); i += 2 {
		v, err := strconv.ParseFloat(fields[i], 64)
		if err != nil {
			return nil
		}
		out = append(out, figure{name, fields[i+1], v})
	}
	return out
}

func metOr(met bool) string {
	if met {
		return "met"
	}
	return "MISSED"
}

// plain is a figure with no more digits than say something.
func plain(v float64) string {
	if v >= 100 || v == float64(int64(v)) {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}
