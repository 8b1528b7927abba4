// Command table reads the output of go test -bench and prints all figures beside their targets.
package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"

	"glia/internal/figures"
)

func main() {
	err := figures.Table(os.Stdin, os.Stdout)
	if load, err := os.ReadFile("/proc/loadavg"); err == nil {
		fmt.Printf("\nThe load of the machine is %s (1, 5 and 15 minutes), with %d processors.\n", strings.Join(strings.Fields(string(load))[:3], " "), runtime.NumCPU())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
