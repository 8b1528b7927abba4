//go:build ceph

package ceph_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	testbed "glia/internal/testbed/ceph"
	"glia/repairer/storage/ceph"
)

// What the user may do is shown by all other tests here, which run as it.
func TestUser_MayNotDoMoreThanTheDriverDoes(t *testing.T) {
	c := testbed.For(t, testbed.Options{Hosts: 3, PGs: 8, Size: 1 << 30})
	conn := connect(t, c)
	for _, cmd := range []ceph.Command{
		{"prefix": "osd set", "key": "noout"},
		{"prefix": "osd unset", "key": "noout"},
		{"prefix": "osd set-group", "flags": "noout", "who": []string{"osd.1"}},
		{"prefix": "osd purge-new", "id": 1, "yes_i_really_mean_it": true},
		{"prefix": "osd crush rm", "name": "osd.1"},
		{"prefix": "osd pool delete", "pool": "data", "pool2": "data", "yes_i_really_really_mean_it": true},
		{"prefix": "auth ls"},
		{"prefix": "auth get", "entity": "client.admin"},
		{"prefix": "config set", "who": "mon", "name": "mon_allow_pool_delete", "value": "true"},
	} {
		_, err := conn.Mon(t.Context(), cmd, nil)
		var said *ceph.CommandError
		if !errors.As(err, &said) || said.Errno != 13 || !strings.Contains(err.Error(), "lacks a capability") {
			t.Errorf("%s: %v", cmd, err)
		}
	}
	for _, cmd := range []ceph.Command{{"prefix": "osd purge", "id": 1, "force": true}, {"prefix": "pg repair", "pgid": "1.0"}} {
		if _, err := conn.Mgr(t.Context(), cmd); err == nil {
			t.Errorf("%s is allowed", cmd)
		}
	}
	if _, err := conn.Mgr(t.Context(), ceph.Command{"prefix": "osd destroy", "id": 1}); err == nil {
		t.Error("an OSD that is up and full of PGs was destroyed")
	}

	dir := t.TempDir()
	getsItsCapabilitiesBack(t, c, filepath.Join(dir, "glia"))
	waitsForTheManager(t, c)
	wrong := filepath.Join(dir, "wrong")
	if err := os.WriteFile(wrong, []byte("[client.glia]\n\tkey = AQBSdFhcAAAAABAAVb0vZ3Yb3VYb3Yb3VYb3Yw==\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	silent := filepath.Join(dir, "silent.conf") // nobody listens on the discard port
	if err := os.WriteFile(silent, []byte("[global]\nmon host = [v2:127.0.0.1:9]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	mute, err := net.Listen("tcp", "127.0.0.1:0") // takes connections, by its backlog, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = mute.Close() })
	slow := filepath.Join(dir, "slow.conf")
	if err := os.WriteFile(slow, fmt.Appendf(nil, "[global]\nmon host = [v2:%s]\n", mute.Addr()), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		access ceph.Access
		want   string
	}{
		{"a wrong key", ceph.Access{Conf: c.Conf, User: "glia", Keyring: wrong}, "does not accept the key in " + wrong},
		{"no keyring", ceph.Access{Conf: c.Conf, User: "glia", Keyring: filepath.Join(dir, "none")}, "its key is not found in"},
		{"no configuration", ceph.Access{Conf: filepath.Join(dir, "none"), User: "glia"}, "read " + filepath.Join(dir, "none")},
		{"a monitor that says nothing", ceph.Access{Conf: slow, User: "glia", Keyring: wrong}, "the cluster does not answer"},
		{"monitors that do not answer", ceph.Access{Conf: silent, User: "glia", Keyring: wrong}, "the cluster does not answer"},
	} {
		tt.access.Timeout = 2 * time.Second
		start := time.Now()
		conn, err := ceph.Connect(tt.access)
		if err == nil {
			_, err = conn.Mon(t.Context(), ceph.Command{"prefix": "status"}, nil)
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) || time.Since(start) > 20*time.Second {
			t.Errorf("%s: %v after %s, want %q", tt.name, err, time.Since(start), tt.want)
		}
		t.Logf("%s: %v after %s", tt.name, err, time.Since(start).Round(10*time.Millisecond))
	}
}

// What the monitors let a client do is settled when it connects. Who was refused connects anew, so that he sees what an
// administrator gives him then.
func getsItsCapabilitiesBack(t *testing.T, c *testbed.Cluster, file string) {
	t.Helper()
	admin, err := ceph.Connect(ceph.Access{Conf: c.Conf, User: "admin", Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	keyring, err := ceph.CreateUser(t.Context(), admin, "glia")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(keyring), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Ceph(t.Context(), "auth", "caps", "client.glia", "mon", "allow r", "mgr", "allow r"); err != nil {
		t.Fatal(err)
	}
	conn, err := ceph.Connect(ceph.Access{Conf: c.Conf, User: "glia", Keyring: file, Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	out := ceph.Command{"prefix": "osd reweight", "id": 1, "weight": ceph.Weight(1)}
	if _, err := conn.Mon(t.Context(), out, nil); err == nil || !strings.Contains(err.Error(), "lacks a capability") {
		t.Fatalf("with next to no capabilities: %v", err)
	}
	if _, err := ceph.CreateUser(t.Context(), admin, "glia"); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Mon(t.Context(), out, nil); err != nil {
		t.Errorf("with its capabilities again: %v", err)
	}
}

// A question that has waited for the manager for longer than librados waits for the monitors is still there when the manager
// is back, and is answered. librados must not have given it up: it would write the answer to where the question was.
func waitsForTheManager(t *testing.T, c *testbed.Cluster) {
	t.Helper()
	const timeout = 10 * time.Second
	conn, err := ceph.Connect(ceph.Access{Conf: c.Conf, User: "admin", Timeout: timeout})
	if err != nil {
		t.Fatal(err)
	}
	ask := func() error {
		_, err := conn.Mgr(t.Context(), ceph.Command{"prefix": "osd df"})
		return err
	}
	if err := ask(); err != nil {
		t.Fatal(err)
	}
	goOn, err := c.PauseMgr()
	if err != nil {
		t.Fatal(err)
	}
	answered := make(chan error, 1)
	go func() { answered <- ask() }()
	early := false
	select {
	case err = <-answered:
		early = true
	case <-time.After(timeout + time.Second):
	}
	if err := goOn(); err != nil {
		t.Fatal(err)
	}
	if early {
		t.Fatalf("while the manager does nothing: %v", err)
	}
	if err := <-answered; err != nil {
		t.Errorf("when it is back: %v", err)
	}
}
