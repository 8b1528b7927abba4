package testbed

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"testing"
)

// consulHome is where install.sh unpacks Consul: no package of Debian 12 has it.
const consulHome = "/opt/glia-testbed/consul/usr/bin/consul"

// Consul starts a server of its own datacenter, with sessions as short as one second. The text is a piece of
// configuration in HCL. The test is skipped when Consul is not installed.
func Consul(t testing.TB, hcl string) *Server {
	t.Helper()
	s, _ := newConsul(t, "-bootstrap", "-hcl", hcl)
	s.Start(t)
	return s
}

// Consuls starts n servers of one datacenter.
func Consuls(t testing.TB, n int) []*Server {
	t.Helper()
	var all []*Server
	var args []string
	for i := range n {
		s, gossip := newConsul(t, append([]string{fmt.Sprintf("-bootstrap-expect=%d", n), fmt.Sprintf("-node=testbed-%d", i)}, args...)...)
		args = append(args, "-retry-join="+gossip, "-retry-interval=200ms")
		s.launch(t)
		all = append(all, s)
	}
	for _, s := range all {
		s.await(t)
	}
	return all
}

func newConsul(t testing.TB, args ...string) (s *Server, gossip string) {
	t.Helper()
	binary, err := exec.LookPath("consul")
	if err != nil {
		binary, err = consulHome, need(consulHome)
	}
	if err != nil {
		t.Skipf("Consul: %v", err)
	}
	dir := t.TempDir()
	port, lan := freePort(t), freePort(t)
	s = &Server{Addr: local(port), log: filepath.Join(dir, "log"), argv: append([]string{
		binary, "agent", "-server", "-data-dir=" + filepath.Join(dir, "data"), "-bind=127.0.0.1", "-client=127.0.0.1", "-node=testbed", "-datacenter=lab",
		fmt.Sprintf("-http-port=%d", port), fmt.Sprintf("-server-port=%d", freePort(t)), fmt.Sprintf("-serf-lan-port=%d", lan),
		"-serf-wan-port=-1", "-dns-port=-1", "-grpc-port=-1", "-log-level=warn",
		"-hcl", `disable_update_check = true performance { raft_multiplier = 1 } session_ttl_min = "1s" limits { http_max_conns_per_client = 10000 }`,
	}, args...)}
	s.ready = func(ctx context.Context) error { return consulLeads(ctx, s.Addr) }
	s.cleanup(t)
	return s, local(lan)
}

// ConsulTLS starts a server that serves at secure only clients with a certificate.
func ConsulTLS(t testing.TB, c Certs) (s *Server, secure string) {
	t.Helper()
	port := freePort(t)
	return Consul(t, fmt.Sprintf("ports { https = %d } ca_file = %q cert_file = %q key_file = %q verify_incoming_https = true", port, c.CA, c.Cert, c.Key)), local(port)
}

// consulLeads returns nil once the server has a leader; before, the first requests would fail.
func consulLeads(ctx context.Context, addr string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/v1/status/leader", nil)
	if err != nil {
		return err
	}
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = r.Body.Close() }()
	b, err := io.ReadAll(r.Body)
	if err == nil && (r.StatusCode != http.StatusOK || len(b) < 4) {
		err = fmt.Errorf("no leader yet: %s", b)
	}
	return err
}
