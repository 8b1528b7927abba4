package repairer_test

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"github.com/prometheus/client_golang/prometheus"

	"glia"
	gliav1 "glia/api/glia/v1"
	"glia/api/glia/v1/gliav1connect"
	"glia/config"
	"glia/internal/access"
	"glia/internal/sim"
	"glia/repairer"
)

// twoPersons is a world in mode propose in which two persons must approve, with a failed disk.
func twoPersons(t *testing.T) (*world, gliav1connect.RepairServiceClient, repairer.Case) {
	w := newWorld(t, func(o *repairer.Options) {
		o.Pools = []repairer.Pool{{Name: "two", Hosts: []string{"node-*"}, Mode: repairer.ModePropose, Approvals: 2}}
	})
	w.fail("node-1", "2")
	return w, w.serve(), w.phase("N1S2", repairer.PhaseAwaitingApproval)
}

func approveAs(t *testing.T, api gliav1connect.RepairServiceClient, c repairer.Case, person, osUser string) error {
	t.Helper()
	_, err := api.Approve(t.Context(), connect.NewRequest(&gliav1.ApproveRequest{CaseId: c.ID, PlanHash: c.Plan.Hash(), Person: person, OsUser: osUser}))
	return err
}

func TestService_TwoPersonsMustApprove(t *testing.T) {
	t.Parallel()
	w, api, c := twoPersons(t)
	if err := approveAs(t, api, c, "ann", "ann"); err != nil {
		t.Fatal(err)
	}
	wantCode(t, approveAs(t, api, c, " Ann ", "root"), connect.CodeFailedPrecondition, "was approved by ann already, and 1 more person must approve it")
	wantCode(t, approveAs(t, api, c, "bob", "ann"), connect.CodeFailedPrecondition, "already, as user ann")
	w.ticks(10)
	if c, _ = w.store.LastCase(t.Context(), "N1S2"); c.Started || !strings.Contains(c.WaitingFor(), "is approved by ann, and 1 more person must approve it") {
		t.Fatalf("started %t, waiting for %s", c.Started, c.WaitingFor())
	}
	s, err := api.GetStatus(t.Context(), connect.NewRequest(&gliav1.GetStatusRequest{}))
	if err != nil || s.Msg.GetOpenCases()[0].GetApprovalsMissing() != 1 || s.Msg.GetOpenCases()[0].GetApprovals()[0].GetPerson() != "ann" {
		t.Errorf("status %v, %v", s, err)
	}
	why, err := api.Explain(t.Context(), connect.NewRequest(&gliav1.ExplainRequest{Serial: "N1S2"}))
	if lines := strings.Join(why.Msg.GetLines(), "\n"); err != nil || !strings.Contains(lines, "is approved by ann, and 1 more person must approve it") || !strings.Contains(lines, "The mode is propose (pool two)") {
		t.Errorf("why: %s, %v", lines, err)
	}
	if err := approveAs(t, api, c, "bob", "bob"); err != nil {
		t.Fatal(err)
	}
	c = w.phase("N1S2", repairer.PhaseAwaitingReplacement)
	if tk, _ := w.tickets.Ticket(t.Context(), c.Ticket); !strings.Contains(tk.Body, "approved by ann and bob") {
		t.Errorf("the ticket does not say who approved:\n%s", tk.Body)
	}
}

func TestService_ApprovalIsWithdrawn(t *testing.T) {
	t.Parallel()
	w, api, c := twoPersons(t)
	withdraw := func(person, reason string) error {
		_, err := api.WithdrawApproval(t.Context(), connect.NewRequest(&gliav1.WithdrawApprovalRequest{CaseId: c.ID, Person: person, Reason: reason}))
		return err
	}
	if err := approveAs(t, api, c, "ann", ""); err != nil {
		t.Fatal(err)
	}
	wantCode(t, withdraw("bob", "r"), connect.CodeFailedPrecondition, "bob has not approved")
	wantCode(t, withdraw("ann", ""), connect.CodeInvalidArgument, "a person and a reason")
	if err := withdraw("ann", "another look first"); err != nil {
		t.Fatal(err)
	}
	if err := approveAs(t, api, c, "bob", ""); err != nil {
		t.Fatal(err)
	}
	w.ticks(10)
	if c, _ = w.store.LastCase(t.Context(), "N1S2"); c.Started {
		t.Fatal("started by one person")
	}
	if err := approveAs(t, api, c, "ann", ""); err != nil {
		t.Fatal(err)
	}
	w.phase("N1S2", repairer.PhaseAwaitingReplacement)
	wantCode(t, withdraw("ann", "too late"), connect.CodeFailedPrecondition, "glia cancel")
}

