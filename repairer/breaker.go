package repairer

import (
	"fmt"
	"time"
)

// Breaker stops everything new once it has tripped, until a person resets it. It is kept in the store.
type Breaker struct {
	Tripped bool      `json:"tripped"`
	Why     string    `json:"why,omitempty"`
	Since   time.Time `json:"since,omitzero"`    // of the trip
	ResetAt time.Time `json:"reset_at,omitzero"` // what came before does not trip it again
	ResetBy string    `json:"reset_by,omitempty"`
}

// BreakerLimits say what trips the breaker. A zero figure trips it never.
type BreakerLimits struct {
	Window      time.Duration
	Openings    int // more cases opened within the window
	Starts      int // more cases started within the window
	FalseAlarms int // so many repairs within the window that turned out to be needless
}

// NextBreaker is the breaker after another look. Tripped it stays as it is: see Reset.
func NextBreaker(b Breaker, l BreakerLimits, openings, starts, falseAlarms []time.Time, now time.Time) Breaker {
	if b.Tripped {
		return b
	}
	from := now.Add(-l.Window)
	if b.ResetAt.After(from) {
		from = b.ResetAt
	}
	count := func(times []time.Time) (n int) {
		for _, t := range times {
			if t.After(from) {
				n++
			}
		}
		return n
	}
	trip := func(n int, what string, limit int) Breaker {
		return Breaker{Tripped: true, Why: fmt.Sprintf("%d %s within %s, the limit is %d", n, what, l.Window, limit), Since: now, ResetAt: b.ResetAt, ResetBy: b.ResetBy}
	}
	if n := count(falseAlarms); l.FalseAlarms > 0 && n >= l.FalseAlarms {
		return trip(n, "false alarms", l.FalseAlarms)
	}
	if n := count(starts); l.Starts > 0 && n > l.Starts {
		return trip(n, "cases started", l.Starts)
	}
	if n := count(openings); l.Openings > 0 && n > l.Openings {
		return trip(n, "cases opened", l.Openings)
	}
	return b
}

// Reset closes the breaker on the word of a person.
func (b Breaker) Reset(person, reason string, now time.Time) Breaker {
	return Breaker{ResetAt: now, ResetBy: person + ": " + reason}
}

func gateBreaker(_ Case, f Facts) *Refusal {
	if !f.Breaker.Tripped {
		return nil
	}
	return &Refusal{Gate: GateBreaker, Value: "the breaker has tripped at " + f.Breaker.Since.UTC().Format(time.RFC3339) + ": " + f.Breaker.Why, Limit: "a closed breaker", Until: "glia breaker reset --reason"}
}
