package repairerd

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"connectrpc.com/connect"

	"glia/api"
	gliav1 "glia/api/glia/v1"
	"glia/api/glia/v1/gliav1connect"
	"glia/config"
	"glia/internal/daemon"
	"glia/internal/program"
	"glia/registry"
	"glia/repairer/store"
)

// askWithin bounds each question of an entrypoint.
const askWithin = 5 * time.Second

// entrypoint answers who leads, by asking what the configuration names. It is the same at the leader, at one that
// stands by and, when none of them answers, at the command line.
type entrypoint struct {
	c      config.Repairer
	client *http.Client // of the synapse
	log    *slog.Logger
}

var _ gliav1connect.EntrypointServiceHandler = entrypoint{}

// Entrypoint answers who leads from a configuration of a repairer alone.
func Entrypoint(ctx context.Context, path string) (*gliav1.GetEntrypointResponse, error) {
	c, err := Load(path)
	if err != nil {
		return nil, err
	}
	log := slog.New(slog.DiscardHandler)
	v, err := program.OpenSecrets(ctx, &c, c.Vault, &c.TLS, c.API, program.Hostname(), log)
	if err != nil {
		return nil, err
	}
	defer v.Close()
	var t *daemon.TLS
	if c.TLS.Enabled() {
		if t, err = daemon.LoadTLS(c.TLS.Cert, c.TLS.Key, c.TLS.CA, log); err != nil {
			return nil, err
		}
	}
	return entrypoint{c, daemon.HTTPClient(t), log}.ask(ctx), nil
}

func (e entrypoint) serve(s *program.Shell) {
	e.client = s.Client()
	s.Handle(gliav1connect.NewEntrypointServiceHandler(e, s.Options()...))
}

// GetEntrypoint is part of gliav1connect.EntrypointServiceHandler.
func (e entrypoint) GetEntrypoint(ctx context.Context, _ *connect.Request[gliav1.GetEntrypointRequest]) (*connect.Response[gliav1.GetEntrypointResponse], error) {
	return connect.NewResponse(e.ask(ctx)), nil
}

// ask asks all at once, so that the answer takes as long as the slowest of them.
func (e entrypoint) ask(ctx context.Context) *gliav1.GetEntrypointResponse {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	var all sync.WaitGroup
	var synapse []*gliav1.Need
	all.Go(func() { synapse = e.synapse(ctx) })
	out := e.lead(ctx)
	all.Wait()
	out.Needs = append(out.Needs, synapse...)
	return out
}

// lead asks who leads, and no synapse.
func (e entrypoint) lead(ctx context.Context) *gliav1.GetEntrypointResponse {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	var all sync.WaitGroup
	var db store.Leader
	var dbErr, electErr error
	var elected *registry.Leader // nil: the database elects
	all.Go(func() { db, dbErr = e.database(ctx) })
	if e.c.Election.By != config.ElectDatabase {
		elected = new(registry.Leader)
		all.Go(func() { *elected, electErr = e.registry(ctx) })
	}
	all.Wait()

	needs := []*gliav1.Need{need("database", dbErr)}
	if elected != nil {
		needs = append(needs, need(fmt.Sprintf("election (%s)", e.c.Election.By), electErr))
	}
	out := whoLeads(db, dbErr, elected, electErr)
	out.ElectedBy, out.Needs = string(e.c.Election.By), needs
	return out
}

func need(name string, err error) *gliav1.Need {
	n := &gliav1.Need{Name: name}
	if err != nil {
		n.Problem = err.Error()
	}
	return n
}

// whoLeads puts together what the database and, unless it elects itself, the registry told. It is pure.
func whoLeads(db store.Leader, dbErr error, elected *registry.Leader, electErr error) *gliav1.GetEntrypointResponse {
	out := &gliav1.GetEntrypointResponse{Holder: db.Holder, Epoch: db.Epoch, Since: api.TimeToProto(db.Since), Leading: gliav1.Leading_LEADING_NOBODY}
	leads, unknown := db.Leads, dbErr
	if elected != nil {
		leads, unknown = elected.Holder != "", electErr
	}
	switch {
	case unknown != nil:
		out.Leading, out.Why = gliav1.Leading_LEADING_UNSPECIFIED, "what elects does not answer"
	case leads && elected != nil && dbErr != nil: // only the database knows since when
		out.Leading, out.Holder, out.Epoch, out.Since = gliav1.Leading_LEADING_SOMEBODY, elected.Holder, elected.Epoch, nil
	case leads && elected != nil && (elected.Epoch != db.Epoch || elected.Holder != db.Holder):
		out.Why = elected.Holder + " was elected, and has not taken over the database yet"
	case leads:
		out.Leading = gliav1.Leading_LEADING_SOMEBODY
	case db.Holder == "":
		out.Why = "no repairer has led on this database yet"
	default:
		out.Why = "the last one was stopped, has died or is cut off, and no other one has taken over"
	}
	return out
}

func (e entrypoint) database(ctx context.Context) (store.Leader, error) {
	if !e.c.Postgres() {
		return store.SQLiteLeader(ctx, e.c.Database)
	}
	password, err := e.c.DatabasePassword.Read()
	if err != nil {
		return store.Leader{}, fmt.Errorf("read the password of the database: %w", err)
	}
	return store.PostgresLeader(ctx, e.c.Database, password)
}

func (e entrypoint) registry(ctx context.Context) (registry.Leader, error) {
	el, err := elector(e.c, nil, e.log)
	if err != nil {
		return registry.Leader{}, err
	}
	return el.(elected).Elector.(registry.Observer).Leader(ctx)
}

// synapse asks the synapse for what it is ready with: itself, and the registries that it watches.
func (e entrypoint) synapse(ctx context.Context) []*gliav1.Need {
	checks, err := e.checks(ctx)
	if err != nil {
		return []*gliav1.Need{need("synapse", fmt.Errorf("ask the synapse at %s: %w", e.c.Synapse, err))}
	}
	var out []*gliav1.Need
	for _, c := range checks {
		out = append(out, &gliav1.Need{Name: c.Name + " (of the synapse)", Problem: c.Reason})
	}
	return out
}

func (e entrypoint) checks(ctx context.Context) ([]daemon.Check, error) {
	u, err := url.JoinPath(e.c.Synapse, "readyz")
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u+"?format=json", nil)
	if err != nil {
		return nil, err
	}
	res, err := e.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	var answer struct{ Checks []daemon.Check }
	if err := json.NewDecoder(io.LimitReader(res.Body, 1<<20)).Decode(&answer); err != nil {
		return nil, fmt.Errorf("its answer with status %s: %w", res.Status, err)
	}
	return answer.Checks, nil
}
