// Command mutants breaks the production code on purpose, one line at a time, and runs the simulation on
// each broken variant. A variant that the simulation does not catch shows a promise that nothing
// guards; then, and when a line to break is not found exactly once, it exits with 1. The source is
// replaced through an overlay of the go command, and nothing in the tree changes.
//
// A variant is tried on a seed that has caught it before, when the table knows one, and then on all others,
// from the first on, up to the first that catches it.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
)

// Mutant is one way to break the code. Every Old stands exactly once in its file.
type Mutant struct {
	Name  string
	Edits []Edit
}

// Edit is one replaced text.
type Edit struct{ File, Old, New string }

func main() {
	seeds := flag.Int("seeds", 600, "how many seeds a variant gets until it counts as missed")
	only := flag.String("only", "", "run the variants whose name contains this")
	record := flag.String("record", "", "write the seeds that have caught a variant to this Go file")
	check := flag.Bool("check", false, "only check that every line to break is there")
	jobs := flag.Int("jobs", runtime.GOMAXPROCS(0), "how many variants are built and run at a time")
	flag.Parse()
	// The context ends with the process at the latest.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	context.AfterFunc(ctx, stop)
	var mu sync.Mutex
	caught, missed, seeded := 0, 0, maps.Clone(caughtBy)
	var g errgroup.Group
	g.SetLimit(*jobs)
	for _, m := range Mutants {
		if !strings.Contains(m.Name, *only) {
			continue
		}
		g.Go(func() error {
			word, seed := "found", uint64(0)
			var err error
			if *check {
				_, err = Mutated(".", m)
			} else {
				word, seed, err = try(ctx, m, *seeds)
			}
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				missed++
				fmt.Printf("MISSED  %-50s %v\n", m.Name, err)
				return nil
			}
			if caught++; seed > 0 {
				seeded[m.Name] = seed
			}
			fmt.Printf("caught  %-50s %s\n", m.Name, brief(word))
			return nil
		})
	}
	_ = g.Wait() // what went wrong is told above
	fmt.Printf("%d caught, %d missed\n", caught, missed)
	if *record != "" {
		if err := write(*record, seeded); err != nil {
			fmt.Fprintln(os.Stderr, "mutants: record the seeds:", err)
			os.Exit(2)
		}
	}
	if missed > 0 {
		os.Exit(1)
	}
}

// brief is the beginning of a line.
func brief(s string) string {
	if r := []rune(s); len(r) > 110 {
		return string(r[:110]) + "…"
	}
	return s
}

// Mutated is the broken content of each file of the mutant; root is the folder of the module.
func Mutated(root string, m Mutant) (map[string][]byte, error) {
	out := map[string][]byte{}
	for _, e := range m.Edits {
		src, ok := out[e.File]
		if !ok {
			var err error
			if src, err = os.ReadFile(filepath.Join(root, e.File)); err != nil {
				return nil, err
			}
		}
		if n := bytes.Count(src, []byte(e.Old)); n != 1 {
			return nil, fmt.Errorf("%s has %q %d times; adapt the table to the code", e.File, e.Old, n)
		}
		out[e.File] = bytes.Replace(src, []byte(e.Old), []byte(e.New), 1)
	}
	return out, nil
}

// try builds the simulation with the broken code and runs it. It returns the seed that caught it, and what was
// caught.
func try(ctx context.Context, m Mutant, seeds int) (word string, seed uint64, err error) {
	dir, err := os.MkdirTemp("", "glia-mutant-")
	if err != nil {
		return "", 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	bin, err := build(ctx, m, dir)
	if err != nil {
		return "", 0, err
	}
	if known := caughtBy[m.Name]; known > 0 {
		if word, seed, err := simulate(ctx, bin, "-seeds", "1", "-first", strconv.FormatUint(known, 10)); err == nil {
			return "known " + word, seed, nil
		}
	}
	return simulate(ctx, bin, "-seeds", strconv.Itoa(seeds))
}

// build makes the simulation with the broken code, in a folder of its own.
func build(ctx context.Context, m Mutant, dir string) (bin string, err error) {
	files, err := Mutated(".", m)
	if err != nil {
		return "", err
	}
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	for name, src := range files {
		abs, err := filepath.Abs(name)
		if err != nil {
			return "", err
		}
		to := filepath.Join(dir, strconv.Itoa(len(overlay.Replace))+".go")
		if err := os.WriteFile(to, src, 0o600); err != nil {
			return "", err
		}
		overlay.Replace[abs] = to
	}
	b, err := json.Marshal(overlay)
	if err != nil {
		return "", err
	}
	list := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(list, b, 0o600); err != nil {
		return "", err
	}
	bin = filepath.Join(dir, "simulate")
	if out, err := exec.CommandContext(ctx, "go", "build", "-ldflags=-s -w", "-overlay", list, "-o", bin, "./internal/sim/simulate").CombinedOutput(); err != nil {
		return "", fmt.Errorf("it can not be built: %w: %s", err, out)
	}
	return bin, nil
}

// simulate runs the broken simulation and returns the first seed that breaks a promise, and how.
func simulate(ctx context.Context, bin string, args ...string) (word string, seed uint64, err error) {
	out, err := exec.CommandContext(ctx, bin, append(args, "-shrink", "0s")...).CombinedOutput()
	first, _, _ := strings.Cut(string(out), "\n")
	var exit *exec.ExitError
	switch {
	case err == nil:
		return "", 0, errors.New("not caught: " + first)
	case errors.As(err, &exit) && exit.ExitCode() == 1:
		_, err := fmt.Sscanf(first, "seed %d breaks", &seed)
		return first, seed, err
	}
	return "", 0, fmt.Errorf("%w: %s", err, first)
}
