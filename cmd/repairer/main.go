// Command repairer runs one repairer; see config/repairer.toml for its configuration. Exit codes: 0 stopped as asked,
// 1 an error, 2 wrong flags or a wrong configuration.
package main

import (
	"context"
	"os"

	"glia/config"
	"glia/internal/daemon"
	"glia/internal/program/repairerd"
)

func main() {
	os.Exit(daemon.Main(daemon.Program[config.Repairer]{
		Name: "repairer",
		Path: "/etc/glia/repairer.toml",
		Load: repairerd.Load,
		Log:  func(c config.Repairer) config.Log { return c.Log },
		Run: func(ctx context.Context, p *daemon.Process[config.Repairer]) error {
			p.OnReload(func(config.Repairer) error {
				p.Log.Warn("of the new configuration only [log] is in force; the rest needs a restart")
				return nil
			})
			return repairerd.Run(ctx, p.Config, p.Ready, p.Log)
		},
	}))
}
