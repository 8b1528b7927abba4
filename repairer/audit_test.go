package repairer_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"connectrpc.com/connect"

	gliav1 "glia/api/glia/v1"
	"glia/repairer"
)

func TestService_Audit(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	api := w.serve()
	w.fail("node-1", "2")
	w.phase("N1S2", repairer.PhaseAwaitingReplacement)
	verify := func() *gliav1.VerifyAuditResponse {
		r, err := api.VerifyAudit(t.Context(), connect.NewRequest(&gliav1.VerifyAuditRequest{}))
		if err != nil {
			t.Fatal(err)
		}
		return r.Msg
	}
	r := verify()
	if r.GetEvents() == 0 || r.GetProblem() != "" || r.GetBrokenAt() != 0 {
		t.Fatalf("verify: %v", r)
	}
	stream, err := api.ExportAudit(t.Context(), connect.NewRequest(&gliav1.ExportAuditRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	n := uint64(0)
	for stream.Receive() {
		n++
		var line struct {
			Seq  uint64
			Case string
			Hash string
		}
		if err := json.Unmarshal([]byte(stream.Msg().GetJson()), &line); err != nil || line.Seq != n || line.Case != "c1" || len(line.Hash) != 64 {
			t.Errorf("line %s: %v", stream.Msg().GetJson(), err)
		}
	}
	if err := stream.Err(); err != nil || n != r.GetEvents() {
		t.Errorf("%d lines, %d events, %v", n, r.GetEvents(), err)
	}
	for _, q := range []string{`DROP TRIGGER events_stay`, `UPDATE events SET text = 'nothing happened' WHERE seq = 2`} {
		if _, err := w.store.DB().ExecContext(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	if r := verify(); r.GetEvents() != 1 || r.GetBrokenAt() != 2 || !strings.Contains(r.GetProblem(), "event 2 was changed") {
		t.Errorf("a changed event: %v", r)
	}
}

func TestService_AuditNeedsAChain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *repairer.Options) { o.Store = bare{o.Store} })
	_, err := w.serve().VerifyAudit(context.Background(), connect.NewRequest(&gliav1.VerifyAuditRequest{}))
	wantCode(t, err, connect.CodeUnimplemented, "keeps no hash chain")
}

// bare is a store that can do no more than it must.
type bare struct{ repairer.Store }
