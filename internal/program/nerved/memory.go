package nerved

import (
	"context"
	"os"
	"runtime"
	"runtime/debug"
	"time"
)

// How much memory a nerve may lose to garbage, unless GOGC says it. What it keeps of its disks is small and stays; most of what it allocates is of one
// probe or check and is garbage at once.
const (
	garbageMost  = 50      // percent of what is in use. At 25, a host with 100 disks would spend a sixth of the CPU time on collecting.
	garbageLeast = 20      // percent, so that a nerve that has much in use does not collect all the time
	garbageBytes = 2 << 20 // between the two: with ZooKeeper, most of what is in use are two buffers of the client, 1.5 MiB each
)

// cores are how many a nerve uses at most, unless GOMAXPROCS says it. It has little to do, and the Go runtime keeps caches for each, so that on a
// host with 64 they would be most of its memory.
const cores = 2

// garbage is the percentage for so many bytes in use.
func garbage(live uint64) int {
	if live == 0 {
		return garbageMost
	}
	return int(min(garbageMost, max(garbageLeast, garbageBytes*100/live)))
}

// beModest sets what a nerve takes of the host before it is known how much it needs.
func beModest() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbageMost)
	}
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(min(cores, runtime.GOMAXPROCS(0)))
	}
}

// stayModest gives back what the start took, and bounds garbage by what is in use, first after a minute and then each hour, until ctx ends.
func stayModest(ctx context.Context) error {
	wait := time.NewTimer(time.Minute)
	defer wait.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-wait.C:
			debug.FreeOSMemory() // it collects first, so that what is left is in use
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			if os.Getenv("GOGC") == "" {
				debug.SetGCPercent(garbage(m.HeapAlloc))
			}
			wait.Reset(time.Hour)
		}
	}
}
