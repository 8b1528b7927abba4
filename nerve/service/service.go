// Package service watches the services of a host and keeps registries at what it finds, as Airbnb's nerve 0.9.7 does: with the same bytes,
// the same counting of probes, and the same names of nodes.
//
// It guarantees that all checks of a service are asked each time, each with its own deadline, and that what is announced is compared with
// what should be at each round: a report that failed is made again, and a node that somebody removed comes back. One service never
// delays another. What a person has put into maintenance is not announced until its end, also over a restart. It fails by saying so in
// Statuses and trying again; it never ends by itself.
package service

import (
	"context"
	"time"

	"glia/nerve/check"
)

// Place is a registry in which one service is announced. Its methods are called one at a time.
type Place interface {
	// Keep makes the registry show the service as Up or Draining, or not at all while it is Down, for which why is the reason. What is
	// shown already is not written again.
	Keep(ctx context.Context, state State, why string) error
	// Leave takes the announcement back.
	Leave(ctx context.Context) error
}

// Named is a check with what it is called, and how its probes count.
type Named struct {
	Name       string
	Check      check.Check
	Timeout    time.Duration
	Rise, Fall int // at least 1
}

// Service is one service of the host. Two with the same Key are the same in everything.
type Service struct {
	Name     string
	Address  string           // that is announced, for people
	Instance string           // that is announced, for people
	Key      string           // hash of its configuration
	Interval time.Duration    // between the end of a round and the next, give or take a twentieth
	Limit    Limit            // of changes of what is announced
	Checks   []Named          // none: it is up
	Places   map[string]Place // by the name of the place; those of a service that takes over from another are the same ones
}

// Status is what is known of one service.
type Status struct {
	Name, Address, Instance string

	State     State     // by its checks: Unknown, Up or Down
	Since     time.Time // of the state
	Announced State     // Up, Down or Draining; Unknown before the first round
	Reasons   []string  // why it is not announced as up, and which probes failed
	Checks    []CheckStatus
	Places    []PlaceStatus // by name
	HeldBack  int           // changes that the rate limit has held back, or with shadow would have

	Maintenance *Maintenance // in force; nil for none
}

// CheckStatus is what is known of one check.
type CheckStatus struct {
	Name    string
	Up      bool
	Problem string // of the last probe; empty when it passed
}

// PlaceStatus is what is known of one place.
type PlaceStatus struct {
	Name    string
	Problem string // why it does not show what it should; empty when it does
}

// State is what a service is.
type State string

// The states. Unknown is that of one that was not probed yet; it is announced nowhere yet. Draining is only ever announced.
const (
	Unknown  State = "unknown"
	Up       State = "up"
	Down     State = "down"
	Draining State = "draining"
)
