package testbed

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The files of Debian's rabbitmq-server and erlang-base. What lies in /usr/sbin would become another user in another folder.
const (
	rabbitScript = "/usr/lib/rabbitmq/bin/rabbitmq-server"
	epmdBinary   = "/usr/bin/epmd"
	erlCalls     = "/usr/lib/erlang/erts-*/bin/erl_call"
)

// Broker is a RabbitMQ server.
type Broker struct {
	*Server

	home   string
	caller string // the command erl_call
}

// rabbitNode names the broker among those that ask the same epmd, of which there are none.
const rabbitNode = "testbed@localhost"

// RabbitMQ starts a broker with a home, a cookie and a port mapper of its own. The test is skipped when RabbitMQ is not installed.
func RabbitMQ(t testing.TB) *Broker {
	t.Helper()
	calls, _ := filepath.Glob(erlCalls) // the pattern is right
	if err := need(append(calls, rabbitScript, epmdBinary)...); err != nil || len(calls) == 0 {
		t.Skip("RabbitMQ: ", ErrNotInstalled, err)
	}
	b := &Broker{home: t.TempDir(), caller: calls[0]}
	if err := os.WriteFile(filepath.Join(b.home, ".erlang.cookie"), []byte(rand.Text()), 0o400); err != nil {
		t.Fatal(err)
	}
	mapper := freePort(t)
	epmd := &Server{Addr: local(mapper), log: filepath.Join(t.TempDir(), "log"),
		argv: []string{epmdBinary, "-port", fmt.Sprint(mapper), "-address", "127.0.0.1"}}
	epmd.ready = func(ctx context.Context) error { return accepts(ctx, epmd.Addr) }
	epmd.cleanup(t)
	epmd.Start(t)

	port := freePort(t)
	b.Server = &Server{Addr: local(port), log: filepath.Join(b.home, "log"), argv: []string{rabbitScript}}
	b.ready = func(ctx context.Context) error { return accepts(ctx, b.Addr) }
	b.env = []string{
		"PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8", "HOME=" + b.home, "ERL_EPMD_ADDRESS=127.0.0.1", fmt.Sprintf("ERL_EPMD_PORT=%d", mapper),
		"RABBITMQ_NODENAME=" + rabbitNode, "RABBITMQ_NODE_IP_ADDRESS=127.0.0.1", fmt.Sprintf("RABBITMQ_NODE_PORT=%d", port),
		fmt.Sprintf("RABBITMQ_DIST_PORT=%d", freePort(t)), "RABBITMQ_MNESIA_BASE=" + b.home + "/db", "RABBITMQ_LOG_BASE=" + b.home, "RABBITMQ_LOGS=-",
		"RABBITMQ_ENABLED_PLUGINS_FILE=" + b.home + "/plugins", "RABBITMQ_CONFIG_FILE=" + b.home + "/none", "RABBITMQ_CONF_ENV_FILE=" + b.home + "/none",
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=+S 1:1 -kernel inet_dist_use_interface {127,0,0,1}",
		"RUNNING_UNDER_SYSTEMD=1", // the script becomes the server, and waits for no child
	}
	b.cleanup(t)
	b.Start(t)
	return b
}

// Alarm raises or ends the alarm that the broker has too little memory: it reads nothing more from who publishes.
func (b *Broker) Alarm(t testing.TB, on bool) {
	t.Helper()
	share := "0.9"
	if on {
		share = "{absolute, 1}"
	}
	b.call(t, "vm_memory_monitor:set_vm_memory_high_watermark("+share+")")
}

// User makes a user, with the same word as password, who may configure, write and read in the virtual host / what the pattern names.
func (b *Broker) User(t testing.TB, name, pattern string) {
	t.Helper()
	b.call(t, fmt.Sprintf(`rabbit_auth_backend_internal:add_user(<<%[1]q>>, <<%[1]q>>, <<"test">>)`, name))
	b.call(t, fmt.Sprintf(`rabbit_auth_backend_internal:set_permissions(<<%q>>, <<"/">>, <<%[2]q>>, <<%[2]q>>, <<%[2]q>>, <<"test">>)`, name, pattern))
}

// call calls a function of the broker that is to return ok.
func (b *Broker) call(t testing.TB, function string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), b.caller, "-sname", rabbitNode, "-e")
	cmd.Env, cmd.Dir, cmd.Stdin = b.env, b.home, strings.NewReader(function+".\n")
	if out, err := cmd.CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != "{ok, ok}" {
		t.Fatalf("%s: %v: %s", function, err, out)
	}
}

func accepts(ctx context.Context, addr string) error {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err == nil {
		err = c.Close()
	}
	return err
}
