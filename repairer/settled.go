package repairer

import (
	"context"
	"errors"
)

// settleTries is how often a person's word is weighed anew while the case moves on under it.
const settleTries = 20

// settled repeats do while the case has moved on between being read and being written, so that what a
// person asks for is judged by the case as it is.
func settled[T any](ctx context.Context, do func() (T, error)) (out T, err error) {
	for range settleTries {
		if out, err = do(); !errors.Is(err, ErrMoved) || ctx.Err() != nil {
			return out, err
		}
	}
	return out, err
}
