package access_test

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	gliav1 "glia/api/glia/v1"
	"glia/api/glia/v1/gliav1connect"
	"glia/config"
	"glia/internal/access"
	"glia/internal/pki"
)

// talking is a repairer whose watches send what is in chunk until they can not.
type talking struct {
	gliav1connect.UnimplementedRepairServiceHandler
	chunk string
	ended chan error // of each watch
}

func (s talking) mount(mux *http.ServeMux, o ...connect.HandlerOption) {
	mux.Handle(gliav1connect.NewRepairServiceHandler(s, o...))
}

// GetStatus tells how long it may take, and as whom it was asked.
func (s talking) GetStatus(ctx context.Context, _ *connect.Request[gliav1.GetStatusRequest]) (*connect.Response[gliav1.GetStatusResponse], error) {
	at, bounded := ctx.Deadline()
	who, request, _ := access.From(ctx)
	r := &gliav1.GetStatusResponse{Mode: who.String() + " " + request}
	if bounded && time.Until(at) < 10*time.Minute {
		r.Epoch = 1
	}
	return connect.NewResponse(r), nil
}

func (s talking) WatchCase(ctx context.Context, _ *connect.Request[gliav1.WatchCaseRequest], stream *connect.ServerStream[gliav1.WatchCaseResponse]) (err error) {
	defer func() { s.ended <- err }()
	for first := true; first || s.chunk != ""; first = false {
		if err := stream.Send(&gliav1.WatchCaseResponse{Case: &gliav1.Case{Alarm: s.chunk}}); err != nil {
			return err
		}
	}
	<-ctx.Done()
	return ctx.Err()
}

func (b *bed) repairer(r pki.Request) gliav1connect.RepairServiceClient {
	return gliav1connect.NewRepairServiceClient(b.client(r), b.url)
}

func TestGuard_LimitsEachClientByItself(t *testing.T) {
	t.Parallel()
	b := newBed(t, talking{}, func(o *access.Options) { o.Access.Others, o.Access.Requests = config.RoleRead, 1 })
	greedy, other := b.repairer(pki.Request{Name: "greedy"}), b.repairer(pki.Request{Name: "other"})
	status := func(c gliav1connect.RepairServiceClient) error {
		_, err := c.GetStatus(t.Context(), connect.NewRequest(&gliav1.GetStatusRequest{}))
		return err
	}
	var err error
	for range 10_000 {
		if err = status(greedy); err != nil {
			break
		}
	}
	wantRefused(t, err, connect.CodeResourceExhausted, "certificate greedy calls more than 1 times a second", "requests in [access] of repairer.toml")
	if err := status(other); err != nil {
		t.Errorf("another client: %v", err)
	}
	b.wantCounted("RepairService/GetStatus", "rate", 1)
}

func TestGuard_LimitsTheStreamsOfAClient(t *testing.T) {
	t.Parallel()
	s := talking{ended: make(chan error, 10)}
	b := newBed(t, s, func(o *access.Options) { o.Access.Others, o.Access.Streams = config.RoleRead, 2 })
	c := b.repairer(pki.Request{Name: "ann"})
	open := func() (*connect.ServerStreamForClient[gliav1.WatchCaseResponse], context.CancelFunc, error) {
		ctx, cancel := context.WithCancel(t.Context())
		stream, err := c.WatchCase(ctx, connect.NewRequest(&gliav1.WatchCaseRequest{Id: "c1"}))
		if err != nil {
			t.Fatal(err)
		}
		stream.Receive()
		return stream, cancel, stream.Err()
	}
	_, first, err := open()
	_, second, err2 := open()
	defer second()
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	_, third, err := open()
	third()
	wantRefused(t, err, connect.CodeResourceExhausted, "certificate ann has 2 streams open")
	b.wantCounted("RepairService/WatchCase", "streams", 1)
	first()
	<-s.ended
	for { // its place is free once the server has noted that it ended
		_, again, err := open()
		again()
		if err == nil {
			break
		}
	}
}

func TestGuard_EndsAStreamThatNobodyTakes(t *testing.T) {
	t.Parallel()
	noise := make([]byte, 1<<19) // that does not get smaller when it is packed
	_, _ = rand.Read(noise)
	s := talking{chunk: hex.EncodeToString(noise), ended: make(chan error, 10)}
	b := newBed(t, s, func(o *access.Options) { o.Access.Others, o.Send = config.RoleRead, 50*time.Millisecond })
	ctx, hangUp := context.WithCancel(t.Context())
	defer hangUp()
	_, err := b.repairer(pki.Request{Name: "deaf"}).WatchCase(ctx, connect.NewRequest(&gliav1.WatchCaseRequest{Id: "c1"}))
	if err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-s.ended:
		if err == nil {
			t.Error("it ended without an error")
		}
	case <-time.After(time.Minute):
		t.Error("it has not ended")
	}
}

func TestGuard_BoundsAndNamesCalls(t *testing.T) {
	t.Parallel()
	b := newBed(t, talking{}, func(o *access.Options) { o.Access.Others = config.RoleRead })
	c := b.repairer(pki.Request{Name: "ann"})
	for _, tt := range []struct{ sent, want string }{
		{"my-request.7", "my-request.7"},
		{"", ""},
		{"two words", ""},
		{"line\x00", ""},
		{strings.Repeat("x", 65), ""},
	} {
		req := connect.NewRequest(&gliav1.GetStatusRequest{})
		req.Header().Set(access.RequestID, tt.sent)
		r, err := c.GetStatus(t.Context(), req)
		if tt.sent == "line\x00" { // net/http does not even send it
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		id := r.Header().Get(access.RequestID)
		if r.Msg.GetMode() != "certificate ann "+id || tt.want != "" && id != tt.want || tt.want == "" && len(id) != 16 {
			t.Errorf("%q: answered as %q to %q", tt.sent, id, r.Msg.GetMode())
		}
		if r.Msg.GetEpoch() != 1 {
			t.Error("the call may take for ever")
		}
	}
	// A refusal is named as well.
	req := connect.NewRequest(&gliav1.ApproveRequest{})
	req.Header().Set(access.RequestID, "mine")
	_, err := c.Approve(t.Context(), req)
	var ce *connect.Error
	if !asError(err, &ce) || ce.Meta().Get(access.RequestID) != "mine" || len(ce.Details()) != 1 {
		t.Errorf("got %v", err)
	}
	if !strings.Contains(b.log.String(), "request=mine") {
		t.Errorf("the log does not name the request:\n%s", b.log)
	}
}
