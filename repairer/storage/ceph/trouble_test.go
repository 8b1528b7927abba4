//go:build ceph

package ceph_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	gliav1 "glia/api/glia/v1"
	testbed "glia/internal/testbed/ceph"
	"glia/repairer"
	"glia/repairer/storage/ceph"
)

func (b *bed) refused(c *repairer.Case, step, want string) {
	b.Helper()
	r := b.driver.Check(b.Context(), *c, step, nil)
	if !slices.ContainsFunc(r, func(r repairer.Refusal) bool { return strings.Contains(r.String(), want) }) {
		b.Errorf("want a refusal about %q, got %v", want, r)
	}
	b.Logf("refused: %v", r)
}

func TestDriver_WaitsForFlagsManagerAndQuorumAndGoesBackExactly(t *testing.T) {
	b := newBed(t, testbed.Options{Hosts: 5, PGs: 32}, func(s *ceph.Settings) { s.Pacing.PGs = 3 })
	b.ceph("osd", "reweight", "2", "0.95")
	if err := b.cluster.WaitClean(t.Context()); err != nil {
		t.Log(err) // PGs that the change does not concern report no new epoch
	}
	before := b.tree(2)
	c := b.open(2)
	b.carry(c, "note")
	b.until(c, "drain", "under way", func(p repairer.Progress) bool { return b.tree(2) != before })

	for _, flag := range []string{"noout", "nobackfill", "norebalance"} {
		b.ceph("osd", "set", flag)
		b.until(c, "drain", "waiting for "+flag, waitsFor(flag))
		at := b.tree(2)
		for range 5 {
			b.once(c, "drain")
		}
		if b.tree(2) != at {
			t.Errorf("the weight went on from %s to %s under %s", at, b.tree(2), flag)
		}
		b.refused(c, "", flag)
		if !strings.Contains(b.ceph("osd", "dump"), flag) {
			t.Errorf("%s was cleared", flag)
		}
		b.ceph("osd", "unset", flag)
		b.until(c, "drain", "going on", func(p repairer.Progress) bool { return p.Waits == "" && (flag != "noout" || b.tree(2) != at) })
	}

	if err := errors.Join(b.cluster.KillOSD(t.Context(), 4), b.cluster.WaitDown(t.Context(), 4)); err != nil {
		t.Fatal(err)
	}
	b.until(c, "drain", "waiting for osd.4", waitsFor("osd.4 down"))
	if err := b.cluster.StartOSD(4); err != nil {
		t.Fatal(err)
	}
	b.until(c, "drain", "going on", func(p repairer.Progress) bool { return p.Waits == "" })

	if err := b.cluster.StopMgr(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.until(c, "drain", "waiting for the manager", func(p repairer.Progress) bool {
		return strings.Contains(p.Waits, "does not answer") || strings.Contains(p.Waits, "manager")
	})
	b.refused(c, "destroy", "cluster")
	if p := b.once(c, "destroy"); p.Done || p.Waits == "" {
		t.Errorf("destroy without a manager: %+v", p)
	}
	if err := b.cluster.StartMgr(); err != nil {
		t.Fatal(err)
	}
	b.until(c, "drain", "going on", func(p repairer.Progress) bool { return p.Waits == "" })

	if err := b.cluster.StopMon(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.until(c, "drain", "waiting for the monitors", waitsFor("does not answer"))
	b.ahead = 20 * time.Minute // for which there was no quorum
	for _, step := range []string{"drain", "destroy"} {
		if p := b.once(c, step); p.Done || p.Refused != "" || !strings.Contains(p.Waits, "does not answer") {
			t.Errorf("%s after 20 minutes without a quorum: %+v", step, p)
		}
	}
	b.refused(c, "", "not known")
	if err := b.cluster.StartMon(); err != nil {
		t.Fatal(err)
	}
	b.restart() // and killed, on top
	b.until(c, "drain", "going on", func(p repairer.Progress) bool { return p.Waits == "" })

	b.carry(c, "start-old", "restore-weights")
	if after := b.tree(2); after != before {
		t.Errorf("restored to %s, was %s", after, before)
	}
	if len(b.acts) > 0 {
		t.Errorf("the hand was ordered %q", b.acts)
	}
	b.verify()
}

func TestDriver_TakesADeadOSDOutAndGivesALostIDBack(t *testing.T) {
	b := newBed(t, testbed.Options{Hosts: 5, PGs: 32}, nil)
	before := b.tree(1)
	c := b.open(1)
	if err := errors.Join(b.cluster.KillOSD(t.Context(), 1), b.cluster.WaitDown(t.Context(), 1)); err != nil {
		t.Fatal(err)
	}
	b.until(c, "note", "done", done)
	if r := b.driver.Check(t.Context(), *c, "", nil); len(r) > 0 && !strings.Contains(r[0].Value, "peering") && !strings.Contains(r[0].Value, "stale") {
		t.Errorf("a dead OSD is refused: %v", r)
	}
	b.carry(c, "drain", "stop", "destroy", "deactivate")
	b.verify()
	b.swap(c)

	// What ceph-volume does when it can not make the OSD.
	b.fail[gliav1.Verb_VERB_OSD_PREPARE] = func() error {
		b.fail[gliav1.Verb_VERB_OSD_PREPARE] = nil
		if _, err := b.cluster.Ceph(t.Context(), "osd", "new", "11111111-2222-4333-8444-555555555555", "1"); err != nil {
			return err
		}
		if _, err := b.cluster.Ceph(t.Context(), "osd", "purge-new", "1", "--yes-i-really-mean-it"); err != nil {
			return err
		}
		return errors.New("create bluestore: input/output error")
	}
	b.until(c, "prepare", "failed", waitsFor("input/output error"))
	if b.tree(1) != "" {
		t.Fatalf("the id is still there: %s", b.tree(1))
	}
	b.carry(c, "prepare", "activate", "ramp", "refill")
	b.verify()
	if after := b.tree(1); after != before {
		t.Errorf("osd.1 is %s, was %s", after, before)
	}
}

func TestDriver_RefusesAFullClusterAndAnIDInOtherHands(t *testing.T) {
	b := newBed(t, testbed.Options{Hosts: 4, PGs: 16}, func(s *ceph.Settings) { s.Policy.Allow = []string{"OSD_NEARFULL", "OSD_BACKFILLFULL"} })
	c := b.open(0)
	if r := b.driver.Check(t.Context(), *c, "", nil); len(r) > 0 {
		t.Fatalf("refused: %v", r)
	}
	b.ceph("osd", "set-nearfull-ratio", "0.10")
	b.ceph("osd", "set-backfillfull-ratio", "0.15")
	b.restart()
	b.refused(c, "", "would become")
	b.ceph("osd", "set-backfillfull-ratio", "0.9")

	other := *c
	other.Disk.OSDs = slices.Clone(c.Disk.OSDs)
	other.Disk.OSDs[0].UUID = "99999999-2222-4333-8444-555555555555"
	b.restart()
	b.refused(&other, "", "the disk has 99999999")
	if p := b.once(&other, "drain"); !strings.Contains(p.Refused, "used its id again") {
		t.Errorf("drain of another OSD: %+v", p)
	}
	if p := b.once(&other, "destroy"); !strings.Contains(p.Refused, "used its id again") {
		t.Errorf("destroy of another OSD: %+v", p)
	}
	gone := *c
	gone.Disk.OSDs = slices.Clone(c.Disk.OSDs)
	gone.Disk.OSDs[0].ID = 77
	b.refused(&gone, "", "not in the OSD map")
	if p := b.once(&gone, "destroy"); !strings.Contains(p.Refused, "gone from the OSD map") {
		t.Errorf("destroy of an id that does not exist: %+v", p)
	}

	busy := *c
	busy.ID = "another"
	busy.Disk.OSDs = slices.Clone(c.Disk.OSDs)
	busy.Disk.OSDs[0].ID = 3
	r := b.driver.Check(t.Context(), *c, "", []repairer.Case{busy})
	if len(r) == 0 || !strings.Contains(r[0].Value, "being emptied") {
		t.Errorf("a second drain is not held back: %v", r)
	}
	before := b.tree(0)
	if p := b.once(c, "destroy"); p.Done || !strings.Contains(p.Waits, "is up") {
		t.Errorf("destroy of an OSD that is up: %+v", p)
	}
	if b.tree(0) != before {
		t.Errorf("osd.0 is %s, was %s", b.tree(0), before)
	}
}
