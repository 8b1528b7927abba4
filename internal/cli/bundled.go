package cli

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	gliav1 "glia/api/glia/v1"
	"glia/api/glia/v1/gliav1connect"
	"glia/config"
)

// part is one file of a bundle.
type part struct {
	name string
	get  func(context.Context) ([]byte, error)
}

// asked is one of the programs with what is asked of it.
type asked struct {
	server
	client *http.Client
	parts  []part
	then   func(ctx context.Context, b *bundle) // what depends on an answer; nil: nothing
}

// servers are the programs that a bundle is made from.
func (c *bundleCommand) servers() ([]asked, error) {
	repairer := asked{server: server{name: "repairer", flag: "--repairer", env: "GLIA_REPAIRER", wait: c.conn.timeout}}
	synapse := asked{server: server{name: "synapse", flag: "--synapse", env: "GLIA_SYNAPSE", wait: c.conn.timeout}}
	nerve := asked{server: server{name: "nerve", flag: "--nerve", env: "GLIA_NERVE", wait: c.conn.timeout}}
	for _, s := range []struct {
		*asked
		flag, fallback string
	}{{&repairer, c.conn.repairer, defaultRepairer}, {&synapse, c.conn.synapse, defaultSynapse}, {&nerve, c.conn.nerve, defaultNerve}} {
		h, err := c.httpClient(&s.server, s.flag, s.fallback)
		if err != nil {
			return nil, err
		}
		s.client = h
	}
	rc := gliav1connect.NewRepairServiceClient(repairer.client, repairer.base)
	repairer.parts = []part{
		answer(repairer.server, "status", rc.GetStatus, &gliav1.GetStatusRequest{}),
		answer(repairer.server, "entrypoint", gliav1connect.NewEntrypointServiceClient(repairer.client, repairer.base).GetEntrypoint, &gliav1.GetEntrypointRequest{}),
		answer(repairer.server, "cases", rc.ListCases, &gliav1.ListCasesRequest{All: true}),
		answer(repairer.server, "tickets", rc.ListTickets, &gliav1.ListTicketsRequest{All: true}),
		answer(repairer.server, "graveyard", rc.ListGraveyard, &gliav1.ListGraveyardRequest{}),
		answer(repairer.server, "queue", gliav1connect.NewQueueServiceClient(repairer.client, repairer.base).ListQueue, &gliav1.ListQueueRequest{}),
		answer(repairer.server, "rules", rc.ScoreRules, &gliav1.ScoreRulesRequest{}),
		answer(repairer.server, "audit", rc.VerifyAudit, &gliav1.VerifyAuditRequest{}),
	}
	repairer.then = func(ctx context.Context, b *bundle) { b.cases(ctx, repairer.server, rc) }
	backends := gliav1connect.NewBackendServiceClient(synapse.client, synapse.base)
	fleet := gliav1connect.NewFleetServiceClient(synapse.client, synapse.base)
	synapse.parts = []part{answer(synapse.server, "services", backends.ListFollowed, &gliav1.ListFollowedRequest{Detail: true})}
	synapse.then = func(ctx context.Context, b *bundle) { b.fleet(ctx, synapse.server, fleet) }
	nerve.parts = []part{
		answer(nerve.server, "disks", gliav1connect.NewHostServiceClient(nerve.client, nerve.base).ListDisks, &gliav1.ListDisksRequest{}),
		answer(nerve.server, "services", gliav1connect.NewAnnouncerServiceClient(nerve.client, nerve.base).ListServices, &gliav1.ListServicesRequest{}),
	}
	return []asked{repairer, synapse, nerve}, nil
}

// answer is what a program says to a request, as JSON.
func answer[Req, Res any](s server, name string, rpc func(context.Context, *connect.Request[Req]) (*connect.Response[Res], error), req *Req) part {
	return part{name + ".json", func(ctx context.Context) ([]byte, error) {
		res, err := call(ctx, s, rpc, req)
		if err != nil {
			return nil, err
		}
		return messageJSON(res)
	}}
}

func messageJSON(message any) ([]byte, error) {
	m, ok := message.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("%T is no message", message)
	}
	return protojson.MarshalOptions{Multiline: true}.Marshal(m)
}

// page is what a program serves at a path, whatever its status.
func (s asked) page(ctx context.Context, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, s.wait)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.base+path, nil)
	if err != nil {
		return nil, err
	}
	res, err := s.client.Do(r)
	if err != nil {
		return nil, s.explain(connect.NewError(connect.CodeUnavailable, err))
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(res.Body, bundledPage))
	if err != nil {
		return nil, fmt.Errorf("read %s of the %s: %w", path, s.name, err)
	}
	if res.StatusCode != http.StatusOK {
		text = append([]byte(res.Status+"\n"), text...)
	}
	return text, nil
}

// bundle is a bundle that is being made.
type bundle struct {
	tar    *tar.Writer
	now    time.Time
	doc    bundleDoc
	failed error // to write; nothing is written after it
}

