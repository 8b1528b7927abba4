// Command simulate runs the simulation of package trial over many seeds, and prints how fast, or the
// seed, the broken promise and the shortest script found that breaks it. It exits with 1 when a
// promise is broken and with 2 when it could not run.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"glia/internal/sim/trial"
)

func main() {
	seeds := flag.Uint64("seeds", 200, "how many seeds to run")
	seed := flag.Uint64("seed", 0, "the only seed to run, or 0; its script is printed")
	first := flag.Uint64("first", 1, "the first seed")
	shrink := flag.Duration("shrink", 20*time.Second, "how long to look for a shorter script")
	census := flag.Bool("census", false, "print how often what was met: events, refusals, ends")
	flag.Parse()
	debug.SetGCPercent(400) // many short lives on little memory
	// The context ends with the process at the latest.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	context.AfterFunc(ctx, stop)
	if *seed > 0 {
		*first, *seeds = *seed, 1
	}
	os.Exit(run(ctx, *first, *seeds, *shrink, *seed > 0, *census))
}

func run(ctx context.Context, first, seeds uint64, shrink time.Duration, show, census bool) int {
	start := time.Now()
	var next, done atomic.Uint64
	var mu sync.Mutex
	met := map[string]int{}
	g, gctx := errgroup.WithContext(ctx)
	for range runtime.GOMAXPROCS(0) {
		g.Go(func() error {
			for {
				n := next.Add(1)
				if n > seeds || gctx.Err() != nil {
					return gctx.Err()
				}
				seed := first + n - 1
				script := trial.Script(seed)
				if show {
					print(script)
				}
				r, err := trial.Run(gctx, seed, script)
				switch {
				case err != nil && gctx.Err() == nil:
					return fmt.Errorf("seed %d: %w", seed, err)
				case r.Broken != nil:
					return broken{seed, r.Broken, script}
				}
				mu.Lock()
				for what, n := range r.Seen {
					met[what] += n
				}
				mu.Unlock()
				done.Add(1)
			}
		})
	}
	err := g.Wait()
	took := time.Since(start)
	var b broken
	if errors.As(err, &b) {
		fmt.Printf("seed %d breaks %s\n", b.seed, b.v)
		script, v := trial.Shrink(ctx, b.seed, b.script, b.v, shrink)
		fmt.Printf("shortest script found, %d of %d events, breaks %s\n", len(script), len(b.script), v)
		print(script)
		if log, err := trial.Log(ctx, b.seed, script); err == nil && show {
			fmt.Print(log)
		}
		return 1
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "simulate:", err)
		return 2
	}
	fmt.Printf("%d seeds, no promise broken, %.0f seeds/s\n", done.Load(), float64(done.Load())/took.Seconds())
	if census {
		for _, what := range slices.Sorted(maps.Keys(met)) {
			fmt.Printf("  %7d  %s\n", met[what], what)
		}
	}
	return 0
}

// broken is a seed that breaks a promise.
type broken struct {
	seed   uint64
	v      *trial.Violation
	script []trial.Event
}

func (b broken) Error() string { return b.v.String() }

func print(script []trial.Event) {
	for i, e := range script {
		fmt.Printf("  %2d. %s\n", i+1, e)
	}
}
