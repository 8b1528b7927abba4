package trial

import (
	"context"
	"time"
)

// Shrink takes events out of a script that breaks a promise, for as long as the same promise is broken
// and for at most the given time. It first takes out large pieces and then ever smaller ones.
func Shrink(ctx context.Context, seed uint64, script []Event, v *Violation, within time.Duration) ([]Event, *Violation) {
	end := time.Now().Add(within)
	if v.Event+1 < len(script) {
		script = script[:v.Event+1]
	}
	for piece := len(script) / 2; piece >= 1; {
		removed := false
		for i := 0; i+piece <= len(script); {
			if time.Now().After(end) || ctx.Err() != nil {
				return script, v
			}
			shorter := append(append([]Event(nil), script[:i]...), script[i+piece:]...)
			got, err := Run(ctx, seed, shorter)
			if err == nil && got.Broken != nil && got.Broken.Invariant == v.Invariant {
				script, v, removed = shorter, got.Broken, true
				continue
			}
			i += piece
		}
		if !removed || piece > 1 {
			piece /= 2
		}
	}
	return script, v
}
