package migrate

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// writer writes TOML. Keys without a value are left out.
type writer struct{ strings.Builder }

func (w *writer) section(title string) { w.WriteString("\n" + title + "\n") }

func (w *writer) text(key, value string) {
	if value != "" {
		w.WriteString(key + " = " + quote(value) + "\n")
	}
}

func (w *writer) list(key string, values []string) {
	if len(values) == 0 {
		return
	}
	one := make([]string, 0, len(values))
	length := 0
	for _, v := range values {
		one = append(one, quote(v))
		length += len(v)
	}
	if length > 100 {
		w.WriteString(key + " = [\n\t" + strings.Join(one, ",\n\t") + ",\n]\n")
		return
	}
	w.WriteString(key + " = [" + strings.Join(one, ", ") + "]\n")
}

func (w *writer) number(key string, n int64) {
	w.WriteString(key + " = " + strconv.FormatInt(n, 10) + "\n")
}

func (w *writer) boolean(key string, b bool) { w.WriteString(fmt.Sprintf("%s = %v\n", key, b)) }

func (w *writer) float(key string, f float64) {
	s := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	w.WriteString(key + " = " + s + "\n")
}

func (w *writer) duration(key string, d time.Duration) { w.text(key, d.String()) }

// quote writes a basic string of TOML.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range strings.ToValidUTF8(s, string(utf8.RuneError)) {
		switch {
		case r == '"' || r == '\\':
			b.WriteString("\\" + string(r))
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String() + `"`
}
