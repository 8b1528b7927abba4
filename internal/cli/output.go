package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
)

// The values of -o.
const (
	formatTable = "table"
	formatJSON  = "json"
)

// document is one result: a Go value that encodes as JSON and can also be written for people.
type document interface {
	// write prints the document for people. Ages are relative to now.
	write(w io.Writer, now time.Time)
}

func (a *app) checkFormat() error {
	if a.format != formatTable && a.format != formatJSON {
		return usagef("-o %s: want table or json", a.format)
	}
	return nil
}

// print writes one result to standard output. It is written in one piece, so that a reader sees
// either nothing or a whole document.
func (a *app) print(d document) error {
	var b strings.Builder
	if a.format == formatJSON {
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		if err := enc.Encode(d); err != nil {
			return fmt.Errorf("write the result as JSON: %w", err)
		}
	} else {
		d.write(&b, a.now())
	}
	if _, err := io.WriteString(a.out, b.String()); err != nil {
		return fmt.Errorf("write the result: %w", err)
	}
	return nil
}

// note tells the person something that is no result.
func (a *app) note(format string, args ...any) {
	fmt.Fprintf(a.err, format+"\n", args...)
}

// table writes rows below a head, in columns. An empty cell becomes a dash.
func table(w io.Writer, head string, rows [][]string) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if head != "" {
		fmt.Fprintln(t, strings.Join(strings.Split(head, " "), "\t"))
	}
	for _, row := range rows {
		for i, cell := range row {
			if i > 0 {
				fmt.Fprint(t, "\t")
			}
			fmt.Fprint(t, dash(clean(cell)))
		}
		fmt.Fprintln(t)
	}
	t.Flush()
}

// facts writes one line for each pair of name and value; pairs without a value are left out.
func facts(w io.Writer, pairs ...[2]string) {
	for _, p := range pairs {
		if p[1] != "" {
			fmt.Fprintf(w, "%-12s %s\n", p[0], clean(p[1]))
		}
	}
}

// block writes text of several lines, indented.
func block(w io.Writer, indent, text string) {
	for line := range strings.Lines(strings.TrimRight(text, "\n")) {
		fmt.Fprintln(w, strings.TrimRight(indent+clean(strings.TrimRight(line, "\r\n")), " "))
	}
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// clean makes foreign text safe for one line of a terminal: models and serials come from firmware,
// and details from kernels, so that any of them may hold control characters.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n', r == '\t', r == '\r':
			return ' '
		case !unicode.IsPrint(r):
			return '?'
		}
		return r
	}, s)
}

// plural is "1 disk", "2 disks".
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

// stamp is a time for people: always UTC, so that it can be compared with any log of the fleet.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

// age is how long ago t was, "never" for the zero time. A time ahead of now, which is what a clock
// that is wrong looks like, is said to be ahead.
func age(now, t time.Time) string {
	switch {
	case t.IsZero():
		return "never"
	case t.Sub(now) > time.Second:
		return span(t.Sub(now)) + " ahead"
	}
	return span(now.Sub(t))
}

// ago is age as a phrase.
func ago(now, t time.Time) string {
	if s := age(now, t); !t.After(now) && !t.IsZero() {
		return s + " ago"
	} else {
		return s
	}
}

// span is a duration in its largest fitting unit, rounded down: 12s, 3m, 5h, 9d.
func span(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

// size is a capacity as it is printed on the disk: decimal units, three digits at most (18 TB, 3.84 TB).
func size(bytes uint64) string {
	if bytes == 0 {
		return ""
	}
	units := []string{"B", "kB", "MB", "GB", "TB", "PB", "EB"}
	v, u := float64(bytes), 0
	for v >= 999.5 && u < len(units)-1 {
		v, u = v/1000, u+1
	}
	return strconv.FormatFloat(roundTo3(v), 'f', -1, 64) + " " + units[u]
}

// roundTo3 keeps three significant digits of 0 < v < 1000.
func roundTo3(v float64) float64 {
	r, _ := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 3, 64), 64)
	return r
}
