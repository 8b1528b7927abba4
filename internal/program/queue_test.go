package program_test

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	gliav1 "glia/api/glia/v1"
	"glia/api/glia/v1/gliav1connect"
)

// TestRepairer_EndsAPauseByItsTimer also finds the timer in the queue's API.
func TestRepairer_EndsAPauseByItsTimer(t *testing.T) {
	t.Parallel()
	a := start(t, filepath.Join(t.TempDir(), "glia.db"))
	queue := gliav1connect.NewQueueServiceClient(http.DefaultClient, a.url)
	pause := func(scope string, length time.Duration) {
		t.Helper()
		m := &gliav1.PauseRequest{Scope: scope, Owner: "ann", Reason: "a moment", Until: timestamppb.New(time.Now().Add(length))}
		if _, err := a.api.Pause(t.Context(), connect.NewRequest(m)); err != nil {
			t.Fatal(err)
		}
	}
	pause("host:node-1", time.Hour)
	list, err := queue.ListQueue(t.Context(), connect.NewRequest(&gliav1.ListQueueRequest{All: true}))
	if err != nil || len(list.Msg.GetTimers()) != 1 || list.Msg.GetTimers()[0].GetKey() != "pause/p1" {
		t.Fatalf("the queue has %v, %v", list, err)
	}
	pause("fleet", 2*time.Second)
	a.until(t, "over", func(*gliav1.GetStatusResponse, error) bool {
		log, err := a.api.ExportAudit(t.Context(), connect.NewRequest(&gliav1.ExportAuditRequest{}))
		if err != nil {
			t.Fatal(err)
		}
		defer log.Close()
		for log.Receive() {
			if strings.Contains(log.Msg().GetJson(), "fleet is no longer paused, as ann has said") {
				return true
			}
		}
		return false
	})
	if _, err := queue.ReplayEvent(t.Context(), connect.NewRequest(&gliav1.ReplayEventRequest{Id: 1, Person: "ann", Reason: "x"})); connect.CodeOf(err) != connect.CodeNotFound {
		t.Errorf("replay of an event that is not dead: %v", err)
	}
	if _, err := queue.DropEvent(t.Context(), connect.NewRequest(&gliav1.DropEventRequest{Id: 1})); connect.CodeOf(err) != connect.CodeInvalidArgument {
		t.Errorf("drop by nobody: %v", err)
	}
}
