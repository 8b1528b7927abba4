package migrate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// table is a mapping in the order of the file, which is the order that Ruby keeps. Values are table, []any, string, int64, float64, bool
// or nil.
type table []entry

type entry struct {
	key   string
	value any
}

// get is the value of a key; ok is false when it is not there.
func (t table) get(key string) (any, bool) {
	for i := len(t) - 1; i >= 0; i-- { // the last one counts
		if t[i].key == key {
			return t[i].value, true
		}
	}
	return nil, false
}

// set replaces the value of a key where it is, or adds it.
func (t table) set(key string, value any) table {
	for i := range t {
		if t[i].key == key {
			t[i].value = value
			return t
		}
	}
	return append(t, entry{key, value})
}

// Bounds of what is read, so that a file of aliases of aliases ends.
const (
	mostValues = 200_000
	mostKeys   = 5_000 // of one table
	mostDepth  = 50
)

var errTooLarge = errors.New("it has more values, or deeper ones, than any configuration")

// parse reads a document in JSON or YAML, whose root is a table.
func parse(data []byte) (table, error) {
	if bytes.Contains(data, []byte("<%")) {
		return nil, errors.New("it has ERB in it (<% … %>): render it first, and import the outcome")
	}
	var root any
	var err error
	if trimmed := bytes.TrimSpace(data); len(trimmed) > 0 && trimmed[0] == '{' {
		root, err = parseJSON(data)
	}
	if root == nil || err != nil {
		if y, yerr := parseYAML(data); yerr == nil {
			root, err = y, nil
		} else if err == nil {
			err = yerr
		}
	}
	if err != nil {
		return nil, err
	}
	t, ok := root.(table)
	if !ok {
		return nil, errors.New("it is no configuration: want a table of keys and values")
	}
	return t, nil
}

func parseJSON(data []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	budget := mostValues
	v, err := jsonValue(d, &budget, 0)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is more behind its end")
	}
	return v, nil
}

func jsonValue(d *json.Decoder, budget *int, depth int) (any, error) {
	if *budget--; *budget < 0 || depth > mostDepth {
		return nil, errTooLarge
	}
	tok, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch v := tok.(type) {
	case json.Delim:
		if v == '[' {
			list := []any{}
			for d.More() {
				x, err := jsonValue(d, budget, depth+1)
				if err != nil {
					return nil, err
				}
				list = append(list, x)
			}
			_, err := d.Token()
			return list, err
		}
		t := table{}
		for d.More() {
			key, err := d.Token()
			if err != nil {
				return nil, err
			}
			x, err := jsonValue(d, budget, depth+1)
			if err != nil {
				return nil, err
			}
			if t = t.set(fmt.Sprint(key), x); len(t) > mostKeys {
				return nil, errTooLarge
			}
		}
		_, err := d.Token()
		return t, err
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n, nil
		}
		f, err := v.Float64()
		return f, err
	}
	return tok, nil // string, bool or nil
}

func parseYAML(data []byte) (any, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, err
	}
	if len(doc.Content) != 1 {
		return nil, errors.New("it is empty")
	}
	budget := mostValues
	return yamlValue(doc.Content[0], &budget, 0)
}

func yamlValue(n *yaml.Node, budget *int, depth int) (any, error) {
	if *budget--; *budget < 0 || depth > mostDepth {
		return nil, errTooLarge
	}
	switch n.Kind {
	case yaml.AliasNode:
		return yamlValue(n.Alias, budget, depth+1)
	case yaml.SequenceNode:
		list := []any{}
		for _, c := range n.Content {
			v, err := yamlValue(c, budget, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		return list, nil
	case yaml.MappingNode:
		return yamlTable(n, budget, depth)
	case yaml.ScalarNode:
		return yamlScalar(n), nil
	}
	return nil, fmt.Errorf("line %d can not be read", n.Line)
}

func yamlTable(n *yaml.Node, budget *int, depth int) (table, error) {
	t, merged := table{}, table{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		v, err := yamlValue(value, budget, depth+1)
		if err != nil {
			return nil, err
		}
		if key.Kind == yaml.ScalarNode && key.ShortTag() == "!!merge" {
			from, ok := v.(table)
			if !ok {
				return nil, fmt.Errorf("line %d merges what is no table", key.Line)
			}
			if merged = append(merged, from...); len(merged) > mostKeys {
				return nil, errTooLarge
			}
			continue
		}
		if key.Kind != yaml.ScalarNode {
			return nil, fmt.Errorf("line %d has a key that is no word", key.Line)
		}
		if t = t.set(strings.TrimPrefix(key.Value, ":"), v); len(t) > mostKeys { // symbols of Ruby begin with a colon
			return nil, errTooLarge
		}
	}
	for _, m := range merged {
		if _, own := t.get(m.key); !own {
			t = append(t, m)
		}
	}
	return t, nil
}

func yamlScalar(n *yaml.Node) any {
	switch n.ShortTag() {
	case "!!null":
		return nil
	case "!!bool":
		var b bool
		if n.Decode(&b) == nil {
			return b
		}
	case "!!int":
		if v, err := strconv.ParseInt(n.Value, 0, 64); err == nil {
			return v
		}
	case "!!float":
		var f float64
		if n.Decode(&f) == nil {
			return f
		}
	}
	return n.Value
}
