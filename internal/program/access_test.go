package program_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	gliav1 "glia/api/glia/v1"
	"glia/api/glia/v1/gliav1connect"
	"glia/config"
	"glia/config/secret"
	"glia/internal/daemon"
	"glia/internal/pki"
	"glia/internal/program/nerved"
	"glia/internal/testbed"
)

// keys is an authority of one test with the certificates that it issues.
type keys struct {
	t   *testing.T
	dir string
	ca  *pki.Authority
}

func newKeys(t *testing.T) keys {
	t.Helper()
	dir := t.TempDir()
	ca, err := pki.Create(dir, "test authority", time.Now(), time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	return keys{t, dir, ca}
}

// issue makes a certificate that is also good for a server on loopback.
func (k keys) issue(r pki.Request) config.TLS {
	k.t.Helper()
	r.Names, r.Until = append(r.Names, "127.0.0.1"), time.Now().Add(time.Hour)
	key := filepath.Join(k.dir, r.Name+".key")
	c := config.TLS{Cert: filepath.Join(k.dir, r.Name+".pem"), Key: secret.MustParse(key), CA: filepath.Join(k.dir, pki.CertFile)}
	i, err := k.ca.Issue(r, time.Now())
	if err == nil {
		err = i.Save(c.Cert, key)
	}
	if err != nil {
		k.t.Fatal(err)
	}
	return c
}

func (k keys) client(r pki.Request) *http.Client {
	k.t.Helper()
	c := k.issue(r)
	creds, err := daemon.LoadTLS(c.Cert, c.Key, c.CA, slog.New(slog.DiscardHandler))
	if err != nil {
		k.t.Fatal(err)
	}
	client := daemon.HTTPClient(creds)
	k.t.Cleanup(client.CloseIdleConnections)
	return client
}

// A real nerve with a real hand, over TLS: only the repairer that it knows by name is obeyed, with the epoch of now,
// and what it orders is done once.
func TestNerve_HandObeysTheRepairerAlone(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	acts := filepath.Join(t.TempDir(), "acts")
	n := config.DefaultNerve()
	n.Host, n.StateDir, n.API.Listen, n.Serf.Bind, n.Serf.RPC = "node-1", t.TempDir(), testbed.Addr(t), testbed.Addr(t), ""
	n.TLS = k.issue(pki.Request{Name: "node-1"})
	n.Access.Others, n.Hand.Repairers = config.RoleRead, []string{"spiffe://example.com/glia/repairer"}
	n.Hand.DrainHook = []string{"sh", "-c", "echo $GLIA_SERIAL >>" + acts}
	n.Resolve("")
	var log testbed.Log
	run(t, func(ctx context.Context, started func()) error {
		return nerved.Run(ctx, n, nerved.Parts{Inventory: noDisks{}, Prober: noDisks{}, Started: started}, slog.New(slog.NewTextHandler(&log, nil)))
	})
	url := "https://" + n.API.Listen
	host := func(r pki.Request) gliav1connect.HostServiceClient {
		return gliav1connect.NewHostServiceClient(k.client(r), url)
	}
	repairer := pki.Request{Name: "repair-1", Role: config.RoleDestroy, Names: []string{"spiffe://example.com/glia/repairer"}}
	drain := func(epoch uint64, key, serial string) *connect.Request[gliav1.ExecuteRequest] {
		return connect.NewRequest(&gliav1.ExecuteRequest{Order: &gliav1.Order{Epoch: epoch, CaseId: "c1", Key: key, Verb: gliav1.Verb_VERB_DRAIN, Serial: serial, Place: "slot 1"}})
	}

	// Everybody else is turned away, whatever the role and the epoch, and leaves no trace in the hand.
	for _, who := range []pki.Request{
		{Name: "ops", Role: config.RoleDestroy},
		{Name: "node-2"},
		{Name: "repairer", Role: config.RoleDestroy, Names: []string{"spiffe://example.com/glia/repairer2"}},
		{Name: "synapse-1", Names: []string{"spiffe://example.com/glia/repairer"}}, // named, and without the role
	} {
		c := host(who)
		_, err := c.Execute(t.Context(), drain(1000, "c1/drain", "A"))
		if connect.CodeOf(err) != connect.CodePermissionDenied || !strings.Contains(err.Error(), "certificate "+who.Name) {
			t.Errorf("%s was answered with %v", who.Name, err)
		}
		if _, err := c.Fence(t.Context(), connect.NewRequest(&gliav1.FenceRequest{Epoch: 1000})); connect.CodeOf(err) != connect.CodePermissionDenied {
			t.Errorf("%s fenced: %v", who.Name, err)
		}
	}
	r := host(repairer)
	until := func(req *connect.Request[gliav1.ExecuteRequest]) *gliav1.ExecuteResponse {
		t.Helper()
		for {
			res, err := r.Execute(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			if res.Msg.GetState() != gliav1.OrderState_ORDER_STATE_RUNNING {
				return res.Msg
			}
		}
	}
	first := until(drain(7, "c1/drain", "A"))
	if first.GetState() != gliav1.OrderState_ORDER_STATE_DONE {
		t.Fatalf("the repairer got %v", first)
	}
	// The same order again is answered from the journal; another one under its key is refused.
	if again := until(drain(7, "c1/drain", "A")); again.GetState() != first.GetState() || !again.GetEndedAt().AsTime().Equal(first.GetEndedAt().AsTime()) {
		t.Errorf("replayed: %v, want %v", again, first)
	}
	if other := until(drain(7, "c1/drain", "B")); other.GetState() != gliav1.OrderState_ORDER_STATE_REFUSED {
		t.Errorf("another order under the key: %v", other)
	}
	// An older epoch is refused, for orders that were done as well.
	for _, req := range []*connect.Request[gliav1.ExecuteRequest]{drain(6, "c2/drain", "A"), drain(6, "c1/drain", "A")} {
		if _, err := r.Execute(t.Context(), req); connect.CodeOf(err) != connect.CodeAborted {
			t.Errorf("epoch 6 got %v", err)
		}
	}
	if got, err := os.ReadFile(acts); err != nil || string(got) != "A\n" {
		t.Errorf("the hook ran for %q, %v; want once", got, err)
	}
	metrics := string(get(t, k.client(pki.Request{Name: "prometheus"}), url+"/metrics"))
	for _, want := range []string{
		`glia_api_refused_total{reason="repairer",verb="HostService/Execute"} 2`,
		`glia_api_refused_total{reason="role",verb="HostService/Execute"} 2`,
		`glia_api_refused_total{reason="epoch",verb="HostService/Execute"} 2`,
		`glia_api_refused_total{reason="order",verb="HostService/Execute"} 1`,
	} {
		if !strings.Contains(metrics, want+"\n") {
			t.Errorf("no %s in the metrics", want)
		}
	}
	if want := `msg=call verb=HostService/Execute by="certificate repair-1"`; !strings.Contains(log.String(), want) || !strings.Contains(log.String(), "outcome=done") {
		t.Errorf("no %s in the log:\n%s", want, &log)
	}
}

func get(t *testing.T, c *http.Client, url string) []byte {
	t.Helper()
	r, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
