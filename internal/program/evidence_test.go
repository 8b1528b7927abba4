package program_test

import (
	"slices"
	"testing"

	"glia"
	"glia/nerve/judge"
)

// What the sources of nerve/disk/probe tell of the kernel, of filesystems and of Ceph, each with its class, is what
// the built-in rules look for. A rule of another class would never see it.
func TestRules_KnowWhatTheSourcesTell(t *testing.T) {
	t.Parallel()
	rules := judge.Default().Rules
	for what, class := range map[string]glia.EvidenceClass{
		"kernel.medium_errors": glia.Media, "kernel.io_errors": glia.Interface, "kernel.link_resets": glia.Interface,
		"kernel.controller_resets": glia.Interface, "kernel.iotmo_cnt": glia.Interface, "kernel.device_state": glia.Interface,
		"fs.readonly": glia.Filesystem, "fs.shutdown": glia.Filesystem, "fs.statfs_errors": glia.Filesystem, "fs.errors": glia.Filesystem,
		"btrfs.io_errors": glia.Filesystem, "btrfs.corruption_errors": glia.Filesystem,
		"md.faulty": glia.Storage, "md.read_errors": glia.Storage, "multipath.failed": glia.Interface,
		"latency.slow": glia.Latency, "osd.read_errors": glia.Storage, "osd.spurious_reads": glia.Interface, "osd.slow_ops": glia.Latency,
	} {
		if !slices.ContainsFunc(rules, func(r judge.Rule) bool { return r.What == what && r.Class == class }) {
			t.Errorf("no rule looks at %s of class %s", what, class)
		}
	}
	// These are for people: they tell of other disks, or of no disk at all.
	for _, what := range []string{"kernel.ioerr_cnt", "md.degraded", "md.mismatches", "volume.full"} {
		if slices.ContainsFunc(rules, func(r judge.Rule) bool { return r.What == what }) {
			t.Errorf("%s must not be judged", what)
		}
	}
}
