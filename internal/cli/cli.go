// Package cli is the operator's command-line tool, glia. It asks the repairer and the synapse, and
// prints what they say; it decides nothing and keeps nothing.
//
// Results go to standard output; errors, notes and progress go to standard error. Every command
// that prints a table or a document prints the same content as JSON with -o json: the Go structs of
// this package and of package glia are the description of that JSON, field by field.
//
// A command fails with an error that says what was asked of whom and what to try next, and with one
// of the exit codes below. What could not be seen is never shown as healthy: a host that did not
// answer is named, and the command exits with ExitDegraded.
package cli

import (
	"context"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"glia"
	gliav1 "glia/api/glia/v1"
)

// Options are the ties of the tool to the outside. The zero value is the real process.
type Options struct {
	Out   io.Writer               // results; nil is os.Stdout
	Err   io.Writer               // errors and progress; nil is os.Stderr
	Env   func(key string) string // environment; nil is os.Getenv
	Now   func() time.Time        // clock for ages and deadlines; nil is time.Now
	Extra []*cobra.Command        // further subcommands; an error of theirs is ExitError

	// Straight asks what a configuration of the repairer names, without a repairer; nil where that can not be done.
	Straight func(ctx context.Context, config string) (*gliav1.GetEntrypointResponse, error)
}

// app is what all commands share. It is filled before a command runs and not changed afterwards.
type app struct {
	out    io.Writer
	err    io.Writer
	env    func(string) string
	now    func() time.Time
	conn   connection
	format string
	// running says that the command line was understood, so that errors are no longer about usage.
	running bool
}

const longHelp = `glia shows and steers the repair of failing disks.

It asks the repairer (cases, plans, pauses, tickets), the synapse (disks of the fleet, services that this host
uses) and the nerve (services of this host).
Results are printed on standard output, errors and progress on standard error.

Exit codes:
  0  done
  1  error: what was asked for did not happen
  2  usage: the command line was not understood; nothing was asked
  3  refused by a gate: nothing was changed, the gate says what would change its mind
  4  degraded: the answer is incomplete, or glia needs a person`

// New builds the command tree. Executed by itself it returns errors as they are; Main also prints
// them and turns them into exit codes.
func New(o Options) *cobra.Command {
	root, _ := build(o)
	return root
}

// Main runs the command line args (without the program's name) and returns the exit code. When ctx
// ends, requests under way are given up; what the servers were told to do goes on.
func Main(ctx context.Context, args []string, o Options) int {
	root, a := build(o)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err != nil && !a.running {
		err = usageError{err}
	}
	return a.report(cmd, err)
}

func build(o Options) (*cobra.Command, *app) {
	a := &app{out: o.Out, err: o.Err, env: o.Env, now: o.Now}
	if a.out == nil {
		a.out = os.Stdout
	}
	if a.err == nil {
		a.err = os.Stderr
	}
	if a.env == nil {
		a.env = os.Getenv
	}
	if a.now == nil {
		a.now = time.Now
	}
	root := &cobra.Command{
		Use:           "glia",
		Short:         "Show and steer the repair of failing disks",
		Long:          longHelp,
		Version:       glia.Version,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetOut(a.out)
	root.SetErr(a.err)
	a.conn.addFlags(root)
	root.PersistentFlags().StringVarP(&a.format, "output", "o", formatTable, "how to print: table or json")
	complete(root, "output", formatTable, formatJSON)
	root.AddCommand(
		(&statusCommand{app: a}).command(),
		(&entrypointCommand{app: a, straight: o.Straight}).command(),
		(&disksCommand{app: a}).command(),
		(&diskCommand{app: a}).command(),
		(&whyCommand{app: a}).command(),
		(&planCommand{app: a}).command(),
		(&casesCommand{app: a}).command(),
		(&caseCommand{app: a}).command(),
		(&approveCommand{app: a}).command(),
		(&withdrawCommand{app: a}).command(),
		(&cancelCommand{app: a}).command(),
		(&unparkCommand{app: a}).command(),
		(&pauseCommand{app: a}).command(),
		(&resumeCommand{app: a}).command(),
		(&locateCommand{app: a}).command(),
		(&acceptCommand{app: a}).command(),
		(&replayCommand{app: a}).command(),
		ticketCommand(a),
		rulesCommand(a),
		auditCommand(a),
		breakerCommand(a),
		graveyardCommand(a),
		queueCommand(a),
		certCommand(a),
		(&servicesCommand{app: a}).command(),
		(&portsCommand{app: a}).command(),
		maintCommand(a),
		importCommand(a),
		(&bundleCommand{app: a}).command(),
		(&versionCommand{app: a}).command(),
	)
	root.AddCommand(o.Extra...)
	root.InitDefaultCompletionCmd()
	if c, _, err := root.Find([]string{"completion"}); err == nil && c != root {
		c.Args, c.RunE = group, group
	}
	a.markRunning(root)
	return root, a
}

// markRunning wraps every command of the tree, so that an error from before the command's own code,
// which is about flags and arguments, can be told from an error of the command itself.
func (a *app) markRunning(c *cobra.Command) {
	for _, sub := range c.Commands() {
		a.markRunning(sub)
	}
	run, runE := c.Run, c.RunE
	switch {
	case runE != nil:
		c.RunE = func(cmd *cobra.Command, args []string) error {
			if err := a.checkFormat(); err != nil {
				return err
			}
			a.running = true
			return runE(cmd, args)
		}
	case run != nil:
		c.Run = func(cmd *cobra.Command, args []string) {
			a.running = true
			run(cmd, args)
		}
	}
}
