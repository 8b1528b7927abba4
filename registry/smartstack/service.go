// Package smartstack reads and writes the announcements of services as Airbnb's nerve 0.9.7 writes and its synapse
// 0.18.9 reads them in ZooKeeper, so that old and new sidecars can be mixed. It does no I/O.
//
// Encode guarantees the bytes of nerve: the same keys in the same order, without space. Decode takes what nerve,
// its path encoding, go-nerve and Aurora's server sets write, ignores what it does not know, and refuses what could
// not be connected to. A refusal is an error about that one announcement.
package smartstack

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Service is one announced backend.
type Service struct {
	Host    string
	Port    int    // 1 to 65535
	Name    string // of the instance; may be empty
	Weight  *int   // nil when none is announced; never negative
	Options string // haproxy_server_options
	Labels  map[string]string

	// Down says that it is announced as not available: go-nerve does so on request.
	Down bool

	// Draining says that it takes no new clients and serves those that it has. The key that says so is of our own, and others ignore
	// it; for them its weight is 0, which a synapse with use_nerve_weights heeds, and its options end in "weight 0", which every other
	// one that knows options puts last on the line of the server, where HAProxy heeds it. That costs such a synapse a reload at the
	// beginning and the end. Options here are without it.
	Draining bool
}

// noClients is what tells HAProxy on the line of a server that it takes no new clients.
const noClients = "weight 0"

// Encode writes a service as nerve does. Down can not be written: nerve removes the node of a service that is down.
func Encode(s Service) ([]byte, error) {
	switch {
	case s.Down:
		return nil, errors.New("a service that is down has no announcement")
	case s.Host == "":
		return nil, errors.New("service has no host")
	case s.Port < 1 || s.Port > math.MaxUint16:
		return nil, fmt.Errorf("service on %s: port %d is not 1 to 65535", s.Host, s.Port)
	case s.Weight != nil && *s.Weight < 0:
		return nil, fmt.Errorf("service on %s: weight %d is negative", s.Host, *s.Weight)
	}
	if s.Draining {
		s.Weight = new(int)
		if s.Options != "" {
			s.Options += " "
		}
		s.Options += noClients
	}
	var b bytes.Buffer
	b.WriteString(`{"host":` + quote(s.Host) + `,"port":` + strconv.Itoa(s.Port) + `,"name":` + quote(s.Name))
	if s.Weight != nil {
		b.WriteString(`,"weight":` + strconv.Itoa(*s.Weight))
	}
	if s.Options != "" {
		b.WriteString(`,"haproxy_server_options":` + quote(s.Options))
	}
	if len(s.Labels) > 0 {
		sep := `,"labels":{`
		for _, k := range slices.Sorted(maps.Keys(s.Labels)) {
			b.WriteString(sep + quote(k) + ":" + quote(s.Labels[k]))
			sep = ","
		}
		b.WriteString("}")
	}
	if s.Draining {
		b.WriteString(`,"draining":true`)
	}
	b.WriteString("}")
	return b.Bytes(), nil
}

// quote writes a string as Ruby's JSON.generate does: only quotes, backslashes and control characters are escaped.
func quote(s string) string {
	const hex = "0123456789abcdef"
	out := []byte{'"'}
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			out = append(out, '\\', byte(r))
		case r == '\b':
			out = append(out, `\b`...)
		case r == '\f':
			out = append(out, `\f`...)
		case r == '\n':
			out = append(out, `\n`...)
		case r == '\r':
			out = append(out, `\r`...)
		case r == '\t':
			out = append(out, `\t`...)
		case r < ' ':
			out = append(out, `\u00`...)
			out = append(out, hex[r>>4], hex[r&15])
		default:
			out = utf8.AppendRune(out, r)
		}
	}
	return string(append(out, '"'))
}

// wire is what may be in a node. Fields of a type that synapse would not use are ignored, hence raw.
type wire struct {
	Host      json.RawMessage            `json:"host"`
	Port      json.RawMessage            `json:"port"`
	Name      json.RawMessage            `json:"name"`
	Weight    json.RawMessage            `json:"weight"`
	Options   json.RawMessage            `json:"haproxy_server_options"`
	Labels    json.RawMessage            `json:"labels"`
	Available json.RawMessage            `json:"available"` // go-nerve
	Draining  json.RawMessage            `json:"draining"`  // ours
	Endpoint  *wire                      `json:"serviceEndpoint"`
	Others    map[string]json.RawMessage `json:"additionalEndpoints"`
	Status    json.RawMessage            `json:"status"`
}

// Decode reads the data of a node. Of a server set it takes the endpoint of that name, or the main one when the name is
// empty.
func Decode(data []byte, endpoint string) (Service, error) {
	var w wire
	if err := json.Unmarshal(data, &w); err != nil {
		return Service{}, fmt.Errorf("no announcement of a service: %w", err)
	}
	if w.Endpoint != nil {
		return w.serverSet(endpoint)
	}
	return w.service()
}

func (w *wire) service() (s Service, err error) {
	if s.Host = text(w.Host); s.Host == "" {
		return Service{}, fmt.Errorf("service has no host: it is %s", orNothing(w.Host))
	}
	if s.Port, err = port(w.Port); err != nil {
		return Service{}, fmt.Errorf("service on %s: %w", s.Host, err)
	}
	s.Name, s.Options = text(w.Name), text(w.Options)
	if n, err := strconv.Atoi(string(w.Weight)); err == nil && n >= 0 {
		s.Weight = &n
	}
	var labels map[string]json.RawMessage
	if json.Unmarshal(w.Labels, &labels) == nil {
		for k, v := range labels {
			var t string
			if json.Unmarshal(v, &t) != nil {
				continue
			}
			if s.Labels == nil {
				s.Labels = map[string]string{}
			}
			s.Labels[k] = t
		}
	}
	s.Down, s.Draining = string(w.Available) == "false", string(w.Draining) == "true"
	if s.Draining {
		s.Weight = new(int)
		if s.Options == noClients {
			s.Options = ""
		}
		s.Options = strings.TrimSuffix(s.Options, " "+noClients)
	}
	return s, nil
}

// serverSet reads what Aurora and Finagle write. A member that is not alive is down.
func (w *wire) serverSet(endpoint string) (Service, error) {
	from := w.Endpoint
	if endpoint != "" {
		raw, ok := w.Others[endpoint]
		from = new(wire)
		if !ok || json.Unmarshal(raw, from) != nil {
			return Service{}, fmt.Errorf("server set has no endpoint %q", endpoint)
		}
	}
	s, err := from.service()
	s.Down = err == nil && text(w.Status) != "ALIVE"
	return s, err
}

// text is the string of a value; empty when it is something else.
func text(raw json.RawMessage) (s string) {
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

// port reads an integer, or a string of digits as nerve writes when its configuration has one.
func port(raw json.RawMessage) (int, error) {
	digits := string(raw)
	if s := text(raw); s != "" {
		digits = s
	}
	n, err := strconv.ParseUint(digits, 10, 16)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("port %s is not 1 to 65535", orNothing(raw))
	}
	return int(n), nil
}

func orNothing(raw json.RawMessage) string {
	if len(raw) == 0 {
		return "missing"
	}
	return string(raw[:min(len(raw), 40)])
}
