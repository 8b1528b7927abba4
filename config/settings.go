package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"
)

// Settings is the section [settings] of synapse: what registries may set of services.
type Settings struct {
	Allow []string `toml:"allow"` // keys below [[service]], of those in settable
}

// settable are the keys that a registry may set where a site allows them. The others are never taken from a registry, because whoever
// can write there could open sockets and files, run commands, or take the clients of other services.
var settable = []string{
	"file", "haproxy.disabled", "haproxy.port", "haproxy.server_options", "haproxy.frontend", "haproxy.backend", "haproxy.listen",
	"haproxy.backend_order", "haproxy.hash_cookie",
}

// Settable are all keys that [settings] can allow.
func Settable() []string { return slices.Clone(settable) }

func defaultSettings() Settings {
	return Settings{Allow: []string{"haproxy.server_options", "haproxy.backend", "haproxy.listen", "haproxy.backend_order", "haproxy.hash_cookie"}}
}

func (s Settings) validate(c *check) {
	for i, k := range s.Allow {
		if !slices.Contains(settable, k) {
			c.bad([]string{element("settings.allow", i), "settings.allow"}, "%q is no key that a registry can set: want some of %s", k, strings.Join(settable, ", "))
		}
	}
}

// maxSettings is the size in bytes from which on settings are refused unread; nodes of ZooKeeper have up to 1 MiB.
const maxSettings = 64 << 10

// Overlaid is what a registry sets of a service.
type Overlaid struct {
	Service Service  // with what is set over what the file says
	Keys    []string // that are set, sorted
	Aside   []string // sections that are of another program, sorted
}

// set is what a document can say. A pointer is nil where it says nothing.
type set struct {
	File    *bool           `toml:"file"`
	HAProxy *ServiceHAProxy `toml:"haproxy"`
}

// Overlay lays the settings that a registry has of a service over those of the file: a JSON object such as
// {"haproxy": {"server_options": "check inter 2s"}}, in the words of [[service]] or in those of Smartstack. A key that it does not have is
// that of the file, and an empty document or object changes nothing. It is pure. A document of which one key is unknown, not allowed or
// impossible is refused as a whole, by *Errors in which every problem is named; what is beside haproxy and file is left aside, as
// Smartstack does with what generators left there that it does not have.
func (s *Synapse) Overlay(v Service, document string) (Overlaid, error) {
	out := Overlaid{Service: v}
	if strings.TrimSpace(document) == "" {
		return out, nil
	}
	c := newCheck([]file{{name: "settings of " + v.Name}})
	doc, err := readObject(document)
	if err != nil {
		c.at(spot{}, "", "%s", err)
		return out, c.err()
	}
	out.Aside = fromSmartstack(doc)
	into := set{HAProxy: &ServiceHAProxy{}}
	d := decoder{check: c, root: reflect.TypeFor[set]()}
	d.table(reflect.ValueOf(&into).Elem(), "", doc)
	if err := c.err(); err != nil {
		return out, err
	}
	out.Keys = keysIn(doc)
	for _, k := range out.Keys {
		if !slices.Contains(s.Settings.Allow, k) {
			c.at(spot{}, k, "%s", s.refusal(k))
		}
	}
	s.merge(c, &out, into)
	return out, c.err()
}

// refusal says why a key that exists is not taken.
func (s *Synapse) refusal(key string) string {
	if slices.Contains(settable, key) {
		return "settings.allow does not let registries set it"
	}
	return "no registry may set it"
}

// merge sets the keys, and judges them as the file is judged and by what a registry may say.
func (s *Synapse) merge(c *check, out *Overlaid, from set) {
	v, p := &out.Service, from.HAProxy
	own := v.HAProxy
	for _, k := range out.Keys {
		switch k {
		case "file":
			v.File = *from.File
		case "haproxy.disabled":
			v.HAProxy.Disabled = p.Disabled
		case "haproxy.port":
			v.HAProxy.Port = p.Port
			c.within(k, p.Port, 65535)
		case "haproxy.server_options":
			v.HAProxy.ServerOptions = p.ServerOptions
			c.safe(k, safeOptions, []string{own.ServerOptions}, []string{p.ServerOptions})
		case "haproxy.frontend":
			v.HAProxy.Frontend = p.Frontend
			c.safe(k, safeLine, own.Frontend, p.Frontend)
		case "haproxy.backend":
			v.HAProxy.Backend = p.Backend
			c.safe(k, safeLine, own.Backend, p.Backend)
		case "haproxy.listen":
			v.HAProxy.Listen = p.Listen
			c.safe(k, safeLine, own.Listen, p.Listen)
		case "haproxy.backend_order":
			v.HAProxy.BackendOrder = p.BackendOrder
		case "haproxy.hash_cookie":
			v.HAProxy.HashCookie = p.HashCookie
		}
	}
	if v.File && s.Files.Directory == "" {
		c.bad([]string{"file"}, "has no place to be: set files.directory")
	}
	if !slices.Contains(backendOrders, v.HAProxy.BackendOrder) {
		c.bad([]string{"haproxy.backend_order"}, "%q is not known", v.HAProxy.BackendOrder)
	}
}

