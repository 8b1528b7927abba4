package hand_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"glia"
	gliav1 "glia/api/glia/v1"
	"glia/nerve/hand"
)

// An attempt fails when its OSD is whole, and the repairer has destroyed that OSD's id since. The next attempt is cut
// short before it has wiped the OSD away: the one after that does not take it for its own.
func TestHand_TakesNoOSDOfAFailedAttemptForTheOneItMakes(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	name := l.attach("NEW", 1, 64*mib)
	label, err := os.ReadFile("../disk/bluestore/testdata/main.bin") // of osd.7, finished
	l.must(err)
	crashed := filepath.Join(l.dir, "crashed")
	fails := errors.New("killed")
	rec := &recorder{run: func(_ context.Context, argv, _ []string) (string, error) {
		words := strings.Join(argv, " ")
		switch {
		case strings.Contains(words, " prepare "):
			l.write(name, 0, string(label))
		case fails != nil: // what a nerve would find that was killed before dd has begun
			l.must(os.CopyFS(crashed, os.DirFS(filepath.Join(l.dir, "state"))))
		default:
			return hand.Linux().Run(context.Background(), argv, []string{"PATH=/usr/bin:/bin"})
		}
		return "", fails
	}}
	opts := l.options(rec)
	opts.Ceph = &hand.Ceph{Prefix: []string{"podman", "exec", "ceph"}}
	h := l.hand(opts)
	o := order(gliav1.Verb_VERB_OSD_PREPARE, "NEW", 1, ofOSDs(glia.OSD{ID: 7, UUID: newUUID, Cluster: cephFSID, Role: glia.RoleBlock, Mode: glia.ModeRaw}))
	o.MinSize = 64 * mib
	for range 2 {
		wantNo(t, finish(t, h, o), failed, "killed")
	}
	opts.StateDir, fails = crashed, nil
	again := l.hand(opts)
	r := finish(t, again, o)
	wantDone(t, r)
	if len(r.Commands) != 2 || !strings.HasPrefix(r.Commands[0], "dd ") || !strings.Contains(r.Output, "osd.7 is "+osdUUID) {
		t.Errorf("ran %q, said %q", r.Commands, r.Output)
	}
}
