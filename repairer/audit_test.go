package repairer_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"github.com/prometheus/client_golang/prometheus"

	gliav1 "glia/api/glia/v1"
	"glia/api/glia/v1/gliav1connect"
	"glia/config"
	"glia/internal/access"
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

// What somebody asks for over the API stands in the chain with the proof of who that was, whatever name was given.
func TestService_ProvenCallerStandsInTheLog(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *repairer.Options) { o.Mode = repairer.ModePropose })
	_, h := gliav1connect.NewRepairServiceHandler(repairer.NewService(w.engine, w.tickets))
	guard := access.New(access.Options{Access: config.Access{Others: config.RoleDestroy, Requests: 100, Streams: 10}, Program: "repairer", Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry()})
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{{Subject: pkix.Name{CommonName: "bob"}}}}
		r.Header.Set(access.RequestID, "r-1")
		guard.Handler(h).ServeHTTP(rw, r)
	}))
	t.Cleanup(s.Close)
	api := gliav1connect.NewRepairServiceClient(s.Client(), s.URL)
	w.fail("node-1", "2")
	c := w.phase("N1S2", repairer.PhaseAwaitingApproval)
	if _, err := api.Pause(t.Context(), connect.NewRequest(&gliav1.PauseRequest{Scope: "fleet", Owner: "ann", Reason: "test"})); err != nil {
		t.Fatal(err)
	}
	id, err := w.tickets.File(t.Context(), "k", repairer.Ticket{Title: "x", Body: "y"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := api.ResolveTicket(t.Context(), connect.NewRequest(&gliav1.ResolveTicketRequest{Id: id, Person: "ann", Resolution: repairer.Resolutions[0]})); err != nil {
		t.Fatal(err)
	}
	if _, err := api.Cancel(t.Context(), connect.NewRequest(&gliav1.CancelRequest{CaseId: c.ID, Person: "ann", Reason: "test"})); err != nil {
		t.Fatal(err)
	}
	asked := map[repairer.Kind]repairer.Data{}
	err = w.engine.Store.(repairer.Auditor).Export(t.Context(), func(line []byte) error {
		var e repairer.Event
		if err := json.Unmarshal(line, &struct {
			Kind *repairer.Kind
			Data *repairer.Data
		}{&e.Kind, &e.Data}); err != nil {
			return err
		}
		asked[e.Kind] = e.Data
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for kind, want := range map[repairer.Kind]string{repairer.KindPaused: "certificate bob", repairer.KindCancel: "certificate bob", repairer.KindResolved: "certificate bob", repairer.KindOpened: ""} {
		if d, ok := asked[kind]; !ok || d.Caller != want || (d.Request == "r-1") != (want != "") {
			t.Errorf("%s has the caller %q and the request %q, want %q", kind, d.Caller, d.Request, want)
		}
	}
	if r, err := w.engine.Store.(repairer.Auditor).Verify(t.Context()); err != nil || r.Problem != "" {
		t.Errorf("the log is not whole: %+v, %v", r, err)
	}
}
