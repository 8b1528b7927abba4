package cephcmd_test

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"glia/internal/cephcmd"
	"glia/internal/cli"
	"glia/repairer/storage/ceph"
)

func TestCommand_TellsHowToMakeTheUserByHand(t *testing.T) {
	t.Parallel()
	run := func(args ...string) (string, int) {
		var out bytes.Buffer
		code := cli.Main(context.Background(), append([]string{"ceph"}, args...), cli.Options{Out: &out, Err: &out, Extra: []*cobra.Command{cephcmd.Command()}})
		return out.String(), code
	}
	if out, code := run("create-user", "--print", "--user", "disks"); code != 0 || !strings.HasPrefix(out, "ceph auth get-or-create client.disks mon 'allow r, ") {
		t.Errorf("%d: %s", code, out)
	}
	if ceph.Built {
		return
	}
	if out, code := run("create-user"); code != cli.ExitError || !strings.Contains(out, "built without Ceph") || !strings.Contains(out, "ceph auth get-or-create client.glia") {
		t.Errorf("%d: %s", code, out)
	}
}
