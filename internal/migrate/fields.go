package migrate

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// reader takes what it knows out of a table, and tells of the rest.
type reader struct {
	t     table
	at    string // for notes, such as service web
	known map[string]bool
	notes *[]string
}

func (o *outcome) read(t table, at string) *reader {
	return &reader{t: t, at: at, known: map[string]bool{}, notes: &o.Notes}
}

func (r *reader) note(format string, args ...any) {
	*r.notes = append(*r.notes, r.at+": "+fmt.Sprintf(format, args...))
}

func (r *reader) value(key string) (any, bool) {
	r.known[key] = true
	v, ok := r.t.get(key)
	return v, ok && v != nil
}

// drop notes keys that are not carried over, and why.
func (r *reader) drop(why string, keys ...string) {
	for _, k := range keys {
		if _, ok := r.value(k); ok {
			r.note("%s is not carried over: %s", k, why)
		}
	}
}

// needless takes keys that mean nothing any more.
func (r *reader) needless(keys ...string) {
	for _, k := range keys {
		r.known[k] = true
	}
}

// rest tells of what nobody has asked for.
func (r *reader) rest() {
	for _, e := range r.t {
		if !r.known[e.key] {
			r.note("%s is not known, and not carried over", e.key)
		}
	}
}

func (r *reader) bad(key string, v any, want string) {
	r.note("%s is %v, and not %s: it is not carried over", key, v, want)
}

func (r *reader) text(key string) string {
	v, ok := r.value(key)
	if !ok {
		return ""
	}
	switch v.(type) {
	case table, []any:
		r.bad(key, v, "a text")
		return ""
	}
	return fmt.Sprint(v)
}

func (r *reader) number(key string, otherwise float64) float64 {
	v, ok := r.value(key)
	if !ok {
		return otherwise
	}
	var f float64
	err := error(nil)
	switch v := v.(type) {
	case int64:
		f = float64(v)
	case float64:
		f = v
	case string:
		f, err = strconv.ParseFloat(strings.TrimSpace(v), 64)
	default:
		err = strconv.ErrSyntax
	}
	if err != nil || math.IsNaN(f) || math.Abs(f) > 1e12 {
		r.bad(key, v, "a number")
		return otherwise
	}
	return f
}

func (r *reader) whole(key string, otherwise int64) int64 {
	f := r.number(key, float64(otherwise))
	if f != math.Trunc(f) {
		r.bad(key, f, "a whole number")
		return otherwise
	}
	return int64(f)
}

func (r *reader) seconds(key string, otherwise float64) time.Duration {
	f := r.number(key, otherwise)
	if f < 0 || f > 1e9 {
		r.bad(key, f, "a time in seconds")
		f = otherwise
	}
	return time.Duration(f * float64(time.Second)).Round(time.Millisecond)
}

func (r *reader) boolean(key string, otherwise bool) bool {
	v, ok := r.value(key)
	if !ok {
		return otherwise
	}
	switch fmt.Sprint(v) {
	case "true":
		return true
	case "false":
		return false
	}
	r.bad(key, v, "true or false")
	return otherwise
}

// texts is a list; a single text is a list of one.
func (r *reader) texts(key string) (out []string) {
	v, ok := r.value(key)
	if !ok {
		return nil
	}
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	for _, x := range list {
		switch x.(type) {
		case table, []any:
			r.bad(key, x, "a text")
		default:
			out = append(out, fmt.Sprint(x))
		}
	}
	return out
}

func (r *reader) table(key string) table {
	v, ok := r.value(key)
	t, is := v.(table)
	if ok && !is {
		r.bad(key, v, "a table")
	}
	return t
}

func (r *reader) tables(key string) (out []table) {
	v, ok := r.value(key)
	if !ok {
		return nil
	}
	list, is := v.([]any)
	if !is {
		r.bad(key, v, "a list of tables")
		return nil
	}
	for _, x := range list {
		if t, is := x.(table); is {
			out = append(out, t)
		} else {
			r.bad(key, x, "a table")
		}
	}
	return out
}

// labels are those of a table, as label=value, sorted.
func (r *reader) labels(key string) (out []string) {
	for _, e := range r.table(key) {
		switch e.value.(type) {
		case table, []any:
			r.bad(key+"."+e.key, e.value, "a text")
		case nil:
			out = append(out, e.key+"=")
		default:
			out = append(out, e.key+"="+fmt.Sprint(e.value))
		}
	}
	slices.Sort(out)
	return out
}
