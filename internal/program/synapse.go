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
	v, err := openSecrets(ctx, &c, c.Vault, &c.TLS, c.API, c.Host, log)
	if err != nil {
		return err
	}
	defer v.close()
	where := registriesConfig{c.Registries, c.Watch, c.Serf, c.ZooKeeper, c.Consul, "", "synapse"}
	names := where.names("fleet")
	if len(c.Services) > 0 {
		names = append(names, "services")
	}
	s, err := newShell(served{"synapse", c.API, c.TLS, c.Access, nil, c.Debug}, log, v.names(names...)...)
	if err != nil {
		return err
	}
	reg, err := openRegistries(where, s.reg, log)
	if err != nil {
		return err
	}
	defer reg.leave()
	fleet := synapse.New(synapse.Options{
		Watcher: reg, HTTP: s.client(), Scheme: s.scheme(), Resync: time.Duration(c.Fleet.Resync), FetchTimeout: time.Duration(c.Fleet.FetchTimeout),
		MaxAge: time.Duration(c.Fleet.MaxAge), Log: log, Registerer: s.reg,
	})
	run := append(append(reg.checks(s), v.checks(s)...), fleet.Run, s.watch("fleet", fleet.Ready))
	followed := synapse.BackendAPI{Host: c.Host}
	if len(c.Services) > 0 {
		var parts []func(context.Context) error
		if followed, parts, err = openServices(c, s.reg, log); err != nil {
			return err
		}
		run = append(append(run, parts...), s.watch("services", followed.Services.Ready))
	}
	s.handle(gliav1connect.NewBackendServiceHandler(followed, s.options()...))
	path, handler := gliav1connect.NewFleetServiceHandler(synapse.NewService(fleet), s.options()...)
	if started != nil {
		started()
	}
	return s.serve(ctx, path, handler, run...)
}
