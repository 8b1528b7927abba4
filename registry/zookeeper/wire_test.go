package zookeeper_test

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"glia/registry/zookeeper"
)

// TestWire_AThousandClientsDoNotComeBackAtOnce breaks the connections of a thousand clients at the same instant. Each has its first
// connection without a wait; those after the break are spread, so that in no tenth of the time more than twice their share come.
func TestWire_AThousandClientsDoNotComeBackAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const clients, spread = 1000, 500 * time.Millisecond
		random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a test
		var mu sync.Mutex
		draw := func(n time.Duration) time.Duration {
			if n != spread {
				t.Errorf("spread over %v, want %v", n, spread)
			}
			mu.Lock()
			defer mu.Unlock()
			return time.Duration(random.Int64N(int64(n)))
		}
		begin := time.Now()
		var came []time.Duration
		var all sync.WaitGroup
		for range clients {
			connect := zookeeper.Connecting(15*time.Second, draw)
			all.Go(func() {
				_ = connect("nowhere") // is no address, so that nothing leaves the test
				if waited := time.Since(begin); waited != 0 {
					t.Errorf("the first connection waited for %v", waited)
				}
				_ = connect("nowhere")
				mu.Lock()
				defer mu.Unlock()
				came = append(came, time.Since(begin))
			})
		}
		all.Wait()
		var tenths [10]int
		for _, at := range came {
			tenths[min(9, int(at*10/spread))]++
		}
		if slices.Max(tenths[:]) > 2*clients/10 || slices.Max(came) >= spread {
			t.Errorf("came in each tenth of %v: %v, the last one after %v", spread, tenths, slices.Max(came))
		}
	})
}
