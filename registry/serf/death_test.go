package serf_test

import (
	"os"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"

	"glia/registry/registrytest"
	"glia/registry/serf"
)

// TestMain is also the main of the announcers that are killed. They have the timings of the test, or those of a LAN.
func TestMain(m *testing.M) {
	registrytest.AnnouncerMain(func(host string, args []string) (registrytest.Leaver, error) {
		return serf.Start(serf.Options{Node: host, Bind: "127.0.0.4:0", Join: args[:1], Tune: tuned[args[1]]})
	})
	os.Exit(m.Run())
}

var tuned = map[string]func(*memberlist.Config){"fast": fast, "lan": nil}

func TestAgent_ProcessesThatDieAndThatEnd(t *testing.T) {
	t.Parallel()
	c := newCluster(t, fast)
	registrytest.Deaths(t, c.Watcher(t), 2*time.Second, c.seed.Addr(), "fast")
}

// TestAgent_TheWallClockJumps has the timings of a LAN, so that a busy machine makes nobody look dead.
func TestAgent_TheWallClockJumps(t *testing.T) {
	t.Parallel()
	w, err := serf.Start(serf.Options{Node: "seed", Bind: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Abort() })
	registrytest.ClockJumps(t, w, 2*time.Second, w.Addr(), "lan")
}

// BenchmarkAgent_Death has the timings of a LAN.
func BenchmarkAgent_Death(b *testing.B) {
	w, err := serf.Start(serf.Options{Node: "watcher", Bind: "127.0.0.1:0"})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = w.Abort() })
	registrytest.ReportDeaths(b, w, 15*time.Second, w.Addr(), "lan")
}
