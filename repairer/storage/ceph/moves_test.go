//go:build ceph

package ceph_test

import (
	"encoding/json"
	"testing"
	"time"

	testbed "glia/internal/testbed/ceph"
	"glia/repairer"
	"glia/repairer/storage/ceph"
)

// recovered are the bytes that recovery has written in the cluster so far.
func (b *bed) recovered() int64 {
	b.Helper()
	var in struct {
		PGs []struct {
			Sum struct {
				Bytes int64 `json:"num_bytes_recovered"`
			} `json:"stat_sum"`
		} `json:"pg_stats"`
	}
	if err := json.Unmarshal([]byte(b.ceph("pg", "ls", "-f", "json")), &in); err != nil {
		b.Fatal(err)
	}
	var sum int64
	for _, p := range in.PGs {
		sum += p.Sum.Bytes
	}
	return sum
}

// What an operator does in one go, and what the driver does in steps, by turns on one cluster: the same
// data moves, and it takes about as long.
func TestDriver_MovesNoMoreDataThanAnOperator(t *testing.T) {
	b := newBed(t, testbed.Options{Hosts: 5, PGs: 32}, func(s *ceph.Settings) { s.Pacing.PGs = 16 })
	if _, err := b.cluster.Write(t.Context(), "more", 96, 2<<20); err != nil {
		t.Fatal(err)
	}
	c := b.open(2)
	b.carry(c, "note")
	// The driver's own end of a drain says when the operator's is over.
	at, start := b.recovered(), time.Now()
	b.ceph("osd", "out", "2")
	b.until(c, "drain", "emptied by hand", done)
	hand, handTook := b.recovered()-at, time.Since(start)
	b.ceph("osd", "reweight", "2", "1.0")
	again := *c
	again.ID, again.Steps = "again", map[string]repairer.StepState{}
	b.until(&again, "refill", "back", done)

	at, start = b.recovered(), time.Now()
	b.until(&again, "drain", "emptied by the driver", done)
	driver, driverTook := b.recovered()-at, time.Since(start)
	t.Logf("moved %d bytes by hand in %s, %d by the driver in %s: %.2f times the data, %.2f times the time",
		hand, handTook.Round(100*time.Millisecond), driver, driverTook.Round(100*time.Millisecond), float64(driver)/float64(hand), driverTook.Seconds()/handTook.Seconds())
	if hand == 0 || float64(driver) > 1.15*float64(hand) {
		t.Errorf("the driver moved %d bytes, an operator %d", driver, hand)
	}
}
