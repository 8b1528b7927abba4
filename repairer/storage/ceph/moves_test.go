//go:build ceph

package ceph_test

import (
	"encoding/json"
	"strconv"
	"testing"
	"time"

	"glia/internal/figures"
	testbed "glia/internal/testbed/ceph"
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

// byHand empties an OSD as a careful operator does: out, and then until it is safe to destroy and all PGs are
// clean. Safe to destroy alone was seen while half of the data was still to be copied.
func (b *bed) byHand(id int) (moved int64, took time.Duration) {
	b.Helper()
	at, start := b.recovered(), time.Now()
	if _, err := b.conn.Mon(b.Context(), ceph.Command{"prefix": "osd out", "ids": []string{strconv.Itoa(id)}}, nil); err != nil {
		b.Fatal(err)
	}
	b.eventually("safe to destroy", func() bool {
		answer, err := b.conn.Mgr(b.Context(), ceph.Command{"prefix": "osd safe-to-destroy", "ids": []string{strconv.Itoa(id)}})
		m := ceph.Map{OSDs: map[int]ceph.OSDState{id: {State: []string{"exists"}}}}
		if ceph.SafeToDestroy(m, []int{id}, answer, err).Is != ceph.Yes {
			return false
		}
		l, err := ceph.LookAt(b.Context(), b.conn, b.cluster.FSID, time.Now)
		return err == nil && len(l.Unfit) == 0
	})
	took = time.Since(start)
	return b.recovered() - at, took
}

// byDriver has the driver empty it.
func (b *bed) byDriver(id int) (moved int64, took time.Duration) {
	b.Helper()
	b.restart()
	c := b.open(id)
	b.carry(c, "note")
	at, start := b.recovered(), time.Now()
	b.until(c, "drain", "emptied by the driver", done)
	took = time.Since(start)
	return b.recovered() - at, took
}

// back puts it in again and waits until everything is where it was.
func (b *bed) back(id int) {
	b.Helper()
	b.ceph("osd", "reweight", strconv.Itoa(id), "1.0")
	was := 0
	b.eventually("back", func() bool {
		l, err := ceph.LookAt(b.Context(), b.conn, b.cluster.FSID, time.Now)
		settled := err == nil && len(l.Unfit) == 0 && l.Usage[id].PGs > 0
		if !settled {
			was = 0
			return false
		}
		was++
		return was > 15 // three seconds: longer than any report takes
	})
}

// eventually looks every 200 ms until it is so.
func (b *bed) eventually(what string, ok func() bool) {
	b.Helper()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for start := time.Now(); !ok(); <-tick.C {
		if time.Since(start) > 5*time.Minute {
			b.Fatalf("never %s", what)
		}
	}
}

// ratios are what the driver needs of data and time, against the hand, over so many turns of each on one
// cluster.
func (b *bed) ratios(turns int) (data, duration float64) {
	b.Helper()
	if _, err := b.cluster.Write(b.Context(), "more", 96, 2<<20); err != nil {
		b.Fatal(err)
	}
	var moved [2]int64
	var took [2]time.Duration
	for turn := range 2 * turns {
		who, do := 0, b.byHand
		if turn%4 == 1 || turn%4 == 2 { // hand, driver, driver, hand: who is first has no advantage
			who, do = 1, b.byDriver
		}
		m, t := do(2)
		b.Logf("turn %d, %s: %d bytes in %s", turn, []string{"by hand", "by the driver"}[who], m, t.Round(100*time.Millisecond))
		moved[who] += m
		took[who] += t
		b.back(2)
	}
	if moved[0] == 0 {
		b.Fatal("nothing was moved by hand")
	}
	return float64(moved[1]) / float64(moved[0]), took[1].Seconds() / took[0].Seconds()
}

func TestDriver_MovesNoMoreDataThanAnOperator(t *testing.T) {
	b := newBed(t, testbed.Options{Hosts: 5, PGs: 32}, func(s *ceph.Settings) { s.Pacing.PGs = 16 })
	data, duration := b.ratios(1)
	t.Logf("%.2f times the data, %.2f times the time", data, duration)
	if data > 1.15 {
		t.Errorf("the driver moves %.2f times the data that an operator moves", data)
	}
}

// BenchmarkDriver_AgainstAnOperator prints how much data the driver moves to empty an OSD, and how long that
// takes, over two turns each on one cluster. Targets: at most 1.15 times the data and 1.1 times the time.
func BenchmarkDriver_AgainstAnOperator(b *testing.B) {
	bed := newBed(b, testbed.Options{Hosts: 5, PGs: 32}, func(s *ceph.Settings) { s.Pacing.PGs = 16 })
	for b.Loop() {
		data, duration := bed.ratios(2)
		b.ReportMetric(data, "x-data")
		b.ReportMetric(1.15, "x-data"+figures.AtMost)
		b.ReportMetric(duration, "x-time")
		b.ReportMetric(1.1, "x-time"+figures.AtMost)
	}
}
