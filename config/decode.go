package config

import (
	"encoding"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
)

// decode sets what the file sets and leaves the rest of into alone. It goes on after a problem, so that
// all of them are found; a key with a problem keeps its old value and is marked as broken.
func decode(into any, c *check, index int, f file) {
	src := strings.TrimPrefix(string(f.data), "\ufeff")
	if strings.HasPrefix(src, "\xff\xfe") || strings.HasPrefix(src, "\xfe\xff") {
		c.unreadable = true
		c.at(spot{index, 1, 1}, "", "the file is in UTF-16; save it as UTF-8")
		return
	}
	var doc map[string]any
	if _, err := toml.Decode(src, &doc); err != nil {
		c.unreadable = true
		s, msg := spot{file: index}, err.Error()
		if pe := (toml.ParseError{}); errors.As(err, &pe) {
			s.line, s.col = lineCol(src, pe.Position.Start)
			msg = pe.Message
		}
		c.at(s, "", "%s", msg)
		return
	}
	c.place(index, src)
	d := decoder{check: c, file: index, root: reflect.TypeOf(into).Elem()}
	d.table(reflect.ValueOf(into).Elem(), "", doc)
}

// place records where the keys of a file are. A list replaces a list of an earlier file as a whole.
func (c *check) place(index int, src string) {
	found := positions(src)
	maps.DeleteFunc(c.spots, func(key string, _ spot) bool {
		for ; key != ""; key = parentKey(key) {
			if strings.HasSuffix(key, "]") {
				if _, again := found[parentKey(key)]; again {
					return true
				}
			}
		}
		return false
	})
	for key, offset := range found {
		line, col := lineCol(src, offset)
		c.spots[key] = spot{index, line, col}
	}
}

type decoder struct {
	*check
	file int
	root reflect.Type // whole schema, to say where a misplaced key belongs
}

// defaulted is implemented by elements of lists of tables that have defaults.
type defaulted interface{ setDefaults() }

// wanting is implemented by values that say better than their kind what they look like.
type wanting interface{ want() string }

func (d *decoder) table(into reflect.Value, path string, doc map[string]any) {
	for name, value := range doc {
		key := join(path, name)
		if field, ok := fieldOf(into.Type(), name); ok {
			d.value(into.FieldByIndex(field.Index), key, value)
			continue
		}
		if field, ok := renamed(into.Type(), name); ok {
			d.old(into, field, path, name, doc)
			continue
		}
		d.broke(key, "unknown key%s", d.meant(into.Type(), name))
	}
}

// old reads a key by the name that it had once, which is still understood. From then on it is called by its name.
func (d *decoder) old(into reflect.Value, field reflect.StructField, path, name string, doc map[string]any) {
	now := field.Tag.Get("toml")
	if _, both := doc[now]; both {
		d.broke(join(path, name), "is the old name of %s, which is set, too: remove this one", now)
		return
	}
	key := join(path, now)
	if at, ok := d.spots[join(path, name)]; ok {
		d.spots[key] = at
	}
	d.value(into.FieldByIndex(field.Index), key, doc[name])
}

func (d *decoder) value(into reflect.Value, key string, value any) {
	if text, ok := into.Addr().Interface().(encoding.TextUnmarshaler); ok {
		s, ok := value.(string)
		if !ok {
			d.mismatch(into, key, value)
			return
		}
		if err := text.UnmarshalText([]byte(s)); err != nil {
			d.broke(key, "%s", err)
		}
		return
	}
	ok := true
	switch into.Kind() {
	case reflect.Pointer: // nil: the file does not set it
		v := reflect.New(into.Type().Elem())
		d.value(v.Elem(), key, value)
		into.Set(v)
	case reflect.Struct:
		var doc map[string]any
		if doc, ok = value.(map[string]any); ok {
			d.table(into, key, doc)
		}
	case reflect.Slice:
		ok = d.list(into, key, value)
	case reflect.String:
		var s string
		if s, ok = value.(string); ok {
			into.SetString(s)
		}
	case reflect.Bool:
		var b bool
		if b, ok = value.(bool); ok {
			into.SetBool(b)
		}
	case reflect.Int:
		var n int64
		if n, ok = value.(int64); ok && into.OverflowInt(n) {
			d.broke(key, "%d is too large", n)
		} else if ok {
			into.SetInt(n)
		}
	case reflect.Float64:
		switch n := value.(type) {
		case float64:
			into.SetFloat(n)
		case int64:
			into.SetFloat(float64(n))
		default:
			ok = false
		}
	default:
		// A test decodes every field of the schema, so this is never reached in a release.
		d.broke(key, "the schema has type %s, which can not be read", into.Type())
	}
	if !ok {
		d.mismatch(into, key, value)
	}
}

