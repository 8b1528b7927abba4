package nerve_test

import (
	"context"
	"errors"
	"testing"

	"connectrpc.com/connect"

	gliav1 "glia/api/glia/v1"
	"glia/nerve"
	"glia/nerve/hand"
)

// answering is a hand that gives one answer.
type answering struct{ err error }

func (answering) Fence(uint64) error { return nil }

func (a answering) Execute(context.Context, *gliav1.Order) (*gliav1.ExecuteResponse, error) {
	return nil, a.err
}

// A hand that takes no orders any more may still be at one: the repairer must not take that for a failed attempt.
func TestService_IsNotAvailableWhileTheHandStops(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]connect.Code{
		hand.ErrClosed:             connect.CodeUnavailable,
		errors.New("disk is full"): connect.CodeInternal,
	} {
		o := newBench("A").options(t.TempDir())
		o.Hand = answering{err}
		n, e := nerve.New(o)
		if e != nil {
			t.Fatal(e)
		}
		if _, e := nerve.NewService(n).Execute(t.Context(), connect.NewRequest(&gliav1.ExecuteRequest{Order: &gliav1.Order{Key: "k"}})); connect.CodeOf(e) != want {
			t.Errorf("%v: got %v, want %s", err, e, want)
		}
	}
}
