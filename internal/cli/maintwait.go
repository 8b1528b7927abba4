package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	gliav1 "glia/api/glia/v1"
	"glia/api/glia/v1/gliav1connect"
)

// reader is a synapse that may use a service.
type reader struct {
	c    gliav1connect.BackendServiceClient
	s    server
	at   string          // its address, as far as it is not the one of this host
	host string          // empty until it has answered
	uses map[string]bool // services of the synapse that had one of the instances
	done bool            // it uses none of them any more
}

// name is what people call it.
func (r *reader) name() string {
	switch {
	case r.host == "":
		return "the synapse at " + clean(r.at)
	case r.at == "":
		return "the synapse of " + clean(r.host)
	}
	return fmt.Sprintf("the synapse of %s (%s)", clean(r.host), clean(r.at))
}

// readers are the synapse of this host, and those that it follows as backends of a service of their own. Why says which can not be known.
func (a *app) readers(ctx context.Context, service string) (all []*reader, why string) {
	own, err := a.newReader("")
	var list *gliav1.ListFollowedResponse
	if err == nil {
		list, err = call(ctx, own.s, own.c.ListFollowed, &gliav1.ListFollowedRequest{})
	}
	if err != nil {
		if a.namesSynapse() {
			own.at = own.s.url
			return []*reader{own}, ""
		}
		return nil, "which synapses use it is not known: " + err.Error()
	}
	own.host = list.GetHost()
	all = append(all, own)
	i := slices.IndexFunc(list.GetServices(), func(f *gliav1.FollowedService) bool { return f.GetName() == service })
	if i < 0 {
		return all, fmt.Sprintf("no other synapse than that of %s is known: have it follow the synapses as the service %q", clean(own.host), service)
	}
	for _, b := range list.GetServices()[i].GetBackends() {
		r, err := a.newReader(b.GetAddress())
		if err != nil {
			return all, err.Error()
		}
		all = append(all, r)
	}
	return all, ""
}

func (a *app) newReader(addr string) (*reader, error) {
	r := &reader{at: addr, uses: map[string]bool{}, s: server{name: "synapse", flag: "--synapse", env: "GLIA_SYNAPSE", wait: min(a.conn.timeout, nerveAnswer)}}
	flag := addr
	if flag == "" {
		flag = a.conn.synapse
	}
	h, err := a.httpClient(&r.s, flag, defaultSynapse)
	if err == nil {
		r.c = gliav1connect.NewBackendServiceClient(h, r.s.base)
	}
	return r, err
}

// eachReader has do ask those that are not done, several at a time, and tells what they say, in order.
func eachReader(all []*reader, do func(*reader) []string) (out []string) {
	var mu sync.Mutex
	var group errgroup.Group
	group.SetLimit(askedAtOnce)
	for _, r := range all {
		if r.done {
			continue
		}
		group.Go(func() error {
			words := do(r)
			mu.Lock()
			defer mu.Unlock()
			out = append(out, words...)
			return nil
		})
	}
	_ = group.Wait() // each says what is wrong in its words
	slices.Sort(out)
	return slices.Compact(out)
}

// look notes which services of a synapse use the instances now, and says what still sends clients to them that should not.
func (r *reader) look(ctx context.Context, instances []*gliav1.AnnouncedService) (out []string) {
	list, err := call(ctx, r.s, r.c.ListFollowed, &gliav1.ListFollowedRequest{})
	if err != nil {
		return []string{r.name() + ": " + err.Error()}
	}
	r.host = list.GetHost()
	for _, f := range list.GetServices() {
		for _, x := range instances {
			i := slices.IndexFunc(f.GetBackends(), func(b *gliav1.FollowedBackend) bool {
				return b.GetAddress() == x.GetAddress() && b.GetName() == x.GetInstance()
			})
			if i < 0 {
				continue
			}
			r.uses[f.GetName()] = true
			if !f.GetBackends()[i].GetDraining() {
				out = append(out, fmt.Sprintf("%s still uses %s for %s: %s", r.name(), clean(x.GetName()), clean(f.GetName()), clean(f.GetReason())))
			}
		}
	}
	return out
}

