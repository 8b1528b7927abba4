// Command synapse runs one synapse; see config/synapse.toml for its configuration. Exit codes: 0 stopped as asked,
// 1 an error, 2 wrong flags or a wrong configuration.
package main

import (
	"context"
	"os"

	"glia/config"
	"glia/internal/daemon"
	"glia/internal/program/synapsed"
)

func main() {
	os.Exit(daemon.Main(daemon.Program[config.Synapse]{
		Name: "synapse",
		Path: "/etc/glia/synapse.toml",
		Load: synapsed.Load,
		Log:  func(c config.Synapse) config.Log { return c.Log },
		Run: func(ctx context.Context, p *daemon.Process[config.Synapse]) error {
			reloaded := make(chan synapsed.Reload)
			p.OnReload(func(c config.Synapse) error { return synapsed.Later(ctx, reloaded, c) })
			return synapsed.Run(ctx, p.Config, synapsed.Parts{Started: p.Ready, Reloaded: reloaded}, p.Log)
		},
	}))
}
