//go:build ceph

package ceph_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ceph/go-ceph/rados"

	testbed "glia/internal/testbed/ceph"
	"glia/repairer/storage/ceph"
)

// clients write objects of 16 KiB, read each back and compare it, one after the other, and measure how long
// a write takes.
type clients struct {
	mu    sync.Mutex
	took  []time.Duration
	wrong int
	stop  context.CancelFunc
	all   sync.WaitGroup
}

func (b *bed) clients(n int) *clients {
	b.Helper()
	conn, err := rados.NewConnWithUser("admin")
	if err != nil {
		b.Fatal(err)
	}
	if err := conn.ReadConfigFile(b.cluster.Conf); err != nil {
		b.Fatal(err)
	}
	if err := conn.Connect(); err != nil {
		b.Fatal(err)
	}
	io, err := conn.OpenIOContext(b.cluster.Pool)
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(b.Context())
	c := &clients{stop: stop}
	for i := range n {
		c.all.Go(func() {
			for turn := 0; ctx.Err() == nil; turn++ {
				sum := sha256.Sum256(fmt.Append(nil, i, turn))
				data, got := bytes.Repeat(sum[:], 512), make([]byte, 16<<10)
				name := fmt.Sprint("client", i, "-", turn%64)
				start := time.Now()
				err := io.WriteFull(name, data)
				took := time.Since(start)
				if err == nil {
					_, err = io.Read(name, got, 0)
				}
				c.mu.Lock()
				c.took = append(c.took, took)
				if err != nil || !bytes.Equal(got, data) {
					c.wrong++
				}
				c.mu.Unlock()
			}
		})
	}
	b.Cleanup(func() { stop(); c.all.Wait(); io.Destroy(); conn.Shutdown() })
	return c
}

// during is how long each write took while f ran.
func (c *clients) during(f func()) []time.Duration {
	c.mu.Lock()
	c.took = nil
	c.mu.Unlock()
	f()
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.took)
}

// below is what so many of 100 stay below; 0 of none.
func below(took []time.Duration, percent int) time.Duration {
	if len(took) == 0 {
		return 0
	}
	took = slices.Sorted(slices.Values(took))
	return took[(len(took)*percent-1)/100]
}

// BenchmarkDriver_WhatClientsFeel prints how long a write of 16 KiB takes at rest, while an OSD is emptied as
// an operator does it, and while the driver does, with two PGs in motion at a time; two turns of each. The cluster
// itself has no limit on recovery. Each client compares what it reads with what it wrote. The slowest writes are
// also printed as a ratio, paced against unpaced.
func BenchmarkDriver_WhatClientsFeel(b *testing.B) {
	bed := newBed(b, testbed.Options{Hosts: 5, PGs: 32}, func(s *ceph.Settings) {
		s.Pacing = ceph.Pacing{PGs: 2, Latency: 50 * time.Millisecond, Quiet: 3 * time.Second}
	})
	if _, err := bed.cluster.Write(b.Context(), "more", 96, 2<<20); err != nil {
		b.Fatal(err)
	}
	c := bed.clients(2)
	do := map[string]func(){
		"rest":    func() { <-time.NewTimer(10 * time.Second).C },
		"unpaced": func() { bed.byHand(2) },
		"paced":   func() { bed.byDriver(2) },
	}
	for b.Loop() {
		took := map[string][]time.Duration{}
		for _, phase := range []string{"rest", "unpaced", "paced", "paced", "unpaced"} { // who is first has no advantage
			start := time.Now()
			now := c.during(do[phase])
			b.Logf("%s: %s, %d writes, median %s, 99 of 100 below %s", phase, time.Since(start).Round(time.Second), len(now), below(now, 50), below(now, 99))
			took[phase] = append(took[phase], now...)
			if phase != "rest" {
				bed.back(2)
			}
		}
		for phase, all := range took {
			b.ReportMetric(below(all, 50).Seconds()*1000, phase+"-median-ms")
			b.ReportMetric(below(all, 99).Seconds()*1000, phase+"-p99-ms")
		}
		b.ReportMetric(below(took["paced"], 99).Seconds()/below(took["unpaced"], 99).Seconds(), "x-p99-paced")
	}
	c.stop()
	c.all.Wait()
	if c.wrong > 0 {
		b.Errorf("%d objects are not what was written", c.wrong)
	}
}
