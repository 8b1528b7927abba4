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

// Parts is what a synapse has from its process. The zero value is that of one without.
type Parts struct {
	Started  func()        // called once the synapse serves
	Reloaded <-chan Reload // later configurations; nil: there are none
}

// Reload is a later configuration, of which what follows services is put into force.
type Reload struct {
	Config config.Synapse
	Done   chan<- error // is told why it is not in force, or nil; has room
}

// Later passes a later configuration to a synapse that runs, and waits until it is in force or refused. The error says why it was refused.
func Later(ctx context.Context, to chan<- Reload, c config.Synapse) error {
	done := make(chan error, 1)
	select {
	case to <- Reload{Config: c, Done: done}:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Run runs a synapse until the context ends.
func Run(ctx context.Context, c config.Synapse, parts Parts, log *slog.Logger) error {
	first := c
	v, err := program.OpenSecrets(ctx, &c, c.Vault, &c.TLS, c.API, c.Host, log)
	if err != nil {
		return err
	}
	defer v.Close()
	where := program.RegistriesConfig{Use: c.Registries, Watch: c.Watch, Serf: c.Serf, ZooKeeper: c.ZooKeeper, Consul: c.Consul, Role: "synapse"}
	names := where.Names("fleet", "services")
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
	f, err := follow(c, s.Metrics, log)
	if err != nil {
		return err
	}
	later := make(chan Reload)
	run = append(run, s.Watch("services", f.ready), func(ctx context.Context) error { return f.run(ctx, later) }, func(ctx context.Context) error {
		return pass(ctx, parts.Reloaded, later, first, v, log)
	})
	s.Handle(gliav1connect.NewBackendServiceHandler(synapse.BackendAPI{Host: c.Host, Now: f.show}, s.Options()...))
	path, handler := gliav1connect.NewFleetServiceHandler(synapse.NewService(fleet), s.Options()...)
	if parts.Started != nil {
		parts.Started()
	}
	return s.Serve(ctx, path, handler, run...)
}

// pass passes later configurations on, with their secrets, and says what of them is not in force.
func pass(ctx context.Context, from <-chan Reload, to chan<- Reload, first config.Synapse, v program.Secrets, log *slog.Logger) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case r := <-from:
			if keys := first.Restart(r.Config); len(keys) > 0 {
				log.Warn("some of the new configuration needs a restart", "keys", keys)
			}
			v.Bind(&r.Config)
			select {
			case to <- r:
			case <-ctx.Done():
				r.Done <- ctx.Err()
			}
		}
	}
}