// sends says which HAProxy of a synapse still sends clients to the instances, of the services that have used them.
func (r *reader) sends(ctx context.Context, instances []*gliav1.AnnouncedService) (out []string) {
	for name := range r.uses {
		seen, err := call(ctx, r.s, r.c.ListFollowed, &gliav1.ListFollowedRequest{Service: name, Detail: true})
		if err != nil {
			return []string{r.name() + ": " + err.Error()}
		}
		for _, f := range seen.GetServices() {
			for _, p := range f.GetProcesses() {
				if p.GetProblem() != "" {
					out = append(out, fmt.Sprintf("%s: HAProxy at %s: %s", r.name(), clean(p.GetSocket()), clean(p.GetProblem())))
				}
				for _, srv := range p.GetServers() {
					if !quiet(srv) && slices.ContainsFunc(instances, func(x *gliav1.AnnouncedService) bool { return serverOf(srv.GetServer(), x.GetAddress()) }) {
						out = append(out, fmt.Sprintf("%s: HAProxy %d still has %s %s", r.name(), p.GetPid(), clean(srv.GetServer()), clean(srv.GetStatus())))
					}
				}
			}
		}
	}
	return out
}

// serverOf says whether HAProxy's name of a server is of an address: NAME_ADDRESS, or the address alone, without brackets.
func serverOf(name, address string) bool {
	address = strings.NewReplacer("[", "", "]", "").Replace(address)
	return name == address || strings.HasSuffix(name, "_"+address)
}

// quiet says whether HAProxy sends no new clients to a server.
func quiet(s *gliav1.ProxyServer) bool {
	return s.GetWeight() == 0 || strings.HasPrefix(s.GetStatus(), "MAINT") || strings.HasPrefix(s.GetStatus(), "DOWN") || strings.HasPrefix(s.GetStatus(), "DRAIN")
}

// await waits until a maintenance is seen, by the nerve and by the synapses that read, and says where it is not.
func (c *maintOnCommand) await(ctx context.Context, s server, n gliav1connect.AnnouncerServiceClient, m *gliav1.Maintenance, all []*reader) (missing []string) {
	limit := time.NewTimer(c.wait)
	defer limit.Stop()
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		instances, words := c.announcedStill(ctx, s, n, m)
		if missing = words; len(missing) == 0 {
			missing = eachReader(all, func(r *reader) []string {
				words := r.look(ctx, instances)
				if len(words) == 0 {
					words = r.sends(ctx, instances)
				}
				r.done = len(words) == 0
				return words
			})
		}
		if len(missing) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return missing
		case <-limit.C:
			return missing
		case <-time.After(pause):
		}
	}
}

// concerned are the services of a nerve that a maintenance is about.
func concerned(list *gliav1.ListServicesResponse, service string) []*gliav1.AnnouncedService {
	return slices.DeleteFunc(slices.Clone(list.GetServices()), func(x *gliav1.AnnouncedService) bool { return service != "" && x.GetName() != service })
}

// announcedStill says which services the nerve still announces as they must not be.
func (c *maintOnCommand) announcedStill(ctx context.Context, s server, n gliav1connect.AnnouncerServiceClient, m *gliav1.Maintenance) (instances []*gliav1.AnnouncedService, out []string) {
	list, err := call(ctx, s, n.ListServices, &gliav1.ListServicesRequest{})
	if err != nil {
		return nil, []string{err.Error()}
	}
	instances = concerned(list, m.GetService())
	for _, x := range instances {
		// Another one of the service may win over that of the host.
		heeds := x.GetMaintenance().GetService() != m.GetService() || x.GetMaintenance().GetSince().AsTime().Equal(m.GetSince().AsTime())
		if x.GetMaintenance() == nil || !heeds || x.GetAnnounced() == "up" || x.GetAnnounced() == "unknown" {
			out = append(out, fmt.Sprintf("%s is still announced as %s", clean(x.GetName()), clean(x.GetAnnounced())))
		}
		for _, p := range x.GetPlaces() {
			if p.GetProblem() != "" {
				out = append(out, fmt.Sprintf("%s in %s: %s", clean(x.GetName()), clean(p.GetName()), clean(p.GetProblem())))
			}
		}
	}
	return instances, out
}
