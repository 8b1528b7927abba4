package program

import (
	"context"
	"log/slog"
	"time"

	"glia/api/glia/v1/gliav1connect"
	"glia/config"
	"glia/synapse"
)

// Synapse runs a synapse until the context ends; started is called once it serves, and may be nil.
func Synapse(ctx context.Context, c config.Synapse, started func(), log *slog.Logger) error {
	s, err := newShell(c.API, c.TLS, c.Debug, log, "fleet", "serf")
	if err != nil {
		return err
	}
	agent, err := startSerf(c.Serf, "", map[string]string{"role": "synapse"}, log)
	if err != nil {
		return err
	}
	defer leave(agent, log)
	fleet := synapse.New(synapse.Options{
		Watcher: agent, HTTP: s.client(), Scheme: s.scheme(), Resync: time.Duration(c.Fleet.Resync), FetchTimeout: time.Duration(c.Fleet.FetchTimeout),
		MaxAge: time.Duration(c.Fleet.MaxAge), Log: log, Registerer: s.reg,
	})
	path, handler := gliav1connect.NewFleetServiceHandler(synapse.NewService(fleet))
	if started != nil {
		started()
	}
	return s.serve(ctx, path, handler, fleet.Run, s.watch("serf", agent.Ready), s.watch("fleet", fleet.Ready))
}
