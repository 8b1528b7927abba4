// Package synapsed puts a synapse together from its configuration and runs it.
package synapsed

import (
	"context"
	"log/slog"
	"time"

	"glia/api/glia/v1/gliav1connect"
	"glia/config"
	"glia/internal/program"
	"glia/synapse"
)

// Run runs a synapse until the context ends; started is called once it serves, and may be nil.
func Run(ctx context.Context, c config.Synapse, started func(), log *slog.Logger) error {
	v, err := program.OpenSecrets(ctx, &c, c.Vault, &c.TLS, c.API, c.Host, log)
	if err != nil {
		return err
	}
	defer v.Close()
	where := program.RegistriesConfig{Use: c.Registries, Watch: c.Watch, Serf: c.Serf, ZooKeeper: c.ZooKeeper, Consul: c.Consul, Role: "synapse"}
	names := where.Names("fleet")
	if len(c.Services) > 0 {
		names = append(names, "services")
	}
	s, err := program.NewShell(program.Served{Program: "synapse", API: c.API, TLS: c.TLS, Access: c.Access, Debug: c.Debug}, log, v.Names(names...)...)
	if err != nil {
		return err
	}
	reg, err := program.OpenRegistries(where, s.Metrics, log)
	if err != nil {
		return err
	}
	defer reg.Leave()
	fleet := synapse.New(synapse.Options{
		Watcher: reg, HTTP: s.Client(), Scheme: s.Scheme(), Resync: time.Duration(c.Fleet.Resync), FetchTimeout: time.Duration(c.Fleet.FetchTimeout),
		MaxAge: time.Duration(c.Fleet.MaxAge), Log: log, Registerer: s.Metrics,
	})
	run := append(append(reg.Checks(s), v.Checks(s)...), fleet.Run, s.Watch("fleet", fleet.Ready))
	followed := synapse.BackendAPI{Host: c.Host}
	if len(c.Services) > 0 {
		var parts []func(context.Context) error
		if followed, parts, err = openServices(c, s.Metrics, log); err != nil {
			return err
		}
		run = append(append(run, parts...), s.Watch("services", followed.Services.Ready))
	}
	s.Handle(gliav1connect.NewBackendServiceHandler(followed, s.Options()...))
	path, handler := gliav1connect.NewFleetServiceHandler(synapse.NewService(fleet), s.Options()...)
	if started != nil {
		started()
	}
	return s.Serve(ctx, path, handler, run...)
}
