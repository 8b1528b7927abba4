// Command glia is the operator's tool: it shows and steers the repair of failing disks. The first
// SIGINT or SIGTERM ends what it waits for, the second one ends it at once. Exit codes: glia --help.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"glia/internal/cephcmd"
	"glia/internal/cli"
	"glia/internal/dev"
	"glia/internal/program/repairerd"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(cli.Main(ctx, os.Args[1:], cli.Options{Straight: repairerd.Entrypoint, Extra: []*cobra.Command{dev.Command(), cephcmd.Command()}}))
}