func (b *bundle) add(name string, data []byte) {
	if b.failed != nil {
		return
	}
	b.doc.Parts = append(b.doc.Parts, name)
	h := tar.Header{Name: "glia-bundle/" + name, Mode: 0o600, Size: int64(len(data)), ModTime: b.now}
	if b.failed = b.tar.WriteHeader(&h); b.failed == nil {
		_, b.failed = b.tar.Write(data)
	}
}

func (b *bundle) problem(what string, err error) {
	b.doc.Problems = append(b.doc.Problems, what+": "+err.Error())
}

// collect asks one program. Of one that is not there it is said once.
func (b *bundle) collect(ctx context.Context, s asked) {
	for _, path := range []string{"/healthz", "/readyz", "/metrics"} {
		text, err := s.page(ctx, path)
		if err != nil {
			b.doc.Problems = append(b.doc.Problems, err.Error())
			return
		}
		b.add(s.name+path+".txt", text)
	}
	for _, p := range s.parts {
		if text, err := p.get(ctx); err != nil {
			b.problem(s.name+"/"+p.name, err)
		} else {
			b.add(s.name+"/"+p.name, text)
		}
	}
	if s.then != nil {
		s.then(ctx, b)
	}
}

// cases adds the histories of cases: first those that are open, and of both the newest first.
func (b *bundle) cases(ctx context.Context, s server, rc gliav1connect.RepairServiceClient) {
	res, err := call(ctx, s, rc.ListCases, &gliav1.ListCasesRequest{All: true})
	if err != nil {
		return // said of cases.json already
	}
	var open, ended []repairCase
	for _, c := range each(res.GetCases(), caseListed) {
		if c.ended() {
			ended = append(ended, c)
		} else {
			open = append(open, c)
		}
	}
	newest := func(x, y repairCase) int { return y.OpenedAt.Compare(x.OpenedAt) }
	slices.SortStableFunc(open, newest)
	slices.SortStableFunc(ended, newest)
	list := slices.Concat(open, ended)
	if len(list) > bundledCases {
		b.problem("repairer/cases", fmt.Errorf("of %d cases the histories of %d are here", len(list), bundledCases))
		list = list[:bundledCases]
	}
	for _, c := range list {
		p := answer(s, "cases/"+filepath.Base(c.ID), rc.GetCase, &gliav1.GetCaseRequest{Id: c.ID})
		if text, err := p.get(ctx); err != nil {
			b.problem("repairer/"+p.name, err)
		} else {
			b.add("repairer/"+p.name, text)
		}
	}
}

// fleet adds the disks of the fleet, some thousand at most.
func (b *bundle) fleet(ctx context.Context, s server, fc gliav1connect.FleetServiceClient) {
	const file = "synapse/fleet.json"
	all, disks := &gliav1.ListFleetDisksResponse{}, 0
	for req := (&gliav1.ListFleetDisksRequest{PageSize: 1000}); ; req.PageToken = all.GetNextPageToken() {
		res, err := call(ctx, s, fc.ListFleetDisks, req)
		if err != nil {
			b.problem(file, err)
			return
		}
		all.Hosts, all.NextPageToken = append(all.Hosts, res.GetHosts()...), res.GetNextPageToken()
		for _, h := range res.GetHosts() {
			disks += len(h.GetDisks())
		}
		if all.GetNextPageToken() == "" || disks >= bundledDisks {
			break
		}
	}
	if all.GetNextPageToken() != "" {
		b.problem(file, fmt.Errorf("it has the first %s only", plural(len(all.GetHosts()), "host")))
	}
	if text, err := messageJSON(all); err != nil {
		b.problem(file, err)
	} else {
		b.add(file, text)
	}
}

// configurations adds the files of the programs in a directory, with their drop-ins. One that is not valid may hold
// anything, so that only what is wrong with it is told.
func (b *bundle) configurations(dir string) {
	found := false
	for _, program := range []struct {
		name string
		load func(path string) error
	}{
		{"nerve", func(path string) error { _, err := config.LoadNerve(path); return err }},
		{"synapse", func(path string) error { _, err := config.LoadSynapse(path); return err }},
		{"repairer", func(path string) error { _, err := config.LoadRepairer(path, config.Known{}); return err }},
	} {
		name, path := program.name, filepath.Join(dir, program.name+".toml")
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			continue // a host need not have all three
		}
		found = true
		if err := program.load(path); err != nil {
			b.problem("configs/"+name+".toml", err)
			continue
		}
		more, err := filepath.Glob(filepath.Join(dir, name+".d", "*.toml"))
		if err != nil {
			b.problem("configs/"+name+".d", err)
		}
		for _, file := range append([]string{path}, more...) {
			rel, _ := strings.CutPrefix(file, filepath.Clean(dir)+"/")
			if text, err := os.ReadFile(file); err != nil {
				b.problem("configs/"+rel, err)
			} else {
				b.add("configs/"+rel, text)
			}
		}
	}
	if !found {
		b.problem("configs", fmt.Errorf("no nerve.toml, synapse.toml or repairer.toml is in %s", dir))
	}
}