// Approvals that lapsed do not come back with the facts that they were given for.
func TestService_ApprovalsLapseForGood(t *testing.T) {
	t.Parallel()
	w, api, c := twoPersons(t)
	if err := approveAs(t, api, c, "ann", ""); err != nil {
		t.Fatal(err)
	}
	mount := func(target string) repairer.Case {
		was := ""
		if last, err := w.store.LastCase(t.Context(), "N1S2"); err == nil {
			was = last.Plan.Hash()
		}
		w.fleet.Do("node-1", func(h *sim.Host) { h.Slots["2"].Mounted = target })
		return w.until("N1S2", "planned anew", func(n repairer.Case) bool {
			return n.Plan.Hash() != was && n.Phase == repairer.PhaseAwaitingApproval
		})
	}
	old := c.Plan.Disk.Mounts[0].Target
	mount("/elsewhere")
	if c = mount(old); c.Plan.Disk.Mounts[0].Target != old || len(c.Approvals) > 0 {
		t.Fatalf("mounted on %s, approvals %v", c.Plan.Disk.Mounts[0].Target, c.Approvals)
	}
	if !strings.Contains(w.texts(c), "the approval of ann has lapsed") {
		t.Error("the log does not say that the approval has lapsed")
	}
	if err := approveAs(t, api, c, "bob", ""); err != nil {
		t.Fatal(err)
	}
	w.ticks(10)
	if c, _ = w.store.LastCase(t.Context(), "N1S2"); c.Started {
		t.Fatal("a lapsed approval counts")
	}
}

// The log decides who counts, so that two calls at the same moment can not count one person twice.
func TestApply_CountsAPersonOnce(t *testing.T) {
	t.Parallel()
	c := repairer.Case{ID: "c1"}
	for _, person := range []string{"ann", "ANN", "bob", "eve"} {
		a := repairer.Approval{Hash: "h", Person: person, Identity: map[string]string{"eve": "user bob", "bob": "user bob"}[person]}
		var err error
		if c, err = repairer.Apply(c, repairer.Event{Case: "c1", Kind: repairer.KindApproved, Data: repairer.Data{Approval: &a}}); err != nil {
			t.Fatal(err)
		}
	}
	if len(c.Approvals) != 2 || c.Approvals[0].Person != "ann" || c.Approvals[1].Person != "bob" {
		t.Errorf("approvals %+v", c.Approvals)
	}
}

// Over TLS the certificate says who it is, whatever name is given.
func TestService_OneCertificateIsOnePerson(t *testing.T) {
	t.Parallel()
	w, _, c := twoPersons(t)
	_, h := gliav1connect.NewRepairServiceHandler(repairer.NewService(w.engine, w.tickets))
	name := ""
	guard := access.New(access.Options{Access: config.Access{Others: config.RoleDestroy, Requests: 100, Streams: 10}, Program: "repairer", Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry()})
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{{Subject: pkix.Name{CommonName: name}}}}
		guard.Handler(h).ServeHTTP(rw, r)
	}))
	t.Cleanup(s.Close)
	api := gliav1connect.NewRepairServiceClient(s.Client(), s.URL)
	name = "ann's key"
	if err := approveAs(t, api, c, "ann", "x"); err != nil {
		t.Fatal(err)
	}
	wantCode(t, approveAs(t, api, c, "bob", "y"), connect.CodeFailedPrecondition, "as certificate ann's key")
	name = "bob's key"
	if err := approveAs(t, api, c, "bob", "x"); err != nil { // the user of the system says nothing beside a certificate
		t.Fatal(err)
	}
	w.phase("N1S2", repairer.PhaseAwaitingReplacement)
}

// destroyer is a driver whose plan takes the disk out by a step that can not be undone.
type destroyer struct{ repairer.Driver }

func (d destroyer) Plan(x glia.Disk) repairer.Plan {
	p := d.Driver.Plan(x)
	for i := range p.Steps {
		if p.Steps[i].Stage == repairer.StageRelease {
			p.Steps[i].Reversible = false
		}
	}
	return p
}

func TestEngine_DestroyingPlanNeedsApprovalsInModeAuto(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *repairer.Options) {
		o.Drivers = map[string]repairer.Driver{"": destroyer{o.Drivers[""]}}
		o.DestroyApprovals = 2
	})
	api := w.serve()
	w.fail("node-1", "2")
	c := w.phase("N1S2", repairer.PhaseAwaitingApproval)
	if c.Plan.Approvals != 2 || c.Plan.ModeWhy != "the plan destroys, destroy_approvals is 2" {
		t.Errorf("plan wants %d approvals: %s", c.Plan.Approvals, c.Plan.ModeWhy)
	}
	for _, who := range []string{"ann", "bob"} {
		if err := approveAs(t, api, c, who, ""); err != nil {
			t.Fatal(err)
		}
	}
	w.phase("N1S2", repairer.PhaseAwaitingReplacement)
}
