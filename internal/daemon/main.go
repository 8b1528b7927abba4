// Package daemon is what nerve, synapse and repairer have in common as processes: command line, signals,
// log, health, metrics, profiles, HTTP server and client, TLS, and word to the service manager.
//
// It guarantees that a daemon starts only with a configuration that is right in every part, keeps the
// last good one and the last good certificates when they are replaced by bad ones, and stops on the
// first SIGTERM or SIGINT by cancelling one context.
//
// It fails by returning: nothing in it ends the process, but for the second SIGTERM or SIGINT.
package daemon

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	sd "github.com/coreos/go-systemd/v22/daemon"

	"glia"
	"glia/config"
)

// The exit codes of a daemon.
const (
	ExitOK    = 0
	ExitError = 1
	ExitUsage = 2 // wrong flags or a wrong configuration; starting again does not help
)

// Program is one daemon, with C its configuration.
type Program[C any] struct {
	Name string
	Path string                       // of the configuration, unless -config names another
	Load func(path string) (C, error) // its errors are *config.Errors when the configuration is wrong
	Log  func(C) config.Log

	// Run does the work until ctx ends, and returns nil then.
	Run func(ctx context.Context, p *Process[C]) error
}

// Main runs the program as a process and returns its exit code. The flags are -config FILE,
// -check-config and -version. SIGTERM and SIGINT end it, a second one at once and with ExitError; SIGHUP
// loads the configuration again.
func Main[C any](p Program[C]) int {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	defer signal.Stop(signals)
	return p.main(os.Args[1:], os.Stdout, os.Stderr, signals)
}

func (p Program[C]) main(args []string, stdout, stderr io.Writer, signals <-chan os.Signal) int {
	flags := flag.NewFlagSet(p.Name, flag.ContinueOnError)
	flags.SetOutput(stderr)
	path := flags.String("config", p.Path, "read the configuration from this `FILE` and from the .d directory beside it")
	check := flags.Bool("check-config", false, "say what is wrong with the configuration, and exit")
	version := flags.Bool("version", false, "print the version, and exit")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return ExitOK
	case err != nil:
		return ExitUsage
	case flags.NArg() > 0:
		fmt.Fprintf(stderr, "%s: %q is not understood; the flags are -config FILE, -check-config and -version\n", p.Name, flags.Arg(0))
		return ExitUsage
	}
	if *version {
		fmt.Fprintf(stdout, "%s %s\n", p.Name, glia.Version)
		return ExitOK
	}
	cfg, err := p.Load(*path)
	if err != nil {
		return p.complain(stderr, err)
	}
	if *check {
		fmt.Fprintf(stdout, "%s: ok\n", *path)
		return ExitOK
	}

	level := new(slog.LevelVar)
	level.Set(p.Log(cfg).Level.Level())
	proc := &Process[C]{Config: cfg, Log: NewLogger(stderr, level, p.Log(cfg).Format)}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	reload := make(chan struct{}, 1) // one that waits is enough for any number of signals
	reloads := make(chan struct{})
	go func() {
		defer close(reloads)
		for {
			select {
			case <-ctx.Done():
				return
			case <-reload:
				p.reload(proc, *path, level)
			}
		}
	}()
	ended := make(chan struct{})
	defer close(ended)
	go p.watch(ended, signals, proc, cancel, reload)

	proc.Log.Info("starting", "program", p.Name, "version", glia.Version, "config", *path)
	err = p.Run(ctx, proc)
	stopped := ctx.Err() != nil
	cancel()
	<-reloads
	if err != nil && (!stopped || !errors.Is(err, context.Canceled)) {
		proc.Log.Error("ended by an error", "err", err)
		return ExitError
	}
	proc.Log.Info("stopped")
	return ExitOK
}

// complain prints an error of Load: problems of the configuration one a line, as compilers do.
func (p Program[C]) complain(stderr io.Writer, err error) int {
	var wrong *config.Errors
	if errors.As(err, &wrong) {
		fmt.Fprintln(stderr, wrong)
		return ExitUsage
	}
	fmt.Fprintf(stderr, "%s: %v\n", p.Name, err)
	return ExitError
}

// watch turns signals into what they mean, until the program has ended.
func (p Program[C]) watch(ended <-chan struct{}, signals <-chan os.Signal, proc *Process[C], cancel func(), reload chan<- struct{}) {
	for asked := false; ; {
		var s os.Signal
		select {
		case <-ended:
			return
		case s = <-signals:
		}
		switch {
		case s == syscall.SIGHUP:
			select {
			case reload <- struct{}{}:
			default:
			}
		case asked:
			proc.Log.Error("second signal, ending at once", "signal", s.String())
			os.Exit(ExitError)
		default:
			asked = true
			proc.Log.Info("stopping", "signal", s.String())
			proc.notify(sd.SdNotifyStopping)
			cancel()
		}
	}
}

// reload hands over a new configuration, or logs each problem with it and keeps the old one.
func (p Program[C]) reload(proc *Process[C], path string, level *slog.LevelVar) {
	if proc.ready.Load() {
		proc.notify(sd.SdNotifyReloading + "\n" + sd.SdNotifyMonotonicUsec())
		defer proc.notify(sd.SdNotifyReady)
	}
	cfg, err := p.Load(path)
	if before := level.Level(); err == nil {
		level.Set(p.Log(cfg).Level.Level())
		if f := proc.reloaded.Load(); f != nil {
			err = (*f)(cfg)
		}
		if err != nil {
			level.Set(before)
		}
	}
	var wrong *config.Errors
	switch {
	case errors.As(err, &wrong):
		for _, problem := range wrong.Problems {
			proc.Log.Error("configuration not reloaded, the last good one stays", "problem", problem.String())
		}
		return
	case err != nil:
		proc.Log.Error("configuration not reloaded, the last good one stays", "problem", err)
		return
	}
	proc.Log.Info("configuration reloaded", "config", path)
}
