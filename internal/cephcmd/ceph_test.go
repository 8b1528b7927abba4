//go:build ceph

package cephcmd_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	gliav1 "glia/api/glia/v1"
	"glia/api/glia/v1/gliav1connect"
	"glia/internal/cephcmd"
	"glia/internal/cli"
	testbed "glia/internal/testbed/ceph"
)

// glia runs the tool and returns what it prints.
func glia(t *testing.T, args ...string) (string, int) {
	t.Helper()
	var out bytes.Buffer
	code := cli.Main(context.Background(), append([]string{"ceph"}, args...), cli.Options{Out: &out, Err: &out, Extra: []*cobra.Command{cephcmd.Command()}})
	t.Logf("glia ceph %s (%d)\n%s", strings.Join(args, " "), code, &out)
	return out.String(), code
}

// findings are those of a repairer that tells nothing else.
type findings struct {
	gliav1connect.UnimplementedRepairServiceHandler
	say []string
}

func (f *findings) GetStatus(context.Context, *connect.Request[gliav1.GetStatusRequest]) (*connect.Response[gliav1.GetStatusResponse], error) {
	return connect.NewResponse(&gliav1.GetStatusResponse{Findings: f.say}), nil
}

func TestCommand_MakesItsUserAndShowsTheClusterAsIt(t *testing.T) {
	c := testbed.For(t, testbed.Options{Hosts: 4, PGs: 8, Size: 1 << 30})
	dir := t.TempDir()
	key, conf := filepath.Join(dir, "keyring"), filepath.Join(dir, "repairer.toml")
	if out, code := glia(t, "create-user", "--conf", c.Conf, "--write", key); code != 0 || !strings.Contains(out, "client.glia is made") {
		t.Fatalf("%d: %s", code, out)
	}
	first, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	if again, code := glia(t, "create-user", "--conf", c.Conf); code != 0 || again != string(first) {
		t.Errorf("the second time %d: %s", code, again)
	}
	if out, code := glia(t, "create-user", "--conf", c.Conf, "--write", key); code == 0 || !strings.Contains(out, "keyring exists, and may have the key in use") {
		t.Errorf("a file that exists %d: %s", code, out)
	}
	none := filepath.Join(dir, "none")
	if out, code := glia(t, "create-user", "--conf", none, "--write", none+".keyring"); code == 0 || !strings.Contains(out, "read "+none+": no such file") {
		t.Errorf("no configuration %d: %s", code, out)
	}
	if left, _ := filepath.Glob(none + "*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	text := fmt.Sprintf("[[ceph]]\nname = \"test\"\nfsid = %q\nconf = %q\nkeyring = %q\n", c.FSID, c.Conf, key)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, code := glia(t, "status", "--config", conf); code != 0 || !strings.Contains(out, "nothing") || !strings.Contains(out, "test: what the repairer's survey of its disks has found is not known: ") {
		t.Errorf("status %d: %s", code, out)
	}
	if out, code := glia(t, "plan", "osd.1", "--config", conf); code != 0 || !strings.Contains(out, "osd.1 of test may be emptied now") {
		t.Errorf("plan %d: %s", code, out)
	}
	if out, _ := glia(t, "plan", "99", "--config", conf); !strings.Contains(out, "held back: osd.99 is not in the OSD map; ") {
		t.Errorf("plan of no OSD: %s", out)
	}
	if out, code := glia(t, "status", "--config", none); code == 0 || strings.Contains(out, "CLUSTER") {
		t.Errorf("a table of nothing %d: %s", code, out)
	}
	for range 3 {
		if _, err := c.Ceph(t.Context(), "osd", "down", "2"); err != nil {
			t.Fatal(err)
		}
		if err := c.WaitUp(t.Context(), 2); err != nil {
			t.Fatal(err)
		}
	}
	if out, _ := glia(t, "osds", "--config", conf); strings.Count(out, "flapping") != 1 {
		t.Errorf("osds with one that flaps: %s", out)
	}
	found := &findings{say: []string{"cluster test: osd.3 is on no disk", "cluster other: osd.0 is on no disk"}}
	path, handler := gliav1connect.NewRepairServiceHandler(found)
	mux := http.NewServeMux()
	mux.Handle(path, handler)
	server := httptest.NewUnstartedServer(mux)
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)
	if out, code := glia(t, "status", "--config", conf, "--repairer", server.URL); code != 0 || !strings.Contains(out, "test: osd.2 was taken for dead again and again") || !strings.Contains(out, "\ntest: osd.3 is on no disk\n") || strings.Contains(out, "osd.0") {
		t.Errorf("status with findings %d: %s", code, out)
	}
	if _, err := c.Ceph(t.Context(), "osd", "set", "noout"); err != nil {
		t.Fatal(err)
	}
	if out, _ := glia(t, "status", "--config", conf); !strings.Contains(out, "noout") {
		t.Errorf("status with noout: %s", out)
	}
	if out, _ := glia(t, "plan", "1", "--config", conf); !strings.Contains(out, "held back: an operator has set noout") {
		t.Errorf("plan with noout: %s", out)
	}
	out, code := glia(t, "osds", "--config", conf, "-o", "json")
	var osds []struct {
		ID    int    `json:"id"`
		Place string `json:"place"`
	}
	if err := json.Unmarshal([]byte(out), &osds); err != nil || code != 0 || len(osds) != 4 || osds[3].Place != "root=default host=h3" {
		t.Errorf("osds %d, %v: %s", code, err, out)
	}
	wrong := strings.Replace(text, c.FSID, "acb17ac3-8ba2-45a7-a7af-ef5493882225", 1)
	if err := os.WriteFile(conf, []byte(wrong), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, code := glia(t, "status", "--config", conf); code == 0 || !strings.Contains(out, "leads to another one") {
		t.Errorf("another cluster %d: %s", code, out)
	}
}
