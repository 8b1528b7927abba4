// Package service is what a synapse knows of one service: its backends, and by which rules what was discovered becomes
// what is used. It is pure: it reads no clock, no file and no network.
//
// The meanings are those of Airbnb's synapse 0.18.9, and safer where that one was not: an election without ids has no
// winner, and a list that shrinks suddenly can be made to wait.
package service

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"

	"glia/registry/smartstack"
)

// Backend is one place that serves a service.
type Backend struct {
	Name    string // of the instance; may be empty
	Host    string
	Port    int     // 1 to 65535
	ID      *uint64 // number of its node, by which a leader is elected; nil when it has none
	Weight  *int    // nil when none is announced
	Options string  // haproxy_server_options
	Labels  map[string]string

	Draining bool // it takes no new clients

	ServerID int // id for HAProxy that the registry sets; 0 when it sets none
}

// FromAnnouncement is the backend that an announcement names.
func FromAnnouncement(s smartstack.Service, id *uint64) Backend {
	return Backend{Name: s.Name, Host: s.Host, Port: s.Port, ID: id, Weight: s.Weight, Options: s.Options, Labels: s.Labels, Draining: s.Draining}
}

// key is what tells backends apart.
type key struct {
	host string
	port int
	name string
}

func (b Backend) key() key { return key{b.Host, b.Port, b.Name} }

// Equal says whether two backends are the same in everything.
func (b Backend) Equal(o Backend) bool {
	return b.key() == o.key() && same(b.ID, o.ID) && same(b.Weight, o.Weight) && b.Options == o.Options && b.ServerID == o.ServerID && b.Draining == o.Draining && maps.Equal(b.Labels, o.Labels)
}

func same[T comparable](a, b *T) bool { return a == b || a != nil && b != nil && *a == *b }

// SameSet says whether two lists hold the same backends, in whatever order.
func SameSet(a, b []Backend) bool {
	if len(a) != len(b) {
		return false
	}
	by := make(map[key]Backend, len(a))
	for _, x := range a {
		by[x.key()] = x
	}
	return !slices.ContainsFunc(b, func(x Backend) bool { y, ok := by[x.key()]; return !ok || !x.Equal(y) })
}

// wire has the keys of synapse's file output, in its order; what is not there is null.
type wire struct {
	Name     *string           `json:"name"`
	Host     string            `json:"host"`
	Port     int               `json:"port"`
	ID       *uint64           `json:"id"`
	Weight   *int              `json:"weight"`
	Options  *string           `json:"haproxy_server_options"`
	Labels   map[string]string `json:"labels"`
	ServerID int               `json:"haproxy_server_id,omitempty"`
	Draining bool              `json:"draining,omitempty"` // ours
}

// MarshalJSON writes a backend as synapse's file output does.
func (b Backend) MarshalJSON() ([]byte, error) {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	err := e.Encode(wire{orNull(b.Name), b.Host, b.Port, b.ID, b.Weight, orNull(b.Options), b.Labels, b.ServerID, b.Draining})
	return out.Bytes(), err
}

// UnmarshalJSON reads what MarshalJSON writes.
func (b *Backend) UnmarshalJSON(data []byte) error {
	var w wire
	if err := json.Unmarshal(data, &w); err != nil {
		return err
	}
	*b = Backend{Name: orEmpty(w.Name), Host: w.Host, Port: w.Port, ID: w.ID, Weight: w.Weight, Options: orEmpty(w.Options), Labels: w.Labels, ServerID: w.ServerID, Draining: w.Draining}
	return nil
}

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func orEmpty(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