func (d *decoder) list(into reflect.Value, key string, value any) bool {
	var items []any
	switch v := value.(type) {
	case []any:
		items = v
	case []map[string]any:
		for _, m := range v {
			items = append(items, m)
		}
	default:
		return false
	}
	out := reflect.Zero(into.Type()) // an empty list is the same as none
	for i, item := range items {
		e := reflect.New(into.Type().Elem())
		if v, ok := e.Interface().(defaulted); ok {
			v.setDefaults()
		}
		d.value(e.Elem(), element(key, i), item)
		out = reflect.Append(out, e.Elem())
	}
	into.Set(out)
	return true
}

func (d *decoder) mismatch(into reflect.Value, key string, value any) {
	d.broke(key, "want %s, got %s", wantOf(into.Type()), kindOf(value))
}

// broke adds a problem with a key of the file and marks the key.
func (d *decoder) broke(key, format string, args ...any) {
	d.broken[key] = true
	s := spot{file: d.file}
	for up := key; up != ""; up = parentKey(up) {
		if at, ok := d.spots[up]; ok && at.file == d.file {
			s = at
			break
		}
	}
	d.at(s, key, format, args...)
}

// meant says what an unknown key of a table was probably meant to be: a key of this table with nearly
// that name, or the one key of another table with exactly that name.
func (d *decoder) meant(table reflect.Type, name string) string {
	if near := nearest(name, keysOf(table)); near != "" {
		return fmt.Sprintf("; did you mean %q?", near)
	}
	var elsewhere []string
	for _, f := range reflect.VisibleFields(d.root) {
		if f.Type.Kind() == reflect.Struct {
			if _, ok := fieldOf(f.Type, name); ok {
				elsewhere = append(elsewhere, f.Tag.Get("toml"))
			}
		}
	}
	if _, ok := fieldOf(d.root, name); ok {
		return "; it belongs before the first [table]"
	}
	if len(elsewhere) == 1 {
		return fmt.Sprintf("; it belongs to [%s]", elsewhere[0])
	}
	return ""
}

func fieldOf(t reflect.Type, name string) (reflect.StructField, bool) {
	for i := range t.NumField() {
		if f := t.Field(i); f.Tag.Get("toml") == name {
			return f, true
		}
	}
	return reflect.StructField{}, false
}

// renamed is the field that had that name once.
func renamed(t reflect.Type, name string) (reflect.StructField, bool) {
	for i := range t.NumField() {
		if f := t.Field(i); f.Tag.Get("old") == name {
			return f, true
		}
	}
	return reflect.StructField{}, false
}

func keysOf(t reflect.Type) []string {
	var keys []string
	for i := range t.NumField() {
		keys = append(keys, t.Field(i).Tag.Get("toml"))
	}
	slices.Sort(keys)
	return keys
}

func wantOf(t reflect.Type) string {
	v := reflect.New(t).Interface()
	if w, ok := v.(wanting); ok {
		return w.want()
	}
	if _, ok := v.(encoding.TextUnmarshaler); ok {
		return "a string"
	}
	switch t.Kind() {
	case reflect.Pointer:
		return wantOf(t.Elem())
	case reflect.Struct:
		return "a table"
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Struct {
			return "a list of tables"
		}
		return `a list such as ["a", "b"]`
	case reflect.Bool:
		return "true or false"
	case reflect.Int:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	}
	return "a string"
}

func kindOf(value any) string {
	switch value.(type) {
	case nil:
		return "null"
	case string:
		return "a string"
	case int64:
		return "an integer"
	case float64:
		return "a float"
	case bool:
		return "a boolean"
	case time.Time:
		return "a date"
	case []any:
		return "a list"
	case []map[string]any:
		return "a list of tables"
	case map[string]any:
		return "a table"
	}
	return fmt.Sprintf("%T", value)
}
