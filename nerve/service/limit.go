package service

import "time"

// Limit is how often what is announced of a service may change by its checks. The zero value is no limit.
type Limit struct {
	Rate   float64 // changes each second, on average; 0 is any number
	Burst  int     // at once; at least 1
	Shadow bool    // it is only counted what would be held back
}

// Bucket counts changes against a limit: it holds tokens, which come at the rate up to the burst, and each change takes one. Use NewBucket.
type Bucket struct {
	limit  Limit
	tokens float64
	at     time.Time
}

// NewBucket holds the changes of one second, and one at least, as nerve 0.9.7's.
func NewBucket(l Limit, now time.Time) *Bucket {
	l.Burst = max(l.Burst, 1)
	return &Bucket{limit: l, tokens: min(max(l.Rate, 1), float64(l.Burst)), at: now}
}

// Take says whether a change may be made now.
func (b *Bucket) Take(now time.Time) bool {
	if b.limit.Rate <= 0 {
		return true
	}
	if d := now.Sub(b.at); d > 0 {
		b.tokens = min(b.tokens+d.Seconds()*b.limit.Rate, float64(b.limit.Burst))
		b.at = now
	}
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}
