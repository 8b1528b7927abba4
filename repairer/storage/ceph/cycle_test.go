//go:build ceph

package ceph_test

import (
	"slices"
	"strings"
	"testing"

	testbed "glia/internal/testbed/ceph"
)

func TestDriver_DrainsAndRejoinsUnderTheSameID(t *testing.T) {
	b := newBed(t, testbed.Options{Hosts: 5, PGs: 32}, nil)
	before := b.tree(3)
	c := b.open(3)
	if r := b.driver.Check(t.Context(), *c, "", nil); len(r) > 0 {
		t.Fatalf("refused: %v", r)
	}
	b.carry(c, "note", "drain")
	b.verify()
	if after := b.tree(3); after != strings.Replace(before, "up 1.00000", "up 0", 1) {
		t.Errorf("drained, but %s, was %s", after, before)
	}
	b.carry(c, "stop")
	if r := b.driver.Check(t.Context(), *c, "destroy", nil); len(r) > 0 {
		t.Errorf("destroy refused: %v", r)
	}
	b.carry(c, "destroy", "deactivate")
	b.verify()
	b.swap(c)
	b.carry(c, "burn-in", "prepare", "activate", "ramp", "refill")
	b.verify()
	if after := b.tree(3); after != before {
		t.Errorf("osd.3 is %s, was %s", after, before)
	}
	want := []string{"OSD_STOP", "OSD_DEACTIVATE", "BURN_IN", "OSD_PREPARE", "OSD_ACTIVATE"}
	if !slices.Equal(b.acts, want) {
		t.Errorf("the hand was ordered %q", b.acts)
	}
	if flags := b.ceph("osd", "dump"); strings.Contains(flags, "noin") {
		t.Errorf("a flag is left:\n%s", flags)
	}
}
