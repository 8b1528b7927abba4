//go:build ceph

package osdcase_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	testbed "glia/internal/testbed/ceph"
	"glia/repairer"
)

// Two OSDs that share a disk leave it together and come back on the next one, each with its own weights.
func TestCase_ReplacesADiskOfTwoOSDs(t *testing.T) {
	const host, serial = "h5", "TWO"
	w := newWorld(t, testbed.Options{Hosts: 5, PGs: 32, Size: 2 << 30}, func(c *testbed.Cluster) error {
		d, err := c.Plug(host, "bay0", serial, 4<<30)
		if err != nil {
			return err
		}
		paths, err := d.Divide(1536<<20, 2<<30)
		if err != nil {
			return err
		}
		for i, path := range paths {
			err = errors.Join(err, c.Prepare(t.Context(), host, 5+i, "--data", path))
		}
		return err
	})
	w.ceph("osd", "reweight", "6", "0.75")
	seq, lives := uint64(0), 0
	w.cycle(serial, func(c repairer.Case) {
		if c.Seq != seq && lives < 40 { // each life of the repairer ends with its first entry in the log
			seq, lives = c.Seq, lives+1
			w.begin()
		}
		if len(c.Disk.OSDs) != 2 || c.Plan != nil && c.Plan.Units != 2 {
			t.Fatalf("the case has %+v", c.Disk.OSDs)
		}
		if bad := w.inactive(); len(bad) > 0 {
			t.Errorf("PGs are %v", bad)
		}
	})
	t.Logf("%d lives", lives)
}

// The disk with the DBs of two OSDs fails. Both are made again, on their own disks and with a DB on the new one.
func TestCase_ReplacesADiskThatHasTheDBsOfTwoOSDs(t *testing.T) {
	const host, serial = "h5", "DBS"
	w := newWorld(t, testbed.Options{Hosts: 5, PGs: 32, Size: 2 << 30}, func(c *testbed.Cluster) error {
		db, err := c.Plug(host, "nvme", serial, 4<<30)
		if err != nil {
			return err
		}
		paths, err := db.Divide(1<<30, 1<<30)
		if err != nil {
			return err
		}
		for i, path := range paths {
			data, plugged := c.Plug(host, fmt.Sprintf("bay%d", i), fmt.Sprintf("DATA%d", i), 2<<30)
			if err = errors.Join(err, plugged); err == nil {
				err = c.Prepare(t.Context(), host, 5+i, "--data", data.Device(), "--block.db", path)
			}
		}
		return err
	})
	w.cycle(serial, func(repairer.Case) {
		if bad := w.inactive(); len(bad) > 0 {
			t.Errorf("PGs are %v", bad)
		}
	})
	disks, err := w.scan(t.Context(), host)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range disks {
		for _, o := range d.OSDs {
			if parts := []string{o.DBSerial, o.BlockSerial}; o.Unknown != "" || !slices.Contains(parts, "FRESH") && d.Serial() != "FRESH" {
				t.Errorf("%s tells %+v", d, o)
			}
		}
	}
}
