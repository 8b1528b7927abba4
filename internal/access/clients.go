package access

import (
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

const (
	burst = 5 // times the calls of a second that may come at once

	// forgetAfter is after which silence a client is forgotten, by when it may call as often as a new one.
	forgetAfter = 10 * time.Minute

	tellEvery = time.Minute // between two lines of the log about refusals to one client
)

// client is what is remembered of one identity.
type client struct {
	limiter *rate.Limiter
	told    rate.Sometimes
	streams atomic.Int64 // open
	seen    time.Time    // guarded by the clients' mutex
}

// clients are those that have called lately. It is safe for concurrent use.
type clients struct {
	limit int // calls a second

	mu    sync.Mutex
	known map[string]*client
	swept time.Time
}

// of is what is remembered of an identity. Those who have no name of their own are one.
func (c *clients) of(who Identity) *client {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.Sub(c.swept) > forgetAfter {
		for name, k := range c.known {
			if now.Sub(k.seen) > forgetAfter && k.streams.Load() == 0 {
				delete(c.known, name)
			}
		}
		c.swept = now
	}
	k := c.known[who.String()]
	if k == nil {
		k = &client{limiter: rate.NewLimiter(rate.Limit(c.limit), burst*c.limit), told: rate.Sometimes{Interval: tellEvery}}
		c.known[who.String()] = k
	}
	k.seen = now
	return k
}