// safe refuses lines that no registry may say, and does not let one take away what it could not have said.
func (c *check) safe(key string, judge func(string) error, own, said []string) {
	for _, l := range own {
		if err := judge(l); err != nil {
			c.at(spot{}, key, "the file has %q there, which no registry may set or take away", l)
			return
		}
	}
	for _, l := range said {
		if err := judge(l); err != nil {
			c.at(spot{}, key, "%q: %s", l, err)
		}
	}
}

// fromSmartstack renames what Smartstack calls otherwise, takes out what is of other programs, and returns the names of that.
func fromSmartstack(doc map[string]any) (aside []string) {
	if out, ok := doc["file_output"]; ok {
		if _, is := out.(map[string]any); is {
			delete(doc, "file_output")
			if _, both := doc["file"]; !both {
				doc["file"] = true
			}
		} else {
			doc["file"] = out // whose kind is then refused
		}
	}
	if proxy, ok := doc["haproxy"].(map[string]any); ok {
		if method, ok := proxy["cookie_value_method"]; ok && (method == "hash" || method == "name") {
			delete(proxy, "cookie_value_method")
			if _, both := proxy["hash_cookie"]; !both {
				proxy["hash_cookie"] = method == "hash"
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(doc)) {
		if name != "file" && name != "haproxy" && name != "file_output" {
			delete(doc, name)
			aside = append(aside, name)
		}
	}
	return aside
}

// keysIn are the full names of the keys, sorted.
func keysIn(doc map[string]any) (keys []string) {
	for name, value := range doc {
		t, ok := value.(map[string]any)
		if !ok {
			keys = append(keys, name)
		}
		for k := range t {
			keys = append(keys, join(name, k))
		}
	}
	slices.Sort(keys)
	return keys
}

// readObject reads one JSON object with the types that TOML has.
func readObject(document string) (map[string]any, error) {
	switch {
	case len(document) > maxSettings:
		return nil, fmt.Errorf("%d bytes are too many: want at most %d", len(document), maxSettings)
	case !utf8.ValidString(document):
		return nil, errors.New("it is not in UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader([]byte(document)))
	d.UseNumber()
	v, err := readJSON(d, 0)
	if err == nil {
		if _, more := d.Token(); more != io.EOF {
			err = errors.New("there is more behind it")
		}
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, fmt.Errorf("want one JSON object: %w", err)
	}
	doc, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("want one JSON object, got %s", kindOf(v))
	}
	return doc, nil
}

// deepest is how many tables and lists may be within each other; settings need three.
const deepest = 8

// readJSON reads a value. What encoding/json would let pass is refused: a key that comes twice, of which one would be lost.
func readJSON(d *json.Decoder, depth int) (any, error) {
	if depth > deepest {
		return nil, fmt.Errorf("more than %d tables and lists are within each other", deepest)
	}
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch t := t.(type) {
	case json.Delim:
		if t == '[' {
			list := []any{}
			for d.More() {
				v, err := readJSON(d, depth+1)
				if err != nil {
					return nil, err
				}
				list = append(list, v)
			}
			_, err = d.Token()
			return list, err
		}
		table := map[string]any{}
		for d.More() {
			k, err := d.Token()
			if err != nil {
				return nil, err
			}
			name, _ := k.(string) // the decoder takes nothing else there
			if _, twice := table[name]; twice {
				return nil, fmt.Errorf("%q comes twice", name)
			}
			if table[name], err = readJSON(d, depth+1); err != nil {
				return nil, err
			}
		}
		_, err = d.Token()
		return table, err
	case json.Number:
		if n, err := t.Int64(); err == nil {
			return n, nil
		}
		return t.Float64()
	}
	return t, nil
}
