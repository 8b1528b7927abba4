// Command nerve runs one nerve; see config/nerve.toml for its configuration. Exit codes: 0 stopped as asked,
// 1 an error, 2 wrong flags or a wrong configuration.
package main

import (
	"context"
	"os"

	"glia/config"
	"glia/internal/daemon"
	"glia/internal/program/nerved"
)

func main() {
	os.Exit(daemon.Main(daemon.Program[config.Nerve]{
		Name: "nerve",
		Path: "/etc/glia/nerve.toml",
		Load: nerved.Load,
		Log:  func(c config.Nerve) config.Log { return c.Log },
		Run: func(ctx context.Context, p *daemon.Process[config.Nerve]) error {
			reloaded := make(chan config.Nerve)
			p.OnReload(func(c config.Nerve) error {
				p.Log.Warn("of the new configuration only [log] and the services are in force; the rest needs a restart")
				select {
				case reloaded <- c:
				case <-ctx.Done():
				}
				return nil
			})
			return nerved.Run(ctx, p.Config, nerved.Parts{Started: p.Ready, Reloaded: reloaded}, p.Log)
		},
	}))
}
